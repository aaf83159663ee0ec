"""The images that a layout lists, and the files of one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import NamedTuple

from pseudogt.files.listing import IMAGE_SUFFIXES, FolderContent, scan_folder


class ListedImage(NamedTuple):
    """An image of a split.

    Attributes
    ----------
    split : str
    folder : str
        Where its file lies, relative to the dataset's folder.
    name : str
        File name without suffix and without the folders that the layout puts before it.
    path : str or None
        Its file; None where a list names images, whose files are looked for later.
    """

    split: str
    folder: str
    name: str
    path: str | None = None


@dataclass
class Listing:
    """Images of a split, in its order, and what was passed over."""

    images: list[ListedImage]
    passed_over: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SourceFiles:
    """Paths of an image and of its ground truth; None where there is none.

    Attributes
    ----------
    image : Path
    semantic, instances : Path or None
        Values of classes and of instances.
    segments : Path or None
        JSON with the class of each segment of ``semantic``, which then holds segments (COCO).
    other_semantic, other_instances : Path or None
        A second annotation of the image (SBD beside VOC).
    boxes : Path or None
        Boxes of its objects, VOC's XML; the file need not be there.
    wanted : mapping
        Where ``semantic``, ``instances`` and ``segments`` were looked for.
    """

    image: Path
    semantic: Path | None
    instances: Path | None
    segments: Path | None = None
    other_semantic: Path | None = None
    other_instances: Path | None = None
    boxes: Path | None = None
    wanted: Mapping[str, Path] = field(default_factory=dict)


class ImageFolders:
    """The folders of images, each listed when it is first asked for."""

    def __init__(self) -> None:
        self._contents: dict[Path, FolderContent] = {}

    def find(self, root: Path, image: ListedImage) -> Path:
        """File of a listed image; ``ValueError`` if there is none."""
        if image.path is not None:
            return Path(image.path)
        folder = root / image.folder
        stem, dot, suffix = image.name.rpartition(".")
        has_suffix = f"{dot}{suffix}".lower() in IMAGE_SUFFIXES
        name = PurePath(stem if has_suffix else image.name).name
        hint = f"; list names without suffix and folder: {name}" if has_suffix or not folder.is_dir() else ""
        if folder not in self._contents:
            try:
                self._contents[folder] = scan_folder(folder)
            except ValueError as error:
                raise ValueError(f"{error}{hint}") from error
        file = self._contents[folder].images.get(image.name)
        if file is None:
            raise ValueError(
                f"{folder / image.name}: no image of that name (.jpg, .png, ...)"
                f"{hint or '; add it or take it off the list'}"
            )
        return folder / file


def path_if_there(path: Path) -> Path | None:
    """Return the path, or None if no such file exists."""
    return path if path.is_file() else None


def find_labels(image: Path, wanted: Mapping[str, Path]) -> SourceFiles:
    """Files of an image: those of ``semantic``, ``instances`` and ``segments`` that are there."""
    there = {kind: path_if_there(path) for kind, path in wanted.items()}
    return SourceFiles(image, there.get("semantic"), there.get("instances"), there.get("segments"), wanted=wanted)
