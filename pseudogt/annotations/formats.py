"""The annotation formats by name: to add one, write its module and import its ``read`` here."""

from pseudogt.annotations.coco import read as coco
from pseudogt.annotations.cvat import read as cvat
from pseudogt.annotations.label_studio import read as label_studio
from pseudogt.annotations.tables import read as csv
from pseudogt.annotations.voc import read as voc
from pseudogt.annotations.yolo import read as yolo
