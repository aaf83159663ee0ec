"""HDF5 files with checksums that appear only when they are complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from pseudogt.files.io import replace_atomically


@contextmanager
def write_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """A new HDF5 file that appears at ``path`` only if the block ends well.

    Its structure carries checksums, and so do arrays added by :func:`store_array`.
    """
    with replace_atomically(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        yield file


def store_array(group: h5py.Group, name: str, values: NDArray[Any], **options: Any) -> h5py.Dataset:
    """Add an array with a checksum that is verified whenever it is read, and further options of h5py."""
    # HDF5 can't cut an empty array into the chunks that checksums are of.
    return group.create_dataset(name, data=values, **({"fletcher32": True, **options} if values.size else {}))


@contextmanager
def read_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """An HDF5 file to read from.

    Raises
    ------
    ValueError
        If the file is missing or damaged, also if that shows within the block; the message names it.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{path}: damaged or of another layout ({error}); if a run made it, delete it and run again"
        ) from error
