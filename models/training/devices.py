"""Where a network computes, and in which precision: devices, processes, floating-point types."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import gettempdir

import torch

LONGEST_WAIT = timedelta(hours=2)
"""How long a process waits for the others, of which the slowest may still prepare images. A process that fails is not
waited for: torchrun ends the others."""


def choose_device(device: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` means here, and make it the current one if it is a GPU.

    A process of torchrun takes the GPU of its number, any other one that the fewest other jobs have taken.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cuda":
        return torch.device(device)
    if not torch.cuda.is_available():
        raise ValueError("device: cuda, but torch finds no GPU; choose auto or cpu")
    found, rank = torch.cuda.device_count(), os.environ.get("LOCAL_RANK")
    if rank is not None and int(rank) >= found:
        raise ValueError(
            f"gpus: {os.environ.get('LOCAL_WORLD_SIZE', int(rank) + 1)}, but torch finds {found} here; set gpus to "
            f"{found}, or check CUDA_VISIBLE_DEVICES ({os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')})"
        )
    number = claim_gpu() if rank is None else int(rank)
    # Triton and page-locked memory go by the current device.
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


@cache
def claim_gpu() -> int:
    """Number of a GPU that the fewest other jobs of this user have claimed; it is claimed until this process ends."""
    found = torch.cuda.device_count()
    if found == 1:
        return 0
    uuids = [torch.cuda.get_device_properties(number).uuid for number in range(found)]
    folder = Path(gettempdir())
    # Each GPU has a first lock, then each a second one, and so on.
    return next(
        number
        for turn in count()
        for number, uuid in enumerate(uuids)
        if _take_lock(folder / f"pseudogt-{os.getuid()}-{uuid}-{turn}.lock")
    )


def _take_lock(path: Path) -> bool:
    """Whether a lock was free; it is held until this process ends."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    return True


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the number type of the forward pass; ``auto`` is bfloat16 where the hardware multiplies in it."""
    if precision == "auto":
        on_cpu = device.type == "cpu"
        # GPUs before Ampere only emulate it, several times slower than 32 bits.
        native = (
            torch.cpu._is_avx512_bf16_supported() if on_cpu else torch.cuda.is_bf16_supported(including_emulation=False)
        )
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def autocast(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """Autocast to ``dtype``; with float32 it does nothing."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


@contextmanager
def explain_lack_of_memory(remedy: str) -> Iterator[None]:
    """Name the settings that help where a network is applied on a GPU that has too little memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ValueError(f"out of memory on the GPU: {remedy}; or end other programs that use it") from error


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
    on_gpu = device.type == "cuda"
    torch.distributed.init_process_group(
        "nccl" if on_gpu else "gloo", timeout=LONGEST_WAIT, device_id=device if on_gpu else None
    )
    try:
        yield torch.distributed.get_rank(), torch.distributed.get_world_size(), device
    except SystemExit:
        torch.distributed.destroy_process_group()
        raise
    # Not after an error: to leave the group is to wait for the others, and they wait for the gradients of this process.
    torch.distributed.destroy_process_group()
