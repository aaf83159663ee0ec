"""Load items while a network computes, in worker processes or threads.

Items always arrive in the order of their numbers, and errors are raised unchanged.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from multiprocessing import resource_tracker
from typing import Any, TypeVar

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.batch_buffers import BatchBuffers, PackedBatch
from pseudogt.files.ahead import load_in_threads

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""Signals that schedulers send before a time limit. They are for the main process, which then ends its workers."""

ITEMS_AHEAD = 2
"""Items that each worker loads before they are asked for."""

Item = TypeVar("Item")
Batch = Mapping[str, Tensor]


def load_in_order(
    load: Callable[[int], Item], numbers: Sequence[int], *, workers: int = 0
) -> Generator[Item, None, None]:
    """Yield the items of the numbers, loaded ahead of time.

    Parameters
    ----------
    load : callable
        From a number to its item, which must depend on the number alone. With workers it is pickled.
    numbers : sequence of int
    workers : int
        Number of processes. They are spawned, so they inherit no threads, open files or CUDA state. With 0, a
        thread loads one item ahead.

    Raises
    ------
    ValueError, OSError
        As ``load`` raised them, without the traceback of the process.
    """
    if not workers:
        yield from load_in_threads(load, numbers)
        return
    sampler = _Numbers(numbers)
    loader = DataLoader(
        _NumberedItems(load),
        batch_size=None,
        sampler=sampler,
        num_workers=min(workers, max(1, len(numbers))),
        prefetch_factor=ITEMS_AHEAD,
        worker_init_fn=_set_up_worker,
        multiprocessing_context="spawn",
        generator=torch.Generator(),  # the global one is the network's
    )
    with _block_stop_signals():
        items = iter(loader)
    try:
        for item in items:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        # Workers that end while sending an item may abort, so receive pending items before ending them.
        sampler.stopped = True
        with suppress(RuntimeError):
            deque(items, maxlen=0)


def load_batches(
    load: Callable[[int], Batch], numbers: range, *, workers: int, held: int = 1, pin_memory: bool = False
) -> Generator[Batch, None, None]:
    """Yield batches like :func:`load_in_order`; workers hand them over in memory that is used again.

    A thread receives them, one ahead, so that the network does not wait for the handing over.

    Parameters
    ----------
    load : callable
        From a number to a batch of about the same size as all others. With workers, the first one is loaded here, too.
    numbers : range
        Consecutive.
    workers : int
    held : int
        Number of batches in use at the same time. Asking for one more may overwrite the oldest.
    pin_memory : bool
        Whether tensors are brought into page-locked memory, from which they are copied to a GPU while it computes.
    """
    if not workers or not numbers:
        yield from load_in_order(load, numbers)
        return
    # Besides those in use, all that workers have begun, and one that is being received.
    buffers = BatchBuffers.like(load(numbers[0]), held + workers * ITEMS_AHEAD + 1)
    with closing(load_in_order(_Packing(load, buffers), numbers, workers=workers)) as packed:
        batches = map(_pin, map(buffers.unpack, packed)) if pin_memory else map(buffers.unpack, packed)
        yield next(batches)  # starts the workers, in this thread: torch reports their death to the main thread only
        with closing(load_in_threads(lambda _: next(batches), numbers[1:])) as received:
            yield from received


@contextmanager
def explain_lost_workers() -> Iterator[None]:
    """Say what to do where torch reports the death of a worker, which it may in any line of the block."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ValueError(
            f"a process that loads batches was killed ({str(error).splitlines()[0].strip()}), probably for lack of "
            "memory: lower loader_workers, or give the job more memory (in a container also /dev/shm, --shm-size)"
        ) from None


def count_workers(setting: int | str, device: torch.device, cores: int | None = None) -> int:
    """Worker processes of this process.

    Parameters
    ----------
    setting : int or "auto"
        A number is taken as it is. ``auto`` is one less than the cores for each GPU, and none on a CPU, whose cores
        compute.
    device : torch.device
    cores : int, optional
        Cores of the job; those this process may run on by default.
    """
    if setting != "auto":
        return int(setting)
    return max(1, count_cores(cores) - 1) if device.type == "cuda" else 0


def count_cores(cores: int | None = None) -> int:
    """Cores of this process: its share of those of the job, or of those that it may run on."""
    available = len(os.sched_getaffinity(0)) if cores is None else cores
    return max(1, available // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


@dataclass
class _Numbers:
    """Numbers of items, until the consumer stops."""

    numbers: Sequence[int]
    stopped: bool = False

    def __iter__(self) -> Iterator[int]:
        return takewhile(lambda _: not self.stopped, self.numbers)


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a worker; torch would put the traceback of the worker into its message."""

    error: Exception


@dataclass(frozen=True)
class _NumberedItems(Dataset[Any]):
    """The data set that torch's loader reads: items, and errors as items."""

    load: Callable[[int], Any]

    def __getitem__(self, number: int) -> Any:
        try:
            return self.load(number)
        except (ValueError, OSError) as error:
            return _Failure(error)


@dataclass(frozen=True)
class _Packing:
    """Loads a batch into a shared buffer."""

    load: Callable[[int], Batch]
    buffers: BatchBuffers

    def __call__(self, number: int) -> PackedBatch | Batch:
        return self.buffers.pack(self.load(number), number)


def _pin(batch: Batch) -> Batch:
    return {name: tensor.pin_memory() for name, tensor in batch.items()}


def _set_up_worker(_: int) -> None:
    cv2.setNumThreads(0)  # torch limits its own threads to one


@contextmanager
def _block_stop_signals() -> Iterator[None]:
    """Start processes that never see signals meant for this one: they inherit the mask."""
    # Starts with the first process otherwise, and unblocks the signals when it has.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
