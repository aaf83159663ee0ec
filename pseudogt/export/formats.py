"""The formats by name."""

from __future__ import annotations

from types import ModuleType

from pseudogt.export import cityscapes, coco_instances, coco_panoptic, cvat, label_studio, semantic, voc, yolo

FORMATS: dict[str, ModuleType] = {
    "coco_panoptic": coco_panoptic,
    "coco_instances": coco_instances,
    "cityscapes": cityscapes,
    "semantic": semantic,
    "voc": voc,
    "yolo": yolo,
    "label_studio": label_studio,
    "cvat": cvat,
}
