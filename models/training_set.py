"""Training samples in files at the network's resolution, made once and mapped into the memory of every process.

A file holds up to ``SAMPLES_PER_FILE`` samples: the bytes of their arrays, each aligned to ``ALIGNMENT``, then as JSON
the type, shape and offset of every array by sample and name, then the length of this JSON (8 bytes, little endian) and
``MAGIC``. A file appears under its name only when it is complete.
"""

from __future__ import annotations

import json
import mmap
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pseudogt.files.io import replace_atomically

SAMPLES_PER_FILE = 16
"""A hundred thousand images are some thousand files, which network disks and quotas bear."""

ALIGNMENT = 64
MAGIC = b"samples1"
OPEN_FILES = 128
"""Files that a process keeps mapped: each holds a file descriptor, of which most systems allow 1,024."""

Arrays = Mapping[str, NDArray[Any]]


class StoredSample(Protocol):
    """A sample that consists of arrays."""

    def to_arrays(self) -> Arrays:
        """The arrays by name."""

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The sample that :meth:`to_arrays` took apart."""


Sample = TypeVar("Sample", bound=StoredSample)
AnySample = TypeVar("AnySample", covariant=True)


class Samples(Protocol[AnySample]):
    """Samples by number: read when asked for, or kept in files."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> AnySample: ...


@dataclass(frozen=True, eq=False)
class TrainingSet(Generic[Sample]):
    """Those samples of a training that it draws, in the files of a folder.

    Attributes
    ----------
    folder : Path
        Named by all that determines the samples.
    numbers : (N,) int64
        Numbers of the stored samples, ascending, by which they are requested.
    kind : type of StoredSample
    """

    folder: Path
    numbers: NDArray[np.int64]
    kind: type[Sample]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> Sample:
        position = int(np.searchsorted(self.numbers, number))
        if position == len(self) or self.numbers[position] != number:
            raise IndexError(f"sample {number} was not prepared")
        file, row = divmod(position, SAMPLES_PER_FILE)
        return self.kind.from_arrays(_map_file(self.locate(file)).get_arrays(row))

    @property
    def files(self) -> int:
        """Number of files."""
        return -(-len(self) // SAMPLES_PER_FILE)

    def locate(self, file: int) -> Path:
        """Path of a file."""
        return self.folder / f"{file:06d}.samples"

    def list_numbers(self, file: int) -> list[int]:
        """Numbers of the samples in a file."""
        return self.numbers[file * SAMPLES_PER_FILE : (file + 1) * SAMPLES_PER_FILE].tolist()

    def list_missing(self) -> list[int]:
        """Files that are not there, or not complete."""
        return [file for file in range(self.files) if not _is_complete(self.locate(file))]

    def remove(self) -> None:
        """Delete all files."""
        _map_file.cache_clear()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Preparation(Generic[Sample]):
    """How the files of a training set are made.

    Attributes
    ----------
    source : Samples
        Where each sample comes from. Processes of the loader get a copy: it must be picklable.
    target : TrainingSet
    """

    source: Samples[Sample]
    target: TrainingSet[Sample]

    def write_file(self, file: int) -> int:
        """Make a file and return the number of its samples."""
        numbers = self.target.list_numbers(file)
        write_samples(self.target.locate(file), (self.source[number].to_arrays() for number in numbers))
        return len(numbers)


def write_samples(path: Path, samples: Iterable[Arrays]) -> None:
    """Write a file of samples.

    Raises
    ------
    OSError
        Naming the folder if it has no room.
    """
    with replace_atomically(path) as temporary:
        try:
            _write_arrays(temporary, samples)
        except OSError as error:
            if error.filename is None and error.errno is not None:
                # Errors of a write name no file.
                raise OSError(error.errno, f"{error.strerror}; prepared images need it", str(path.parent)) from error
            raise


def _write_arrays(path: Path, samples: Iterable[Arrays]) -> None:
    index = []
    with path.open("wb") as file:
        for arrays in samples:
            entries = {}
            for name, array in arrays.items():
                file.write(bytes(-file.tell() % ALIGNMENT))
                entries[name] = (array.dtype.str, array.shape, file.tell())
                file.write(np.ascontiguousarray(array).data)
            index.append(entries)
        header = json.dumps(index).encode()
        file.write(header + len(header).to_bytes(8, "little") + MAGIC)


@dataclass(frozen=True)
class _MappedFile:
    content: mmap.mmap
    index: list[dict[str, tuple[str, list[int], int]]]

    def get_arrays(self, row: int) -> dict[str, NDArray[Any]]:
        return {
            name: np.ndarray(shape, dtype, self.content, offset)
            for name, (dtype, shape, offset) in self.index[row].items()
        }


@lru_cache(OPEN_FILES)
def _map_file(path: Path) -> _MappedFile:
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    end = len(content) - len(MAGIC)
    length = int.from_bytes(content[end - 8 : end], "little")
    return _MappedFile(content, json.loads(content[end - 8 - length : end - 8]))


def _is_complete(path: Path) -> bool:
    """Whether a file ends as it must; after a crash of the machine, one with its name may be cut."""
    if not path.is_file() or path.stat().st_size < len(MAGIC):
        return False
    with path.open("rb") as file:
        file.seek(-len(MAGIC), 2)
        return file.read() == MAGIC
