"""The annotation formats by name: to add one, write its module (``AnnotationFormat``) and import it here."""

from pseudogt.annotations import coco, cvat, label_studio, labelme, via, voc, yolo
from pseudogt.annotations import tables as csv
