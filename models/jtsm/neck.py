"""The neck of JTSM: two fully connected layers over the pooled features of a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from models.jtsm.backbones import JtsmBackbone
from models.jtsm.resnet_ws_weights import read_resnet_ws_weights
from pseudogt.config.mining import RESNET_WS

BINS = 7
"""A proposal is pooled to ``BINS x BINS``."""

DEFAULT_WIDTHS = {
    "resnet_ws18": (4096, 4096),
    "resnet_ws50": (2048, 4096),
    "resnet_ws101": (2048, 4096),
    "resnet18": (4096, 4096),
    "resnet50": (2048, 4096),
    "resnet101": (2048, 4096),
    "small": (512, 512),
}
"""Widths by backbone: the authors', with whose weights they come; of ``small`` what two cores train in time."""


class Neck(nn.Module):
    """Two fully connected layers, each with ReLU and dropout ("discriminative adaption neck").

    Differs from the paper's code, which starts at N(0, 0.005) and 0.1 where there are no weights: from
    there the mining head finds all proposals equal for a long time.

    Parameters
    ----------
    channels : int
        Width of the features.
    widths : sequence of int
        Width of the first and the second layer.
    dropout : float
        Share of the values of each layer that training leaves out.
    bins : int
        Proposals are pooled to ``bins x bins``.
    """

    def __init__(self, *, channels: int, widths: Sequence[int], dropout: float = 0.5, bins: int = BINS) -> None:
        super().__init__()
        self.dropout = dropout
        first, second = widths
        self.channels = second
        self.fc1 = nn.Linear(channels * bins**2, first)
        self.fc2 = nn.Linear(first, second)
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """Features ``(R, channels of the second layer)`` of pooled ones ``(R, C, bins, bins)``."""
        feature = F.dropout(F.relu(self.fc1(pooled.flatten(1))), self.dropout, self.training)
        return F.dropout(F.relu(self.fc2(feature)), self.dropout, self.training)


def build_neck(
    backbone: JtsmBackbone,
    *,
    widths: Sequence[int] | None = None,
    dropout: float = 0.5,
    weights: str | Path | None = None,
) -> Neck:
    """Build the neck of a backbone.

    Parameters
    ----------
    backbone : JtsmBackbone
    widths : sequence of int, optional
        Width of both layers; None takes ``DEFAULT_WIDTHS``.
    dropout : float
        Share of the values of each layer that training leaves out.
    weights : path or str, optional
        The weight file of a ResNet-WS, which holds its neck. None starts from random weights.

    Raises
    ------
    ValueError
        If the file does not fit the backbone or the widths.
    """
    name: str = backbone.architecture["name"]
    widths = DEFAULT_WIDTHS[name] if widths is None else widths
    neck = Neck(channels=backbone.channels, widths=widths, dropout=dropout)
    if weights is not None:
        _load_weights(neck, backbone, name, weights)
    return neck


def _load_weights(neck: Neck, backbone: JtsmBackbone, name: str, weights: str | Path) -> None:
    if name not in RESNET_WS:
        raise ValueError(f"{weights}: only the files of {', '.join(RESNET_WS)} hold a neck, not those of {name!r}")
    _, state = read_resnet_ws_weights(weights, backbone.state_dict())
    for key, value in neck.state_dict().items():
        if state[key].shape != value.shape:
            raise ValueError(
                f"{weights}: {key} is {tuple(state[key].shape)}, the neck needs {tuple(value.shape)}; "
                "leave out its widths, or its weights"
            )
    neck.load_state_dict(state)
