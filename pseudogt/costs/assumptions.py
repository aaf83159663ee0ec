"""What the estimates of networks assume of machines, and of any network on them."""

from __future__ import annotations

GIGAPRODUCTS_PER_SECOND = 115.0
"""Speed of two cores in convolutions; the seconds of ResNets follow from it."""

PRODUCTS_PER_SECOND = 1.5e11
"""Multiplications and additions of two cores in matrix products of 32-bit numbers."""

ACTIVATION_MB_PER_SECOND = 1650.0
"""Values that two cores write, read and differentiate; what networks of thin layers, few products each, wait for."""

GPU_SPEEDUP = 60
"""Approximate speed of a recent GPU relative to two cores."""

GRADIENT_FACTOR = 3
"""Products of a training step per product of its forward pass."""

FORWARD_SHARE = 1 / 3
"""Share of a step that is spent without gradients: the whole cost of a frozen backbone, and of inference."""

FROZEN_SHARE = 0.1
"""Memory of a pass without gradients, which keeps few layers at a time, over that of a training step."""

BASE_MB = 1500.0
"""Main memory of a process with torch."""

BYTES_PER_WEIGHT = 16
"""A weight that is trained, its gradient, its momentum, and a copy on its way to or from a file."""
