"""Run the panoptic network on batches, for :func:`pseudogt.prediction.passes.predict_images`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.training import autocast, explain_lack_of_memory
from pseudogt.prediction.kinds import NetworkKind
from pseudogt.prediction.maps import Maps, RunNetwork


def prepare_network(network: nn.Module, kind: NetworkKind, device: torch.device, dtype: torch.dtype) -> RunNetwork:
    """Move a network to its device and into evaluation mode; return what applies it in the precision ``dtype``."""
    network.eval().to(device).to(memory_format=torch.channels_last)
    tiles = " or predictions.tile_px" if kind.can_tile else ""

    @torch.inference_mode()
    def run(images: NDArray[np.uint8]) -> Maps:
        with explain_lack_of_memory(f"lower predictions.batch_size{tiles}"), autocast(dtype, device):
            outputs = network(torch.from_numpy(images).permute(0, 3, 1, 2).to(device))
        return kind.maps(*(output.float().cpu().numpy() for output in outputs))

    return run


def measure_gpu_bytes(device: torch.device) -> float:
    """Free memory of a GPU."""
    return float(torch.cuda.mem_get_info(device)[0])
