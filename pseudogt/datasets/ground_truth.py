"""Read a dataset's label files into panoptic ids: values of classes and instances, VOC's and SBD's, COCO's segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import (
    IGNORE_LABEL,
    ClassTable,
    combine_semantic_and_instances,
    find_crowds,
)
from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets.coco_segments import read_coco_segments
from pseudogt.datasets.source import SourceFiles
from pseudogt.files.images import read_png

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
