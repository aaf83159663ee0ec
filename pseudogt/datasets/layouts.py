"""The layouts of datasets by name: to add one, write its module and import it, or an object in it, here."""

from pseudogt.datasets import cityscapes, coco, folder, images
from pseudogt.datasets import cityscapes as streets
from pseudogt.datasets.voc import VOC2007 as voc2007
from pseudogt.datasets.voc import VOC2012 as voc2012
