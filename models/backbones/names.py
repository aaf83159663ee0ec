"""The backbones by name: to add one, write its module and import here what builds it with random weights."""

from models.backbones.resnet import build_resnet18 as resnet18
from models.backbones.resnet import build_resnet50 as resnet50
from models.backbones.resnet import build_resnet101 as resnet101
from models.backbones.small import SmallBackbone as small
