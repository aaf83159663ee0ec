"""Families of backbones: a member is called ``family/member``, and the family's module builds it.

Such a module has ``build_member(name, *, weights, levels, dense)`` and ``check_weights(name, weights)``.
"""

from models.backbones import timm_networks as timm
