"""Trace a network with ``torch.export`` for images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from pseudogt.prediction.maps import SIZE_MULTIPLE

TRACED_SIZE = (2, 96, 160)
"""Images, height and width of the batch with which a network is traced; no two are equal, and none is 1."""

TIMM_PADDING = ("timm.layers.conv2d_same", "timm.layers.pool2d_same", "timm.layers.std_conv")
"""Where timm's layers look up their function ``pad_same``."""


class PlainOutputs(nn.Module):
    """A network whose outputs are a plain tuple: archives know no named ones."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The outputs for images ``(B, 3, H, W) uint8``."""
        return tuple(self.network(images))


def trace_network(network: nn.Module, only_px: int | None) -> ExportedProgram:
    """Trace a network for any number of images, of any size or of the given side."""
    count, height, width = (TRACED_SIZE[0], only_px, only_px) if only_px else TRACED_SIZE
    batch = torch.zeros(count, 3, height, width, dtype=torch.uint8)
    axes = {0: Dim("batch")}
    if not only_px:
        axes |= {2: SIZE_MULTIPLE * Dim("rows"), 3: SIZE_MULTIPLE * Dim("columns")}
    with keep_sizes_symbolic(network):
        return torch.export.export(PlainOutputs(network), (batch,), dynamic_shapes=(axes,))


@contextmanager
def keep_sizes_symbolic(network: nn.Module) -> Iterator[None]:
    """In this block, replace two functions of other libraries that tracing can't follow for any size.

    - timm's ``pad_same``, by which layers pad as TensorFlow does. The padding follows from the size by roundings, which
      take torch longer than minutes. The replacement assumes that the stride of a layer divides its input, and is then
      equal: images are multiples of all strides.
    - ``torch.as_tensor``, to which transformers gives the sizes of a mask transformer's features. Of a list of symbolic
      sizes it makes constants; ``torch.tensor`` does not.
    """
    with ExitStack() as stack:
        stack.enter_context(_replace(torch, "as_tensor", _make_tensor))
        if any(type(module).__module__.startswith("timm.") for module in network.modules()):
            for name in TIMM_PADDING:
                stack.enter_context(_replace(import_module(name), "pad_same", _pad_for_stride))
        yield


@contextmanager
def _replace(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _make_tensor(
    data: Any, dtype: torch.dtype | None = None, device: torch.device | None = None, *, convert: Any = torch.as_tensor
) -> Tensor:
    made = convert if isinstance(data, Tensor) else torch.tensor
    return made(data, dtype=dtype, device=device)


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
