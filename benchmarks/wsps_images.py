"""The images that ``benchmarks/wsps.py`` works on: made ones, or from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import INSTANCE_DIVISOR
from pseudogt.files.images import read_png
from pseudogt.wsps.boxes import find_instance_boxes
from pseudogt.wsps.clean_labels import load_inputs
from pseudogt.wsps.label_generation import ImageInputs
from pseudogt.wsps.mat_files import read_boxes, read_scores
from pseudogt.wsps.options import Options, make_defaults
from pseudogt.wsps.palette import CLASS_NAMES, read_label
from pseudogt.wsps.tree import Tree

SPLIT = "train"
STUFF_CLASSES, THING_CLASSES = tuple(range(11)), tuple(range(11, 19))
IGNORE = 255
MADE_BOXES = (20, 40, 60)
PAPER_CANVAS, PAPER_CROP = np.array([1024, 2048]), np.array([400, 500])


class Image(NamedTuple):
    """The inputs of one image and the options of its size."""

    inputs: ImageInputs
    options: Options


def find_images(data: Path | None, count: int) -> list[Image]:
    """Made images, or the first ones of a folder in one of the layouts that the benchmark takes."""
    if data is None:
        return [imagine(make_instance_ids(i, MADE_BOXES[i]), seed=i) for i in range(count)]
    if (data / "data" / "Cityscapes").is_dir():
        return read_tree(data, count)
    if (data / "inputs" / "pred.png").is_file():
        return [read_demo(data / "inputs")]
    maps = find_maps(data)[:count]
    if not maps:
        raise SystemExit(f"{data}: has neither data/Cityscapes nor inputs/pred.png nor instances/*.png")
    return [imagine(deal_classes(read_png(path).astype(np.int32)), seed) for seed, path in enumerate(maps)]


def find_maps(data: Path | None) -> list[Path]:
    """Instance maps of a folder in one of the layouts."""
    if data is None:
        return []
    return sorted(data.glob("instances/*.png")) or sorted(
        data.glob(f"data/Cityscapes/gt*/{SPLIT}/*/*_instance*Ids.png")
    )


def make_options(size: Sequence[int], **changes: Any) -> Options:
    """The authors' defaults for images of that size; crops keep their share of the image."""
    crop = np.ceil(np.asarray(size) * PAPER_CROP / PAPER_CANVAS).astype(int).tolist()
    values = {"canvas_size": tuple(size), "schk_crop_size": tuple(crop), **changes}
    return Options.model_validate({**make_defaults(SPLIT), **values})


def read_tree(root: Path, count: int) -> list[Image]:
    """Read the first images of a tree; its predictions tell the size."""
    tree = Tree(root, SPLIT, make_options((1024, 2048)))
    folder, suffix = tree.locate_prediction("").parent, tree.locate_prediction("").name
    ids = [path.name.removesuffix(suffix) for path in sorted(folder.glob(f"*{suffix}"))][:count]
    if not ids:
        raise SystemExit(f"{folder}: no predictions *{suffix}")
    size = read_label(tree.locate_prediction(ids[0])).shape
    options = make_options(size, run_score_thresh=tree.locate_scores(ids[0]).is_file())
    tree = Tree(root, SPLIT, options)
    return [Image(load_inputs(image_id, tree, CLASS_NAMES), options) for image_id in ids]


def read_demo(folder: Path) -> Image:
    """Read one image from loose files: the scores may be absent."""
    pred, scores = read_label(folder / "pred.png"), folder / "pred_flat_feat.mat"
    has_scores = scores.is_file()
    inputs = ImageInputs(
        pred=pred,
        scores=read_scores(scores).astype(np.float32) if has_scores else None,
        gt_label=read_label(next(folder.glob("*_labelTrainIds.png"))),
        box_masks=read_label(folder / "mcg_and_grabcut.png"),
        boxes=read_boxes(folder / "bboxes.mat", CLASS_NAMES),
    )
    return Image(inputs, make_options(pred.shape, run_score_thresh=has_scores))


def deal_classes(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Instance ids of any dataset with the class numbers of Cityscapes: those with instances become things."""
    has_instance = ids >= INSTANCE_DIVISOR
    source = np.where(has_instance, ids // INSTANCE_DIVISOR, ids)
    k = np.where(has_instance, ids % INSTANCE_DIVISOR + 1, 0)
    things = np.unique(source[has_instance])
    dealt = np.full(source.shape, IGNORE, np.int32)
    for position, value in enumerate(np.setdiff1d(source[source < IGNORE], things)):
        dealt[source == value] = STUFF_CLASSES[position % len(STUFF_CLASSES)]
    for position, value in enumerate(things):
        inside = source == value
        train_id = THING_CLASSES[position % len(THING_CLASSES)]
        dealt[inside] = np.where(k > 0, train_id * INSTANCE_DIVISOR + k, train_id)[inside]
    return dealt


def make_instance_ids(seed: int, boxes: int) -> NDArray[np.int32]:
    """Stuff in cells with ragged borders, blobs for things, nearer ones larger, some void ``(1024, 2048) int32``.

    Every class of stuff makes a box of the whole image, every blob one around itself: ``boxes`` in all.
    """
    rng = np.random.default_rng(seed)
    height, width = (1024, 2048)
    stuff = rng.permutation(STUFF_CLASSES)[:8]
    points = rng.random((30, 2)) * (height / 8, width / 8)
    pixels = np.stack(np.mgrid[: height // 8, : width // 8], axis=-1)[:, :, None]
    cells = np.argmin(((pixels - points) ** 2).sum(-1), axis=-1)
    classes = np.concatenate([stuff, rng.choice(stuff, len(points) - len(stuff))])
    ids = warp(cv2.resize(classes[cells].astype(np.uint8), (width, height), interpolation=0), rng, 12).astype(np.int32)
    ids[-40:] = IGNORE
    for k in range(boxes - len(stuff)):
        y = rng.uniform(0.45, 0.9) * height
        radius = 12 + (y / height - 0.4) * rng.uniform(60, 260)
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        reach = radius * (1 + 0.25 * np.sin(angles * rng.integers(2, 5)) + 0.08 * rng.standard_normal(40))
        outline = np.stack([rng.uniform(0, width) + reach * np.cos(angles), y + reach * np.sin(angles)], axis=-1)
        cv2.fillPoly(ids, [outline.astype(np.int32)], int(rng.choice(THING_CLASSES)) * INSTANCE_DIVISOR + k + 1)
    return ids


def imagine(instance_ids: NDArray[np.int32], seed: int) -> Image:
    """What a model, its scores and box segmenters might have said about an image of known instances."""
    rng = np.random.default_rng(seed)
    is_instance = instance_ids > INSTANCE_DIVISOR
    gt_label = np.where(is_instance, instance_ids // INSTANCE_DIVISOR, instance_ids).astype(np.uint8)
    pred = warp(gt_label, rng, 6)
    confused = warp(rng.random((16, 32)) < 0.1, rng, 0, gt_label.shape) > 0
    pred[confused] = np.roll(pred, 200, axis=1)[confused]
    pred[pred == IGNORE] = 0

    spread = make_field(rng, gt_label.shape, 24) + 0.5 * make_field(rng, gt_label.shape, 3)
    scores = np.clip(0.995 + 0.006 * spread, 0.2, 1).astype(np.float32)
    scores[warp(pred, rng, 4) != pred] -= 0.05

    things = np.where(np.isin(gt_label, THING_CLASSES), gt_label, 0).astype(np.uint8)
    one, other = warp(things, rng, 5), warp(things, rng, 5)
    box_masks = np.where(one == other, one, IGNORE).astype(np.uint8)

    boxes = find_instance_boxes(instance_ids, stuff_ids=STUFF_CLASSES, thing_ids=THING_CLASSES, num_classes=19)
    return Image(ImageInputs(pred, scores, gt_label, box_masks, boxes), make_options(gt_label.shape))


def warp(
    values: NDArray[Any], rng: np.random.Generator, strength: float, shape: tuple[int, ...] | None = None
) -> NDArray[np.uint8]:
    """Values at positions that wobble smoothly by about ``strength`` pixels, at the size of ``shape``."""
    height, width = shape or values.shape
    scaled = cv2.resize(values.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    dy, dx = (strength * make_field(rng, (height, width), 16) for _ in range(2))
    return cv2.remap(scaled, x + dx, y + dy, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def make_field(rng: np.random.Generator, shape: tuple[int, ...], cell: int) -> NDArray[np.float32]:
    """Smooth noise with about unit spread, one independent value every ``cell`` pixels."""
    coarse = rng.standard_normal((shape[0] // cell + 2, shape[1] // cell + 2)).astype(np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
