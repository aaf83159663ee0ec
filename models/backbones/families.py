"""Families of backbones: the name of a member is ``family/member``, and the family's function builds it."""

from models.backbones.timm_networks import build_timm_backbone as timm
