"""Reusable shared memory through which worker processes pass batches.

New memory for every batch would cost more than the batch: the system clears its pages, and each process maps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

ALIGNMENT = 64
ROOM = 1.25
"""Size of a buffer over that of the first batch: padding to the largest sample varies."""


class _Place(NamedTuple):
    offset: int
    dtype: torch.dtype
    shape: torch.Size
    strides: tuple[int, ...]


@dataclass(frozen=True)
class PackedBatch:
    """Where the tensors of a batch lie in a buffer."""

    buffer: int
    places: dict[str, _Place]


@dataclass(frozen=True)
class BatchBuffers:
    """Buffers that are used in turn.

    Attributes
    ----------
    memory : (count, bytes) uint8
        Shared with all processes that get a copy of this object.
    """

    memory: Tensor

    @classmethod
    def like(cls, batch: Mapping[str, Tensor], count: int) -> Self:
        """Make buffers for batches of about the size of this one.

        Raises
        ------
        ValueError
            If there is not enough shared memory.
        """
        size = sum(_align(tensor.nbytes) for tensor in batch.values())
        try:
            return cls(torch.empty(count, _align(int(ROOM * size)), dtype=torch.uint8).share_memory_())
        except RuntimeError as error:
            raise ValueError(
                f"no room for {count} batches of {size / 1e6:.0f} MB in shared memory: lower loader_workers, or "
                "give the job more (in a container /dev/shm, --shm-size)"
            ) from error

    def pack(self, batch: Mapping[str, Tensor], number: int) -> PackedBatch | Mapping[str, Tensor]:
        """Copy the batch of a number into its buffer; one that does not fit stays as it is."""
        buffer = number % len(self.memory)
        packed, end = PackedBatch(buffer, {}), 0
        for name, tensor in batch.items():
            # Strides are kept where nothing lies between the values: results depend on the memory format.
            dense = tensor if tensor.is_contiguous(memory_format=torch.channels_last) else tensor.contiguous()
            packed.places[name] = _Place(end, dense.dtype, dense.shape, dense.stride())
            end += _align(dense.nbytes)
            if end > self.memory.shape[1]:
                return batch
            self._view(buffer, packed.places[name]).copy_(dense)
        return packed

    def unpack(self, item: PackedBatch | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The batch that :meth:`pack` copied, as views of its buffer."""
        if not isinstance(item, PackedBatch):
            return item
        return {name: self._view(item.buffer, place) for name, place in item.places.items()}

    def _view(self, buffer: int, place: _Place) -> Tensor:
        count = place.shape.numel() * place.dtype.itemsize
        values = self.memory[buffer, place.offset : place.offset + count].view(place.dtype)
        return values.as_strided(place.shape, place.strides, values.storage_offset())


def _align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
