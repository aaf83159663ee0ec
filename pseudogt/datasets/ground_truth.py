"""Reading a dataset's label files into panoptic ids: values of classes and instances, VOC's and SBD's, COCO's."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NotRequired

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from pseudogt.classes import (
    IGNORE_LABEL,
    INSTANCE_DIVISOR,
    VOID,
    ClassTable,
    combine_semantic_and_instances,
    find_crowds,
)
from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets.source import SourceFiles
from pseudogt.files.images import decode_image, read_png
from pseudogt.files.labels import SEGMENT_INFO, SEGMENTED_IMAGE, SegmentInfo, rgb_to_panoptic
from pseudogt.files.parsing import SHOWN, fit_record, parse_json, read_each, shorten_list, unify_id

LISTED = 20
"""Values of a label file that a message spells out."""

VOC_BORDER = 255
"""In VOC's maps of objects: the border around an object."""


def read_panoptic(
    files: SourceFiles, settings: DatasetSettings, classes: ClassTable
) -> tuple[NDArray[np.int32], list[int]]:
    """Panoptic ids of one image and the ids among them that are crowds.

    Thing pixels without an instance number form one segment of their class with k = 0, a crowd. An
    instances file must be there if there are thing classes: without one every object would be part
    of a crowd, and there would be no box to learn from.

    Returns
    -------
    panoptic_id : (H, W) int32
    crowd_ids : list of int
        Ascending.

    Raises
    ------
    ValueError
        If a file is missing or unreadable, the two differ in size or in the class of an instance,
        or a value is neither in the class table nor among the void values.
    """
    if files.segments is not None:
        return read_coco_segments(files, settings, classes)
    files = choose_masks(files, settings)
    if files.semantic is None:
        raise ValueError(f"{files.image}: its semantic label file is missing; add it or take the image off the list")
    semantic = map_to_train_ids(read_values(files.semantic), settings, files.semantic)
    instances = np.zeros(semantic.shape, np.int32)
    if len(classes.thing_ids):
        if files.instances is None:
            raise ValueError(
                f"{files.image}: its instances file is missing; add it, or declare all classes as stuff (isthing: 0)"
            )
        instances = read_instances(files.instances, semantic, settings)
    if settings.format == "voc2012":
        semantic = settle_voc_objects(semantic, instances, settings)
    panoptic_id = combine_semantic_and_instances(semantic, instances, classes)
    return panoptic_id, sorted(find_crowds(panoptic_id, classes))


def choose_masks(files: SourceFiles, settings: DatasetSettings) -> SourceFiles:
    """Masks of one annotation where an image has two: its own, or those of SBD, see ``DatasetSettings.masks``."""
    both = files.other_semantic is not None and files.other_instances is not None
    if both and (settings.masks == "sbd" or files.semantic is None):
        return SourceFiles(files.image, files.other_semantic, files.other_instances)
    return files


def settle_voc_objects(
    semantic: NDArray[np.uint8], instances: NDArray[np.int32], settings: DatasetSettings
) -> NDArray[np.uint8]:
    """Train ids ``(H, W)`` in which the borders of objects are void and, by the authors' rule, an object has one class.

    With ``masks: sbd`` an object has the highest of the classes under it, as in the conversion of the
    JTSM authors (Shen et al., CVPR 2021).
    """
    settled = np.where(instances == VOC_BORDER, np.uint8(IGNORE_LABEL), semantic)
    if settings.masks == "sbd":
        source = np.array([entry.source_id for entry in settings.classes])
        for number in np.setdiff1d(instances, [0, VOC_BORDER]):
            inside = instances == number
            present = np.setdiff1d(settled[inside], [IGNORE_LABEL])
            if len(present):
                settled[inside] = present[source[present].argmax()]
    return settled


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


def read_values(path: Path) -> NDArray[Any]:
    """Values ``(H, W)`` of a PNG, or of ``Segmentation`` in a MATLAB file of SBD."""
    if path.suffix != ".mat":
        return read_png(path)
    from scipy.io import loadmat

    try:
        content = loadmat(path, squeeze_me=True, struct_as_record=False)
        (name,) = [name for name in content if name in ("GTcls", "GTinst")]
        values = np.asarray(content[name].Segmentation)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except Exception as error:  # scipy raises anything on a broken file
        raise ValueError(f"{path}: not a file of SBD with GTcls or GTinst ({error})") from error
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise ValueError(f"{path}: its Segmentation is {values.dtype} of shape {values.shape}, not a map of numbers")
    return values


def map_to_train_ids(values: NDArray[Any], settings: DatasetSettings, path: Path) -> NDArray[np.uint8]:
    """Train ids ``(H, W) uint8`` of the values of a semantic file; void becomes ``IGNORE_LABEL``."""
    unlisted = -1
    # Train id of each value of 16 bits; what stays unlisted is an error.
    lookup = np.full(65536, unlisted, np.int16)
    lookup[[v for v in settings.void_values if 0 <= v < len(lookup)]] = IGNORE_LABEL
    lookup[[entry.source_id for entry in settings.classes]] = np.arange(len(settings.classes))
    train_ids = lookup[values]
    if (train_ids == unlisted).any():
        found = np.unique(values[train_ids == unlisted]).tolist()
        shown = f"{found[:LISTED]}{' ...' if len(found) > LISTED else ''}"
        raise ValueError(
            f"{path}: values {shown} are neither in the class table nor in void_values; add them to one of the "
            "two, or, if they lie along borders, save the labels without smoothing"
        )
    return train_ids.astype(np.uint8)


def read_instances(path: Path, semantic: NDArray[np.uint8], settings: DatasetSettings) -> NDArray[np.int32]:
    """Instance values ``(H, W) int32``, distinct between instances, 0 where a pixel has none."""
    values = read_values(path).astype(np.int32)
    if values.shape != semantic.shape:
        raise ValueError(f"{path}: instances {values.shape} and semantic label {semantic.shape} differ in size")
    if settings.instance_divisor is None:
        return values
    # Smaller values are bare classes, without an instance.
    numbered = np.where(values >= settings.instance_divisor, values, 0)
    _check_bare_classes(values, semantic, settings, path)
    _check_instance_classes(numbered // settings.instance_divisor, semantic, settings, path)
    return numbered


def _check_bare_classes(
    values: NDArray[np.int32], semantic: NDArray[np.uint8], settings: DatasetSettings, path: Path
) -> None:
    """Refuse small values that are not the class of their pixel: plain numbers would all be one group without box."""
    divisor = settings.instance_divisor or 0
    for train_id, entry in enumerate(settings.classes):
        inside = values[semantic == train_id] if entry.isthing else values[:0]
        wrong = inside[(inside != 0) & (inside < divisor) & (inside != entry.source_id)]
        if wrong.size:
            raise ValueError(
                f"{path}: value {wrong[0]} in {entry.name!r} is neither {entry.source_id} * {divisor} + number nor "
                f"{entry.source_id}, a group without instances; if the values are plain instance numbers, set "
                "dataset.instance_divisor to null; if they were cut to 8 bits, save them again with 16"
            )


def _check_instance_classes(
    source: NDArray[np.int32], semantic: NDArray[np.uint8], settings: DatasetSettings, path: Path
) -> None:
    for train_id, entry in enumerate(settings.classes):
        if not entry.isthing:
            continue
        wrong = (semantic == train_id) & (source != 0) & (source != entry.source_id)
        if wrong.any():
            y, x = np.argwhere(wrong)[0]
            raise ValueError(
                f"{path}: at x={x}, y={y} (and {wrong.sum() - 1} more pixels) the instance is of class {source[y, x]}, "
                f"the semantic label of class {entry.source_id} ({entry.name}); make the two files agree"
            )
