"""Layers that several networks use."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvNorm(nn.Sequential):
    """A convolution without bias that keeps the size (up to its stride), then batch normalisation."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel_size: int, stride: int = 1, groups: int = 1):
        super().__init__()
        padding = (kernel_size - 1) // 2
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_size, stride, padding, groups=groups, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(channels_out)


def fuse_norms(network: nn.Module) -> nn.Module:
    """A copy of a network for inference, in which each :class:`ConvNorm` is one convolution."""
    fused = copy.deepcopy(network).eval()
    for module in fused.modules():
        if isinstance(module, ConvNorm):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()  # type: ignore[assignment]
    return fused


def synchronise_norms(network: nn.Module) -> nn.Module:
    """Let the batch normalisation of a network compute its statistics over all processes."""
    if any(type(module).__module__.startswith("timm.") for module in network.modules()):
        # timm's layers activate as well, which torch's function would drop. Other networks do not wait for its import.
        from timm.layers.norm_act import convert_sync_batchnorm

        return convert_sync_batchnorm(network)
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)
