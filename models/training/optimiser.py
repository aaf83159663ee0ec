"""The optimiser of a plan: which weights decay, and which learn at a rate of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from models.backbones.base import PretrainedModule
from models.training.plan import TrainingPlan

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
"""Normalisation layers."""


def build_optimiser(network: nn.Module, plan: TrainingPlan) -> torch.optim.Optimizer:
    """Make the optimiser of a network; each of its groups has its learning rate over that of the step as ``rate``."""
    pretrained = [m for m in network.modules() if isinstance(m, PretrainedModule)]
    # At the rate of the rest they stay in its groups: the order of parameters decides the bits of a sum.
    slow = {id(p) for m in pretrained for p in m.pretrained_parameters()} if plan.backbone_rate != 1 else set()
    rates = _find_rates(network, plan)
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = _group_parameters([p for p in trained if id(p) not in slow], rates, plan, rate=1.0)
    if slow:
        groups += _group_parameters([p for p in trained if id(p) in slow], rates, plan, rate=plan.backbone_rate)
    if plan.optimiser == "sgd":
        nesterov = plan.nesterov and plan.momentum > 0
        return torch.optim.SGD(groups, lr=plan.learning_rate, momentum=plan.momentum, nesterov=nesterov)
    return torch.optim.AdamW(groups, lr=plan.learning_rate, fused=True)


def _find_rates(network: nn.Module, plan: TrainingPlan) -> dict[int, float]:
    """Learning rate over that of the plan by id, of the biases; those of normalisation layers have one of their own."""
    return {
        id(p): plan.norm_bias_rate if isinstance(module, NORMS) else plan.bias_rate
        for module in network.modules()
        for name, p in module.named_parameters(recurse=False)
        if name.endswith("bias")
    }


def _group_parameters(
    parameters: list[nn.Parameter], rates: Mapping[int, float], plan: TrainingPlan, *, rate: float
) -> list[dict[str, Any]]:
    """Groups of the optimiser for parameters whose learning rate is ``rate`` times that of the plan."""
    # Vectors, the biases and the weights of normalisation, do not decay; biases have learning rates of their own.
    vectors = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay, "rate": rate},
        {"params": [p for p in vectors if id(p) not in rates], "weight_decay": 0.0, "rate": rate},
    ]
    for own in dict.fromkeys((plan.bias_rate, plan.norm_bias_rate)):
        biases = [p for p in vectors if rates.get(id(p)) == own]
        groups.append({"params": biases, "weight_decay": 0.0, "rate": rate * own})
    return groups
