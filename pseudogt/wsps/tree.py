"""Paths in the authors' layout."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from pseudogt.wsps.options import DEFAULT_COLORMAP_PATH, DEFAULT_NAMES_PATH, SPLITS, Options, read_options


@dataclass(frozen=True)
class Tree:
    """A folder with ``data/Cityscapes`` and ``results``, seen through the options of one split.

    Attributes
    ----------
    root : Path
    split : str
        A key of ``SPLITS``.
    options : Options
        Their relative paths are under ``root``; absolute ones are used unchanged.
    """

    root: Path
    split: str
    options: Options

    @property
    def data(self) -> Path:
        """Folder of ground truth, boxes and lists."""
        return self.root / self.options.data_root

    @property
    def results(self) -> Path:
        """Folder of predictions and labels."""
        return self.root / self.options.pred_root

    def locate_image(self, image_id: str) -> Path:
        """The photograph."""
        return self.data / "leftImg8bit" / self.split / find_city(image_id) / f"{image_id}_leftImg8bit.png"

    def locate_instance_ids(self, image_id: str) -> Path:
        """Ground truth that boxes are made from."""
        name = f"{image_id}_{SPLITS[self.split]}_instanceTrainIds.png"
        return self.data / self.options.gt_label_dir / find_city(image_id) / name

    def locate_gt_label(self, image_id: str) -> Path:
        """Ground truth that crop tags are made from."""
        name = self.options.gt_label_template % image_id
        return self.data / self.options.gt_label_dir / find_city(image_id) / name

    def locate_boxes(self, image_id: str) -> Path:
        """Boxes."""
        return self.data / self.options.annotation_dir / (self.options.annotation_template % image_id)

    def locate_prediction(self, image_id: str) -> Path:
        """Predicted train ids; in the first round those of the CAMs."""
        return self.results / self.options.pred_dir / (self.options.pred_template % image_id)

    def locate_scores(self, image_id: str) -> Path:
        """Scores of the prediction."""
        return self.results / self.options.pred_score_dir / (self.options.pred_score_template % image_id)

    def locate_box_masks(self, image_id: str) -> Path:
        """Masks of things by MCG and GrabCut."""
        return self.results / self.options.mcg_and_grabcut_dir / (self.options.mcg_and_grabcut_template % image_id)

    def locate_semantic(self, image_id: str) -> Path:
        """Output: cleaned train ids."""
        return self.results / self.options.sem_save_dir / (self.options.pred_template % image_id)

    def locate_instances(self, image_id: str) -> Path:
        """Output: instance numbers."""
        return self.results / self.options.ins_save_dir / (self.options.pred_template % image_id)

    def locate_figure(self, image_id: str) -> Path:
        """Output: the figure of ``visualise_results``."""
        return self.results / "visualisation" / f"{image_id}_results.png"

    def find_palette_file(self) -> Path | None:
        """File of the palette; None if the built-in one is meant."""
        return self._find_override(self.options.colormap_path, DEFAULT_COLORMAP_PATH)

    def find_names_file(self) -> Path | None:
        """File of the class names; None if the built-in ones are meant."""
        return self._find_override(self.options.objectNames_path, DEFAULT_NAMES_PATH)

    def _find_override(self, path: str, default: str) -> Path | None:
        """A file in the root or, where the authors keep both, in its ``utils``; a path somebody chose must be there."""
        candidates = [self.root / path, self.root / "utils" / path]
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        return candidates[0] if found is None and path != default else found


def find_city(image_id: str) -> str:
    """Name of the folder an image lies in: its id up to the first underscore."""
    return image_id.partition("_")[0]


def read_ids(path: Path) -> list[str]:
    """Image ids, one a line; blank lines don't count.

    Raises
    ------
    ValueError
        If the file is missing, is not text or holds no id; the message names it.
    """
    try:
        ids = path.read_text(encoding="utf-8").split()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file; it should hold one image id per line") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a list of image ids ({error})") from error
    if not ids:
        raise ValueError(f"{path}: holds no image ids")
    return ids


def add_tree_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that every command on a tree takes."""
    parser.add_argument("--root", type=Path, required=True, help="folder that holds data/Cityscapes and results")
    parser.add_argument("--split", required=True, help="train, train_extra or val")
    parser.add_argument(
        "--list", dest="id_list", type=Path, help="image ids, one a line; default: the option list_path"
    )
    parser.add_argument(
        "--options", dest="options_file", type=Path, help="JSON object of options that differ from the defaults"
    )


def open_tree(root: Path, split: str, id_list: Path | None, options_file: Path | None) -> tuple[Tree, list[str]]:
    """The tree and the image ids that the arguments of :func:`add_tree_arguments` mean."""
    tree = Tree(root, split, read_options(options_file, split))
    if not tree.data.is_dir():
        raise ValueError(f"{tree.data}: no such folder; --root should hold {tree.options.data_root}")
    return tree, read_ids(id_list or tree.data / tree.options.list_path)
