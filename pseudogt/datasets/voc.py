"""The official PASCAL VOC layout, ``VOCdevkit/VOC<year>/``, and SBD's, ``benchmark_RELEASE/dataset/``, beside it.

Splits of 2012 are those of ``ImageSets/Segmentation`` and ``sbd``: all images of SBD that are in none of them, 9,118.
Splits of 2007 are those of ``ImageSets/Main``, whose images have boxes, few of them masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pseudogt.datasets.source import ImageFolders, ListedImage, Listing, SourceFiles, path_if_there
from pseudogt.parsing.image_lists import read_id_list

SBD_FOLDER = "benchmark_RELEASE/dataset"
SBD_SPLIT = "sbd"


@dataclass(frozen=True)
class VocLayout:
    """Lists and files of one year.

    Attributes
    ----------
    year : int
    lists : str
        Folder of the lists in ``ImageSets``.
    """

    year: int
    lists: str

    def find_splits(self, root: Path) -> list[str]:
        """Names of the lists of images, without the lists of single classes."""
        folder = root / "VOCdevkit" / f"VOC{self.year}" / "ImageSets" / self.lists
        return [name for name in ("train", "val", "trainval", "test") if (folder / f"{name}.txt").is_file()]

    def list_split(self, root: Path, split: str) -> Listing:
        """Images of a split, in the order of its list; those of ``sbd`` in the order of SBD's train.txt and val.txt."""
        images = str((self._folder(root) / "JPEGImages").relative_to(root))
        return Listing([ListedImage(split, images, name) for name in self._list_names(root, split)])

    def _list_names(self, root: Path, split: str) -> list[str]:
        if split != SBD_SPLIT:
            return read_id_list(self._list_file(root, split))
        sbd = [i for name in ("train", "val") for i in read_id_list(root / SBD_FOLDER / f"{name}.txt")]
        own = {i for name in ("train", "val") for i in read_id_list(self._list_file(root, name))}
        return [image_id for image_id in sbd if image_id not in own]

    def locate(self, root: Path, image: ListedImage, folders: ImageFolders) -> SourceFiles:
        """Files of an image with VOC's own masks and SBD's, as far as they are there."""
        folder, sbd = self._folder(root), root / SBD_FOLDER
        own = {"semantic": "SegmentationClass", "instances": "SegmentationObject"}
        wanted = {kind: folder / place / f"{image.name}.png" for kind, place in own.items()}
        return SourceFiles(
            image=folders.find(root, image),
            semantic=path_if_there(wanted["semantic"]),
            instances=path_if_there(wanted["instances"]),
            wanted=wanted,
            other_semantic=path_if_there(sbd / "cls" / f"{image.name}.mat"),
            other_instances=path_if_there(sbd / "inst" / f"{image.name}.mat"),
            boxes=folder / "Annotations" / f"{image.name}.xml",
        )

    def _folder(self, root: Path) -> Path:
        folder = root / "VOCdevkit" / f"VOC{self.year}"
        if not folder.is_dir():
            raise ValueError(
                f"{folder}: no such folder; data_root must be the folder into which the archives were unpacked"
            )
        return folder

    def _list_file(self, root: Path, split: str) -> Path:
        return self._folder(root) / "ImageSets" / self.lists / f"{split}.txt"


VOC2007 = VocLayout(2007, lists="Main")
VOC2012 = VocLayout(2012, lists="Segmentation")
