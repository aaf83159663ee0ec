"""The bottom-up network as an entry of :mod:`models.segmenter.networks`."""

from __future__ import annotations

from dataclasses import dataclass

from models.segmenter.network import build_panoptic_network as build_network
from models.segmenter.training import SegmenterLoss as Loss

__all__ = ["Loss", "NetworkShape", "build_network"]


@dataclass(frozen=True)
class NetworkShape:
    """How large the network is, see :func:`models.segmenter.network.build_panoptic_network`."""

    decoder_channels: int
