"""The export formats by name: to add one, write its module and import it here."""

from pseudogt.export import (
    cityscapes,
    coco_instances,
    coco_panoptic,
    cvat,
    label_studio,
    semantic,
    voc,
    yolo,
)
