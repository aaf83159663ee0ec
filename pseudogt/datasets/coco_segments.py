"""COCO's panoptic files: segments by their colours in a PNG, and their classes in a JSON."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NotRequired

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable, find_crowds
from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets.source import SourceFiles
from pseudogt.files.images import decode_image
from pseudogt.files.labels import SEGMENT_INFO, SEGMENTED_IMAGE, SegmentInfo, rgb_to_panoptic
from pseudogt.parsing.documents import fit_record, parse_json
from pseudogt.parsing.problems import SHOWN, read_each, shorten_list
from pseudogt.parsing.values import unify_id


class SegmentDocument(TypedDict):
    """The part of COCO's panoptic JSON that is read; entries may be of any form."""

    annotations: list[Any]
    categories: NotRequired[Any]


class SegmentTable(NamedTuple):
    """Entries of ``segments_info`` by image id, the name of the PNG without suffix, and entries that have none.

    ``categories`` are those that the file declares, in any form.
    """

    segments: dict[str, list[Any]]
    broken: list[str]
    categories: list[Any]


class Segments(NamedTuple):
    """The segments of an image.

    Attributes
    ----------
    segments : list of SegmentInfo
    broken : list of str
        Records that can't be read, each naming file and value.
    unknown_ids : list of int
        Train ids, in ascending order, of the classes that these records may belong to.
    """

    segments: list[SegmentInfo]
    broken: list[str]
    unknown_ids: list[int]


@lru_cache(maxsize=2)
def read_segment_table(path: Path) -> SegmentTable:
    """Read COCO's panoptic JSON; an annotation that can't be read hides no other."""
    document = parse_json(path, TypeAdapter(SegmentDocument))
    categories = document.get("categories")
    table = SegmentTable({}, [], categories if isinstance(categories, list) else [])
    entries = enumerate(document["annotations"])
    read = read_each(entries, lambda e: fit_record(SEGMENTED_IMAGE, e[1], f"{path}: annotation number {e[0]}"))
    for (_, entry), annotation, error in read:
        if annotation is None:
            table.broken.append(str(error))
            file_name = entry.get("file_name") if isinstance(entry, dict) else None
            if isinstance(file_name, str):
                # What should be the list of segments is one that can't be read.
                table.segments.setdefault(Path(file_name).stem, [entry.get("segments_info")])
            continue
        name = Path(annotation["file_name"]).stem
        if name in table.segments:
            raise ValueError(f"{path}: there are two annotations of {name}.png; remove one")
        table.segments[name] = annotation["segments_info"]
    return table


def read_segments(files: SourceFiles, settings: DatasetSettings) -> Segments:
    """Segments of a COCO panoptic PNG; a record that can't be read hides no other."""
    assert files.segments is not None and files.semantic is not None
    table = read_segment_table(files.segments)
    where = f"{files.segments}: {files.semantic.name}"
    entries = table.segments.get(files.image.stem)
    if entries is None:
        text = f"{files.segments}: no annotation of {files.semantic.name}; add it or take the image off"
        raise ValueError("; ".join([text, *table.broken[:SHOWN]]))
    train_ids = {entry.source_id: train_id for train_id, entry in enumerate(settings.classes)}
    found = Segments([], [], [])
    unknown: set[int] = set()
    for entry, segment, error in read_each(entries, lambda entry: fit_record(SEGMENT_INFO, entry, where)):
        if segment is not None:
            found.segments.append(segment)
            continue
        found.broken.append(str(error))
        named = entry.get("category_id") if isinstance(entry, dict) else None
        category = unify_id(named) if isinstance(named, int | str) else None
        if category not in settings.void_values:
            unknown |= {i for source_id, i in train_ids.items() if source_id == category} or set(train_ids.values())
    found.unknown_ids.extend(sorted(unknown))
    return found


def compare_categories(path: Path, settings: DatasetSettings) -> list[str]:
    """Warn of categories that the class table calls something else: ids may be those of another table."""
    by_id = {entry.source_id: entry for entry in settings.classes}
    others = {entry.name.lower(): entry.source_id for entry in settings.classes}
    lines = []
    for category in read_segment_table(path).categories:
        found = category if isinstance(category, dict) else {}
        key, name, isthing = (found.get(part) for part in ("id", "name", "isthing"))
        entry = by_id.get(unify_id(key)) if isinstance(key, int | str) else None  # type: ignore[arg-type]
        if entry is None:
            continue
        is_other = others.get(str(name).lower(), entry.source_id) != entry.source_id
        if is_other or (isthing in (0, 1) and bool(isthing) != entry.isthing):
            lines.append(f"{key} is {name!r} ({'thing' if isthing else 'stuff'})")
    text = (
        f"{path}: categories differ from dataset.classes: {', '.join(shorten_list(lines))}; correct the ids, or the "
        "kind of class, in one of the two"
    )
    return [text] if lines else []


def find_unknown_classes(files: SourceFiles, settings: DatasetSettings) -> list[int]:
    """Train ids, ascending, whose presence in an image is unknown because segments of it can't be read.

    Without ``bad_segments: skip`` there are none: :func:`read_panoptic` refuses the image.
    """
    if files.segments is None or settings.bad_segments == "error":
        return []
    return read_segments(files, settings).unknown_ids


def read_coco_segments(
    files: SourceFiles, settings: DatasetSettings, classes: ClassTable
) -> tuple[NDArray[np.int32], list[int]]:
    """Panoptic ids ``(H, W)`` of a COCO panoptic PNG: instances of a class are numbered in the order of their segments.

    With ``bad_segments: skip``, pixels of segments whose record can't be read are ``VOID``.
    """
    if files.semantic is None:
        raise ValueError(f"{files.image}: its panoptic PNG is missing; add it or take the image off the list")
    segments, broken, _ = read_segments(files, settings)
    if broken and settings.bad_segments == "error":
        raise ValueError(f"{'; '.join(broken[:SHOWN])}; correct it, or set dataset.bad_segments: skip")
    source = rgb_to_panoptic(read_segment_colours(files.semantic))
    targets = map_segments(segments, settings, classes, where=f"{files.segments}: {files.semantic.name}")
    found, inverse = np.unique(source, return_inverse=True)
    strange = [v for v in found.tolist() if v not in targets]
    if strange and not broken:
        raise ValueError(f"{files.semantic}: segments {strange[:5]} are not in {files.segments}; the two must agree")
    # Look up the panoptic id of each value found, then of each pixel.
    panoptic_id = np.array([targets.get(v, VOID) for v in found.tolist()], np.int32)[inverse].reshape(source.shape)
    return panoptic_id, sorted(find_crowds(panoptic_id, classes))


def read_segment_colours(path: Path) -> NDArray[np.uint8]:
    """RGB ``(H, W, 3) uint8`` of a panoptic PNG, whose alpha must be full: transparent pixels have no colour."""
    pixels = decode_image(path, cv2.IMREAD_UNCHANGED)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise ValueError(f"{path}: has pixels of {pixels.dtype}, not 8-bit RGB; segments are identified by RGB colours")
    if pixels.shape[2] == 4 and (pixels[..., 3] != 255).any():
        raise ValueError(
            f"{path}: has transparent pixels, whose colours are no segment ids; save it as RGB, black where nothing is"
        )
    return pixels[..., 2::-1]


def map_segments(
    segments: list[SegmentInfo], settings: DatasetSettings, classes: ClassTable, where: str
) -> dict[int, int]:
    """Segment id -> panoptic id; 0 and segments of void categories map to ``VOID``."""
    train_ids = {entry.source_id: train_id for train_id, entry in enumerate(settings.classes)}
    targets, counts = {0: VOID}, dict.fromkeys(range(len(classes)), 0)
    for segment in segments:
        category = segment["category_id"]
        if segment["id"] == 0:
            raise ValueError(
                f"{where}: a segment has id 0, which means that a pixel has no segment; number segments from 1, in the "
                "PNG, too"
            )
        if segment["id"] in targets:
            raise ValueError(f"{where}: segment id {segment['id']} is there twice")
        if category not in train_ids:
            if category not in settings.void_values:
                raise ValueError(
                    f"{where}: category {category} is neither in the class table nor in void_values; add it to one"
                )
            targets[segment["id"]] = VOID
            continue
        train_id = train_ids[category]
        # Instances are numbered from 1 within their class; stuff and crowds have number 0.
        single = classes.isthing[train_id] and not segment.get("iscrowd", False)
        counts[train_id] += single
        if counts[train_id] >= INSTANCE_DIVISOR:
            raise ValueError(f"{where}: more than {INSTANCE_DIVISOR - 1} instances of {classes.names[train_id]!r}")
        number = counts[train_id] if single else 0
        targets[segment["id"]] = classes.category_ids[train_id] * INSTANCE_DIVISOR + number
    return targets
