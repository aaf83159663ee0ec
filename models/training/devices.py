"""Where a network computes, and in which precision: devices, processes, number types."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def choose_device(device: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` means here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda, but torch finds no GPU; choose auto or cpu")
    return torch.device(device, int(os.environ.get("LOCAL_RANK", 0))) if device == "cuda" else torch.device(device)


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the number type of the forward pass; ``auto`` is bfloat16 where the hardware multiplies in it."""
    if precision == "auto":
        on_cpu = device.type == "cpu"
        native = torch.cpu._is_avx512_bf16_supported() if on_cpu else torch.cuda.is_bf16_supported()
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def autocast(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """Autocast to ``dtype``; with float32 it does nothing."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def is_main_process() -> bool:
    """Whether this process writes the results; always, unless torchrun started several."""
    return int(os.environ.get("RANK", 0)) == 0


@contextmanager
def join_processes(device_name: str) -> Iterator[tuple[int, int, torch.device]]:
    """Give rank, number of processes and device; join the group if torchrun started one."""
    device = choose_device(device_name)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield 0, 1, device
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield torch.distributed.get_rank(), torch.distributed.get_world_size(), device
    finally:
        torch.distributed.destroy_process_group()
