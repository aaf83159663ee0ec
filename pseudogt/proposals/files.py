"""Proposal files: the proposals of one shard in one HDF5 file; and MCG's MATLAB files of one image, to read.

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
``labels`` with the superpixels of each proposal, and ``scores``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import loadmat

from pseudogt.files.by_image import map_images
from pseudogt.files.hdf5 import read_hdf5, store_array, write_hdf5
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.members import Members
from pseudogt.proposals.regions import find_member_boxes, find_superpixel_boxes


class ProposalWriter:
    """Collects the proposals of one shard; made by :func:`write_proposals`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def add(self, image_id: str, proposals: Proposals) -> None:
        """Write the proposals of one image."""
        group = self._file.create_group(image_id)
        options: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        store_array(group, "superpixels", np.asarray(proposals.superpixels, np.int32), **options)
        store_array(group, "indices", proposals.members.indices, **options)
        store_array(group, "starts", proposals.members.starts)
        store_array(group, "scores", proposals.scores)
        store_array(group, "boxes_xyxy", np.asarray(proposals.boxes_xyxy, np.int32))


@contextmanager
def write_proposals(path: Path | str) -> Iterator[ProposalWriter]:
    """A :class:`ProposalWriter` whose file appears at ``path`` only if the block ends well."""
    with write_hdf5(path) as file:
        yield ProposalWriter(file)


class ProposalFile:
    """The proposals of one shard on disk; every read reopens the file, so workers may share one object."""

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
            members = Members(group["indices"][()], group["starts"][()])
            found = Proposals(group["superpixels"][()], members, group["scores"][()], group["boxes_xyxy"][()])
        named, last = members.indices.max(initial=-1), found.superpixels.max()
        if named > last:
            raise ValueError(
                f"{self.path}: image {image_id!r} has a proposal with superpixel {named}, but its map ends at {last}; "
                "remake the file"
            )
        return found


def read_proposal_files(paths: Iterable[Path | str]) -> dict[str, ProposalFile]:
    """Map each image id to the file that holds its proposals; an id in two files is an error."""
    return map_images(map(ProposalFile, paths))


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
    wrong = [number for each in lists for number in each[(each < 0) | (each >= count)].tolist()]
    if wrong:
        raise ValueError(
            f"{path}: labels name superpixel {wrong[0] + 1} of {count}; the file is damaged, unpack the archive again"
        )
    members, from_zero = Members.from_lists(lists), (superpixels - 1).astype(np.int32)
    boxes = find_member_boxes(members, find_superpixel_boxes(from_zero)).astype(np.int32)
    return Proposals(from_zero, members, scores, boxes)


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
