"""Score files: per-class scores of the images of one shard in one HDF5 file.

CAMs and predictions share the layout. The file's attribute ``classes`` holds the names of the classes in the order
of their train ids; files of others and of older versions may lack it. One group per image id holds

``scores``
    ``(T, h, w) float16`` in [0, 1] at the network's stride, tagged classes only; its attribute
    ``train_ids (T,) uint8`` names the classes.
``label``, ``confidence`` (both or neither)
    ``(H, W) uint8`` at image size: train ids with ``IGNORE_LABEL``, and 0..255 for [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import IGNORE_LABEL, ClassTable
from pseudogt.files.by_image import map_images
from pseudogt.files.hdf5 import read_hdf5, store_array, write_hdf5


class ScoreWriter:
    """Collects the scores of one shard; made by :func:`write_scores`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def add(
        self,
        image_id: str,
        scores: NDArray[np.floating],
        train_ids: NDArray[np.integer],
        label: NDArray[np.uint8] | None = None,
        confidence: NDArray[np.uint8] | None = None,
    ) -> None:
        """Write the scores of one image.

        Parameters
        ----------
        image_id : str
        scores : (T, h, w) floating
            In [0, 1]; stored as float16.
        train_ids : (T,) integer
            The class of each map.
        label, confidence : (H, W) uint8, optional
            Best class and its confidence; given together.

        Raises
        ------
        ValueError
            If ``scores`` and ``train_ids`` differ in length or only one of the maps is given.
        """
        if len(scores) != len(train_ids):
            raise ValueError(f"image {image_id!r}: {len(scores)} score maps for {len(train_ids)} train ids")
        if (label is None) != (confidence is None):
            raise ValueError(f"image {image_id!r}: label and confidence go together")
        group = self._file.create_group(image_id)
        dataset = store_array(group, "scores", np.asarray(scores, np.float16))
        dataset.attrs["train_ids"] = np.asarray(train_ids, np.uint8)
        if label is not None:
            for name, values in (("label", label), ("confidence", confidence)):
                store_array(group, name, np.asarray(values), compression="gzip", compression_opts=1)

    def copy(self, source: ScoreFile, image_id: str) -> None:
        """Take over the scores of an image as they are."""
        with read_hdf5(source.path) as file:
            file.copy(image_id, self._file)


@contextmanager
def write_scores(path: Path | str, classes: ClassTable) -> Iterator[ScoreWriter]:
    """A :class:`ScoreWriter` whose file appears at ``path`` only if the block ends well."""
    with write_hdf5(path) as file:
        file.attrs["classes"] = classes.names
        yield ScoreWriter(file)


class ScoreFile:
    """The scores of one shard on disk; every read reopens the file, so workers may share one object.

    Attributes
    ----------
    path : Path
    image_ids : list of str
    class_names : tuple of str or None
        Names of the classes in the order of their train ids; None if the file does not hold them.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with read_hdf5(self.path) as file:
            self.image_ids: list[str] = list(file)
            names = file.attrs.get("classes")
            self.class_names = None if names is None else tuple(map(str, names))

    def __contains__(self, image_id: str) -> bool:
        return image_id in self.image_ids

    def read(self, image_id: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Scores ``(T, h, w) float32`` of one image and their train ids ``(T,) uint8``."""
        with self._open(image_id) as group:
            return group["scores"][()].astype(np.float32), group["scores"].attrs["train_ids"]

    def read_maps(self, image_id: str) -> dict[int, NDArray[np.float32]]:
        """Score maps ``(h, w) float32`` of one image by train id."""
        scores, train_ids = self.read(image_id)
        return dict(zip(train_ids.tolist(), scores, strict=True))

    def read_label(self, image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Label and confidence ``(H, W) uint8`` of one image."""
        with self._open(image_id) as group:
            if "label" not in group:
                raise ValueError(f"{self.path}: image {image_id!r} has scores but no label")
            return group["label"][()], group["confidence"][()]

    @contextmanager
    def _open(self, image_id: str) -> Iterator[h5py.Group]:
        with read_hdf5(self.path) as file:
            if image_id not in file:
                raise ValueError(f"{self.path}: no scores of image {image_id!r}")
            yield file[image_id]


def read_score_files(paths: Iterable[Path | str]) -> dict[str, ScoreFile]:
    """Map each image id to the file that holds its scores; an id in two files is an error."""
    return map_images(map(ScoreFile, paths))


def find_score_flaw(
    label: NDArray[Any], confidence: NDArray[Any], maps: NDArray[Any], train_ids: NDArray[Any], class_count: int
) -> str:
    """What in an image's scores breaks the layout of this module; empty if nothing does."""
    for what, found in (("label", label), ("confidence", confidence)):
        if found.dtype != np.uint8:
            return f"has a {what} of type {found.dtype}; it must be uint8, 0 to 255"
    if maps.ndim != 3 or len(maps) != len(train_ids):
        return f"has scores of shape {maps.shape} for {len(train_ids)} train ids; it must be (train ids, height, width)"
    # Comparisons with NaN are false.
    if not ((maps >= 0) & (maps <= 1)).all():
        return "has scores that are not numbers from 0 to 1"
    highest = max([*np.unique(label[label != IGNORE_LABEL]), *train_ids], default=0)
    return f"has train id {highest}, the class table {class_count} classes" if highest >= class_count else ""
