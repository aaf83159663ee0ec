"""The orientation of photos when their boxes were drawn.

A camera stores a photo as its sensor sees it and records in an EXIF tag how to rotate it. Annotation tools show it
upright or as stored, and write either size. This workflow reads photos upright, so boxes must be converted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum

from pseudogt.annotations.form import AnnotatedMark, Corners, ImageAnnotations
from pseudogt.annotations.geometry import decode_segmentation, encode_mask
from pseudogt.annotations.matching import MatchedAnnotations
from pseudogt.files.headers import TURNED
from pseudogt.files.index import ImageRecord

SLACK_PX = 1.0
"""How far a box may extend beyond an image and still be said to fit it."""

MOVED_FRACTION = 0.1
"""Boxes that reach out of an upright photo by more of its side, but fit it turned, belong to another photo."""

MIN_PROOFS = 2
"""Photos that must fit as stored only before others follow them: in a single one, a box or click may be wrong."""


class Frame(Enum):
    """Coordinate frame of an image's boxes, as far as it follows from the sizes."""

    UPRIGHT = "upright"
    STORED = "stored"
    EITHER = "either"
    UNSIZED = "either, and the annotations give no size"
    OTHER_FILE = "other file"


def turn_upright(found: Mapping[str, ImageAnnotations], records: Sequence[ImageRecord]) -> MatchedAnnotations:
    """Bring boxes and sizes into the upright photo where it is certain which way up it was when they were drawn.

    A photo whose boxes fit both ways follows the others of the source if these agree; without a size in the
    annotations, it is taken to be upright if they do not, or are fewer than ``MIN_PROOFS``.
    """
    result = MatchedAnnotations(dict(found))
    frames = {r.image_id: find_frame(found[r.image_id], r) for r in records if r.image_id in found}
    with_stored_size = {r.image_id for r in records if r.image_id in found and has_turned_size(found[r.image_id], r)}
    agreed = {frames[i] for i in with_stored_size} & {Frame.UPRIGHT, Frame.STORED}
    proofs = [
        frames[r.image_id]
        for r in records
        if r.image_id in found and r.orientation in TURNED and is_proof(found[r.image_id], r)
    ]
    unsized = Frame.STORED if set(proofs) == {Frame.STORED} and len(proofs) >= MIN_PROOFS else Frame.UPRIGHT
    counts: Counter[tuple[Frame, bool]] = Counter()
    for record in (record for record in records if record.image_id in found):
        boxed, frame = found[record.image_id], frames[record.image_id]
        if frame is Frame.EITHER and record.orientation in TURNED and len(agreed) == 1:
            (frame,) = agreed
        if frame is Frame.UNSIZED:
            frame = unsized
        if frame in (Frame.EITHER, Frame.OTHER_FILE):
            result.problems.append(describe_doubt(record, frame))
            empty = replace(boxed, boxes=[], marks=[], boxed=False, width=record.width, height=record.height)
            result.annotations[record.image_id] = empty
            continue
        if frame is Frame.STORED:
            boxes = [box._replace(xyxy=turn_corners(box.xyxy, boxed, record)) for box in boxed.boxes]
            marks = [turn_mark(mark, boxed, record) for mark in boxed.marks]
            boxed = replace(boxed, boxes=boxes, marks=marks)
        if frame is Frame.STORED or record.image_id in with_stored_size:
            counts[frame, boxed.width is not None] += 1
            boxed = replace(boxed, width=record.width, height=record.height)
        result.annotations[record.image_id] = boxed
    result.warnings += describe_frames(counts)
    return result


def describe_frames(counts: Mapping[tuple[Frame, bool], int]) -> list[str]:
    """A line for each frame, and whether the annotations give a size, that differs from what they seem to say."""
    against_size = "images are turned against the size in their annotations; their boxes fit"
    meanings = {
        (Frame.UPRIGHT, True): f"{against_size} the upright image and stay as they are",
        (Frame.STORED, True): f"{against_size} the image as it is stored and are turned with it",
        (Frame.STORED, False): (
            "images are stored turned, and their annotations give no size; their boxes, or those of the other such "
            "images, fit the image as it is stored and are turned with it"
        ),
    }
    return [f"{counts[key]} {meaning}" for key, meaning in meanings.items() if counts.get(key)]


def has_turned_size(boxed: ImageAnnotations, record: ImageRecord) -> bool:
    """Whether annotations give the size of an image with width and height swapped."""
    return (boxed.width, boxed.height) == (record.height, record.width) and record.width != record.height


def find_frame(boxed: ImageAnnotations, record: ImageRecord) -> Frame:
    """Find the coordinate frame of an image's boxes."""
    upright, turned = (record.width, record.height), (record.height, record.width)
    known = (boxed.width, boxed.height) in ((None, None), upright, turned)
    if upright == turned or not known or not (boxed.boxes or boxed.marks):
        return Frame.UPRIGHT
    corners = list_corners(boxed)
    in_upright, in_turned = (all(fits(c, size) for c in corners) for size in (upright, turned))
    is_stored_turned = record.orientation in TURNED
    if in_turned and not in_upright and is_stored_turned:
        return Frame.STORED
    if has_turned_size(boxed, record):
        return Frame.UPRIGHT if in_upright and not in_turned else Frame.EITHER
    if is_stored_turned and in_upright and in_turned and boxed.width is None and not boxed.relative:
        return Frame.UNSIZED
    # A box that is completely outside gives no information, because it may simply be wrong.
    begun = [c for c in corners if c[0] < upright[0] and c[1] < upright[1]]
    reach = max((max(c[2] / upright[0], c[3] / upright[1]) for c in begun), default=0)
    moved = in_turned and reach > 1 + MOVED_FRACTION
    return Frame.OTHER_FILE if moved else Frame.UPRIGHT


def list_corners(boxed: ImageAnnotations) -> list[Corners]:
    """Boxes and points in pixels; a point is a box without area."""
    corners = [] if boxed.relative else [box.xyxy for box in boxed.boxes]
    return corners + [(x, y, x, y) for mark in boxed.marks for x, y in mark.points]


def is_proof(boxed: ImageAnnotations, record: ImageRecord) -> bool:
    """Whether the boxes of an image fit it one way up only."""
    sizes = ((record.width, record.height), (record.height, record.width))
    in_upright, in_turned = (all(fits(c, size) for c in list_corners(boxed)) for size in sizes)
    return in_upright != in_turned


def fits(corners: Corners, size: tuple[int, int]) -> bool:
    """Whether a box in pixels lies in an image of a size (width, height)."""
    x0, y0, x1, y1 = corners
    return min(x0, y0) >= -SLACK_PX and x1 <= size[0] + SLACK_PX and y1 <= size[1] + SLACK_PX


def turn_corners(corners: Corners, boxed: ImageAnnotations, record: ImageRecord) -> Corners:
    """Box in the upright image of one in the image as it is stored, by the EXIF orientation (5 to 8)."""
    x0, y0, x1, y1 = corners
    # Of the image as it is stored: its upright height is its width.
    width, height = (1.0, 1.0) if boxed.relative else (record.height, record.width)
    if record.orientation in (6, 7):
        y0, y1 = height - y1, height - y0
    if record.orientation in (7, 8):
        x0, x1 = width - x1, width - x0
    return y0, x0, y1, x1


def turn_mark(mark: AnnotatedMark, boxed: ImageAnnotations, record: ImageRecord) -> AnnotatedMark:
    """Turn a point, a scribble or a mask upright."""
    if mark.segmentation is None:
        turned = [turn_corners((x, y, x, y), boxed, record) for x, y in mark.points]
        return mark._replace(points=tuple((x, y) for x, y, _, _ in turned))
    mask = decode_segmentation(mark.segmentation, record.width, record.height)
    if record.orientation in (6, 7):
        mask = mask[::-1]
    if record.orientation in (7, 8):
        mask = mask[:, ::-1]
    return mark._replace(segmentation=encode_mask(mask.T))


def describe_doubt(record: ImageRecord, frame: Frame) -> str:
    """Say why it is open what the boxes of an image are of, and what to do for each cause."""
    size, turned = f"{record.width}x{record.height}", f"{record.height}x{record.width}"
    if frame is Frame.OTHER_FILE:
        return (
            f"{record.image}: is {size}, and its boxes reach out of it but fit {turned}: the photo was turned, or its "
            "EXIF orientation was removed, after they were drawn. Put back the file that was annotated; if there is "
            "none, turn the pixels by a quarter so that the photo is upright, and correct its size in the annotations "
            f"to {turned}"
        )
    if record.orientation in TURNED:
        return (
            f"{record.image}: is stored as {turned} with EXIF orientation {record.orientation}, which makes it {size} "
            f"upright; its annotations are for {turned}, and their boxes don't tell which way up it was. If they were "
            f"drawn on the upright photo, as most tools show it, correct its width and height in the annotations to "
            f"{size}. If they were drawn on it as it is stored, remove the tag: exiftool -Orientation= {record.image}"
        )
    return (
        f"{record.image}: is {size}, its annotations are for {turned}. If the photo was turned after they were drawn, "
        "put back the file that was annotated. If they were drawn on the photo as it is now, correct its width and "
        f"height in the annotations to {size}"
    )
