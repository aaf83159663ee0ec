"""Proposal files: the proposals of one shard in one HDF5 file, and one image's as MCG's MATLAB files.

One group per image id holds

``superpixels``
    ``(H, W) int32``, from 0.
``indices``, ``starts``
    ``int32``: the superpixels of proposal n are ``indices[starts[n] : starts[n + 1]]``.
``scores``
    ``(N,)`` floating.
``boxes_xyxy``
    ``(N, 4) int32``, half-open.

A file of MCG (Arbelaez, Pont-Tuset et al., CVPR 2014) holds ``superpixels`` (from 1), the cell array
``labels`` with the superpixels of each proposal, and ``scores``; the archives of its boxes hold
``boxes`` (``[y0 x0 y1 x1]`` from 1, inclusive) and ``scores``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from pseudogt.files.hdf5 import read_hdf5, store_array, write_hdf5
from pseudogt.files.io import replace_atomically
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.regions import find_member_boxes, find_superpixel_boxes

_MAT_HEADER = b"MATLAB 5.0 MAT-file, written by pseudogt".ljust(116)
"""Takes the place of scipy's, which holds the time."""


class ProposalWriter:
    """Collects the proposals of one shard; made by :func:`write_proposals`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def add(self, image_id: str, proposals: Proposals) -> None:
        """Write the proposals of one image."""
        group = self._file.create_group(image_id)
        starts, indices = _to_sparse(proposals.members)
        options: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        store_array(group, "superpixels", np.asarray(proposals.superpixels, np.int32), **options)
        store_array(group, "indices", indices, **options)
        store_array(group, "starts", starts)
        store_array(group, "scores", proposals.scores)
        store_array(group, "boxes_xyxy", np.asarray(proposals.boxes_xyxy, np.int32))


@contextmanager
def write_proposals(path: Path | str) -> Iterator[ProposalWriter]:
    """A :class:`ProposalWriter` whose file appears at ``path`` only if the block ends well."""
    with write_hdf5(path) as file:
        yield ProposalWriter(file)


class ProposalFile:
    """The proposals of one shard on disk; every read opens the file anew, so workers may share one."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with read_hdf5(self.path) as file:
            self.image_ids: list[str] = list(file)

    def read(self, image_id: str) -> Proposals:
        """Proposals of one image."""
        with read_hdf5(self.path) as file:
            if image_id not in file:
                raise ValueError(f"{self.path}: no proposals of image {image_id!r}")
            group = file[image_id]
            superpixels = group["superpixels"][()]
            members = _to_dense(group["starts"][()], group["indices"][()], int(superpixels.max()) + 1)
            return Proposals(superpixels, members, group["scores"][()], group["boxes_xyxy"][()])


def write_mcg(path: Path | str, proposals: Proposals) -> None:
    """Write the proposals of one image as MCG does, atomically; equal proposals give equal bytes."""
    labels = np.empty((len(proposals.members), 1), object)
    for row, members in enumerate(proposals.members):
        labels[row, 0] = (np.flatnonzero(members) + 1).astype(np.int32)[None]
    buffer = io.BytesIO()
    variables = {
        "superpixels": np.asarray(proposals.superpixels, np.int32) + 1,
        "labels": labels,
        "scores": np.asarray(proposals.scores)[:, None],
    }
    savemat(buffer, variables, do_compression=True)
    with replace_atomically(path) as temporary:
        temporary.write_bytes(_MAT_HEADER + buffer.getvalue()[len(_MAT_HEADER) :])


def read_mcg(path: Path | str) -> Proposals:
    """Proposals of one image from a file of MCG.

    Raises
    ------
    ValueError
        If the file is missing, broken or of another structure; the message names it.
    """
    variables = _read_mat(path, ("superpixels", "labels", "scores"))
    superpixels = np.asarray(variables["superpixels"], np.int64)
    lists = [np.ravel(cell).astype(np.int64) - 1 for cell in np.ravel(variables["labels"])]
    scores = np.ravel(variables["scores"])
    if superpixels.ndim != 2 or not superpixels.size or superpixels.min() < 1:
        raise ValueError(f"{path}: superpixels must be a matrix of numbers from 1, found {superpixels.shape}")
    if len(lists) != len(scores):
        raise ValueError(f"{path}: {len(lists)} proposals in labels, but {len(scores)} scores")
    count = int(superpixels.max())
    starts = np.concatenate([[0], np.cumsum([len(each) for each in lists])]).astype(np.int64)
    indices = np.concatenate([*lists, np.zeros(0, np.int64)])
    if len(indices) and not 0 <= indices.min() <= indices.max() < count:
        wrong = indices[(indices < 0) | (indices >= count)][0] + 1
        raise ValueError(
            f"{path}: labels name superpixel {wrong} of {count}; the file is damaged, unpack the archive again"
        )
    members = _to_dense(starts, indices, count)
    from_zero = (superpixels - 1).astype(np.int32)
    boxes = find_member_boxes(members, find_superpixel_boxes(from_zero)).astype(np.int32)
    return Proposals(from_zero, members, scores, boxes)


def read_mcg_boxes(path: Path | str) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
    """Half-open boxes ``(N, 4) int32`` and scores ``(N,)`` of one image from an archive of MCG's boxes.

    Raises
    ------
    ValueError
        If the file is missing, broken or of another structure; the message names it.
    """
    variables = _read_mat(path, ("boxes", "scores"))
    boxes, scores = np.asarray(variables["boxes"]), np.ravel(variables["scores"])
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) != len(scores):
        raise ValueError(f"{path}: expected boxes Nx4 and N scores, found {boxes.shape} and {len(scores)}")
    y0, x0, y1, x1 = boxes.astype(np.int32).T
    return np.stack([x0 - 1, y0 - 1, x1, y1], axis=1), scores


def _read_mat(path: Path | str, names: tuple[str, ...]) -> dict[str, Any]:
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        variables = loadmat(path)
    except NotImplementedError as error:
        raise ValueError(f"{path}: is a MATLAB file of version 7.3; save it with the option -v7") from error
    except Exception as error:  # scipy fails on broken files in many ways, down to KeyError and zlib.error
        raise ValueError(f"{path}: can't be read as a MATLAB 5 file ({error})") from error
    missing = [name for name in names if name not in variables]
    if missing:
        found = ", ".join(name for name in variables if not name.startswith("__")) or "none"
        raise ValueError(f"{path}: lacks the variables {', '.join(missing)}; found {found}")
    return variables


def _to_sparse(members: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    starts = np.concatenate([[0], np.cumsum(members.sum(1))]).astype(np.int32)
    return starts, np.nonzero(members)[1].astype(np.int32)


def _to_dense(starts: NDArray[np.integer], indices: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    members = np.zeros((len(starts) - 1, count), bool)
    members[np.repeat(np.arange(len(starts) - 1), np.diff(starts)), indices] = True
    return members
