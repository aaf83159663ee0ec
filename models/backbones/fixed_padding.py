"""Padding of timm's networks that does not depend on the image, for tracing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from unittest.mock import patch

import torch.nn.functional as F
from torch import Tensor, nn

PADDING_MODULES = ("timm.layers.conv2d_same", "timm.layers.pool2d_same", "timm.layers.std_conv")
"""Where timm's layers look up their function ``pad_same``."""


@contextmanager
def fix_padding(network: nn.Module) -> Iterator[None]:
    """In this block, let layers that pad as TensorFlow does assume that their stride divides the input.

    It does in images that are a multiple of all strides, and then the result is the same. In general the padding
    follows from the size by roundings; tracing a network for any size takes torch longer than minutes with them.
    """
    with ExitStack() as stack:
        if any(type(module).__module__.startswith("timm.") for module in network.modules()):
            for name in PADDING_MODULES:
                stack.enter_context(patch.object(import_module(name), "pad_same", _pad_for_stride))
        yield


def _pad_for_stride(
    values: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int] = (1, 1),
    value: float = 0,
) -> Tensor:
    """Pad inputs ``(B, C, H, W)`` with H and W divisible by ``stride`` as timm's ``pad_same`` does."""
    down, across = (max((kernel_size[i] - 1) * dilation[i] + 1 - stride[i], 0) for i in (0, 1))
    return F.pad(values, (across // 2, across - across // 2, down // 2, down - down // 2), value=value)
