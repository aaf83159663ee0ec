"""Process the images of a list, in one process or several."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

import cv2
from tqdm import tqdm

Result = TypeVar("Result")

_MAX_CHUNK = 16  # images handed to a process at once: few enough to share the last ones evenly


def add_workers_argument(parser: argparse.ArgumentParser) -> None:
    """Argument of the commands that share images among processes."""
    parser.add_argument("--workers", type=int, default=1, help="processes that share the images; default: 1")


def process_images(
    work: Callable[[str], Result], image_ids: Sequence[str], *, workers: int, description: str
) -> list[Result]:
    """Results of ``work`` in the order of the ids; its first failure ends the run.

    Parameters
    ----------
    work : callable
        Takes an image id; must be picklable if there are several workers.
    image_ids : sequence of str
    workers : int
        Processes; 1 = this one.
    description : str
        Text of the progress bar.

    Raises
    ------
    ValueError
        What ``work`` raised as ``ValueError`` or ``OSError``, with the image id in front; or if a
        process died.
    """
    if workers < 1:
        raise ValueError(f"--workers must be at least 1, got {workers}")
    named = partial(_name_failure, work)
    bar = partial(tqdm, total=len(image_ids), desc=description, unit="image", mininterval=5)
    if workers == 1:
        return list(bar(map(named, image_ids)))
    chunk = max(1, min(_MAX_CHUNK, len(image_ids) // (4 * workers)))
    try:
        with _start_processes(min(workers, len(image_ids))) as executor:
            return list(bar(executor.map(named, image_ids, chunksize=chunk)))
    except BrokenProcessPool as error:
        raise ValueError("a process died, probably for lack of memory; use fewer --workers") from error


def _start_processes(count: int) -> ProcessPoolExecutor:
    """Fresh processes: one forked from a process that has used OpenCV's threads waits for them forever.

    Each uses one thread; threads of OpenCV in all of them would fight over the cores.
    """
    return ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )


def _name_failure(work: Callable[[str], Result], image_id: str) -> Result:
    try:
        return work(image_id)
    except (ValueError, OSError) as error:
        raise ValueError(f"image {image_id}: {error}") from error
