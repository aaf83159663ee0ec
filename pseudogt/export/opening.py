"""Open a folder of full labels, whatever wrote it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.cvat import read_cvat
from pseudogt.annotations.label_studio import read_label_studio
from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.export import cityscapes, coco_instances, coco_panoptic, voc
from pseudogt.export.annotation_sets import AnnotationSet
from pseudogt.export.coco_instances import INSTANCES_JSON
from pseudogt.export.manifest import MANIFEST_JSON
from pseudogt.export.segments import LabelSet
from pseudogt.files.images import read_image
from pseudogt.files.labels import PANOPTIC_JSON, rgb_to_panoptic


class PngSet:
    """Bare PNG files ``<image id>.png`` with panoptic ids, as they lie in a run's label folders."""

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png" and path.name[0] != ".")
        self._files = {path.stem: path for path in found}
        self._classes = classes

    @property
    def image_ids(self) -> list[str]:
        """Images by name."""
        return list(self._files)

    def read(self, image_id: str) -> NDArray[np.int32]:
        """Panoptic ids ``(H, W) int32`` of one image."""
        path = self._files[image_id]
        panoptic_id = rgb_to_panoptic(read_image(path))
        for segment_id in np.unique(panoptic_id).tolist():
            category_id, number = divmod(segment_id, INSTANCE_DIVISOR)
            known = category_id in self._classes.category_ids
            if segment_id != VOID and not known:
                raise ValueError(
                    f"{path}: id {segment_id} is of category {category_id}, not in the class table; ids are category "
                    f"* {INSTANCE_DIVISOR} + number, in RGB as R + 256 G + 65536 B"
                )
            if known and number and not self._classes.isthing[self._classes.category_ids.index(category_id)]:
                raise ValueError(f"{path}: id {segment_id} numbers a stuff class; use {category_id * INSTANCE_DIVISOR}")
        return panoptic_id


def open_labels(folder: Path, classes: ClassTable) -> LabelSet:
    """The full labels in a folder; the form is known by the files in it.

    Raises
    ------
    ValueError
        If there is no such folder, nothing known in it, or only labels that leave things or stuff out.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; full_labels.folder must hold labels")
    if (folder / PANOPTIC_JSON).is_file():
        return coco_panoptic.read_set(folder, classes)
    if (folder / cityscapes.FOLDER).is_dir():
        return cityscapes.read_set(folder, classes)
    if (folder / voc.ROOT).is_dir():
        return voc.read_set(folder, classes)
    if (folder / INSTANCES_JSON).is_file():
        return coco_instances.read_full_set(folder, classes)
    documents = [p for p in sorted(folder.iterdir()) if p.suffix in (".json", ".xml") and p.name != MANIFEST_JSON]
    tasks = [path for path in documents if path.name != "label_config.xml"]
    if len(tasks) > 1:
        raise ValueError(f"{folder}: {tasks[0].name} and {tasks[1].name}; leave the one with the labels")
    if tasks:
        read = read_label_studio if tasks[0].suffix == ".json" else read_cvat
        return AnnotationSet(read(tasks[0]), classes)
    return PngSet(folder, classes)
