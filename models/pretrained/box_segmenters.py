"""The box segmenters by name: to add one, write its module and import here what loads it."""

from models.pretrained.box_masks import load_network as network
from models.pretrained.sam import load_sam as sam
from pseudogt.box_masks.best_proposal import load_proposal as proposal
from pseudogt.box_masks.grabcut import load_grabcut as grabcut
from pseudogt.box_masks.hierarchy import load_hierarchy as hierarchy
from pseudogt.box_masks.shapes import load_ellipse as ellipse
from pseudogt.box_masks.shapes import load_fill as fill
