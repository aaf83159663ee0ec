"""The command ``boxes``: boxes from the instance ids of the ground truth, as the authors' box script makes them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pseudogt.files.images import read_image, read_png, write_png
from pseudogt.wsps.boxes import find_instance_boxes
from pseudogt.wsps.drawing import draw_boxes
from pseudogt.wsps.mat_files import read_class_names, read_palette, write_boxes
from pseudogt.wsps.palette import CLASS_NAMES, make_palette
from pseudogt.wsps.processing import process_images
from pseudogt.wsps.tree import Tree, open_tree


def run_boxes(root: Path, split: str, id_list: Path | None, options_file: Path | None, workers: int) -> None:
    """Write a file of boxes for every image of the list."""
    tree, image_ids = open_tree(root, split, id_list, options_file)
    work = partial(write_image_boxes, tree=tree, names=load_class_names(tree), palette=load_palette(tree))
    process_images(work, image_ids, workers=workers, description="boxes")


def load_class_names(tree: Tree) -> tuple[str, ...]:
    """Class names by train id: the authors', unless the tree has a file of its own."""
    path = tree.find_names_file()
    return CLASS_NAMES if path is None else read_class_names(path)


def load_palette(tree: Tree) -> NDArray[np.uint8]:
    """Palette ``(256, 3) uint8``: the authors', unless the tree has a file of its own."""
    path = tree.find_palette_file()
    return make_palette() if path is None else read_palette(path)


def write_image_boxes(image_id: str, tree: Tree, names: tuple[str, ...], palette: NDArray[np.uint8]) -> None:
    """Boxes of one image; with ``visualise`` also a drawing beside them.

    An existing file is left alone without ``force_overwrite``.
    """
    options, path = tree.options, tree.locate_boxes(image_id)
    if not options.force_overwrite and path.exists():
        return
    source = tree.locate_instance_ids(image_id)
    instance_ids = read_png(source)
    try:
        boxes = find_instance_boxes(
            instance_ids,
            stuff_ids=options.stuff_classes,
            thing_ids=options.thing_classes,
            num_classes=len(names),
            ignore_label=options.ignore_label,
            include_stuff=options.is_panoptic,
            include_groups=options.incl_grps,
        )
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    if options.visualise:
        image_path = tree.locate_image(image_id)
        image = read_image(image_path)
        if image.shape[:2] != instance_ids.shape:
            raise ValueError(
                f"{image_path}: its height and width {image.shape[:2]} differ from {instance_ids.shape} of {source}; "
                "replace the one that is resized"
            )
        write_png(path.with_suffix(".png"), draw_boxes(image, boxes, names, palette))
    write_boxes(path, boxes, names)
