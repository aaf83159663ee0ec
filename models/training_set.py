"""Training samples by number, prepared when first asked for and kept in memory as far as they fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

Sample = TypeVar("Sample")


class TrainingSet(Generic[Sample]):
    """The samples of a training; what does not fit into memory is prepared again in every epoch.

    Parameters
    ----------
    count : int
    prepare : callable
        From the number of a sample to the sample, an object whose attributes hold its arrays, or tuples of them.
    cache_gb : float
        Memory for the arrays of samples, in units of 2**30 bytes.
    """

    def __init__(self, count: int, prepare: Callable[[int], Sample], *, cache_gb: float) -> None:
        self._count = count
        self._prepare = prepare
        self._room = cache_gb * 2**30
        self._kept: dict[int, Sample] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Sample:
        if number in self._kept:
            return self._kept[number]
        sample = self._prepare(number)
        size = sum(map(_count_bytes, vars(sample).values()))
        if size <= self._room:
            self._room -= size
            self._kept[number] = sample
        return sample


def _count_bytes(value: object) -> int:
    if isinstance(value, tuple):
        return sum(map(_count_bytes, value))
    return value.nbytes if isinstance(value, np.ndarray) else 0
