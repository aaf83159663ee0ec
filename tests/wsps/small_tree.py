"""A tiny tree in the weak panoptic authors' layout, and their rules once more, slowly, one pixel at a time."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import savemat

from pseudogt.files.images import write_png
from pseudogt.wsps.__main__ import main

HEIGHT, WIDTH = 12, 16
CROP = (8, 10)
IGNORE = 255
SIZES = {"canvas_size": [HEIGHT, WIDTH], "schk_crop_size": list(CROP)}
IDS = ("ahorn_000000_000001", "birke_000000_000002", "birke_000003_000019")
DATA = "data/Cityscapes"


@dataclass
class Scene:
    """The inputs of one image."""

    instance_ids: np.ndarray
    pred: np.ndarray
    scores: np.ndarray
    box_masks: np.ndarray

    @property
    def gt_label(self) -> np.ndarray:
        return np.where(self.instance_ids > 1000, self.instance_ids // 1000, self.instance_ids).astype(np.uint8)


def make_scene(seed: int) -> Scene:
    """Two stuff classes, void, a group and four overlapping things, and a prediction that errs a lot."""
    rng = np.random.default_rng(seed)
    ids = np.where(np.arange(HEIGHT)[:, None] < 5, 10, 0).repeat(WIDTH, 1).astype(np.uint16)
    ids[-1] = IGNORE
    for value in (13, 11001, 13001, 13002, 18001):
        y, x = rng.integers(0, HEIGHT - 3), rng.integers(0, WIDTH - 4)
        ids[y : y + rng.integers(1, 6), x : x + rng.integers(1, 8)] = value
    scene = Scene(ids, ids, np.zeros(0), ids)
    guesses = rng.choice([0, 8, 10, 11, 13, 18, IGNORE], ids.shape)
    scene.pred = np.where(rng.random(ids.shape) < 0.6, scene.gt_label, guesses).astype(np.uint8)
    scene.scores = rng.choice(np.float32([0.2, 0.99, 1.0, np.nan]), ids.shape, p=[0.2, 0.3, 0.4, 0.1])
    things = np.where(scene.gt_label >= 11, scene.gt_label, 0)
    scene.box_masks = np.where(rng.random(ids.shape) < 0.8, things, rng.choice([0, 11, 13, 4, IGNORE], ids.shape))
    scene.box_masks = scene.box_masks.astype(np.uint8)
    return scene


def write_tree(root: Path, split: str = "train", kind: str = "gtFine") -> dict[str, Scene]:
    """Write the inputs of three images; the last has nothing but void."""
    scenes = {image_id: make_scene(seed) for seed, image_id in enumerate(IDS)}
    scenes[IDS[-1]].instance_ids = np.full((HEIGHT, WIDTH), IGNORE, np.uint16)
    for image_id, scene in scenes.items():
        city = root / DATA / kind / split / image_id.split("_")[0]
        write_png(city / f"{image_id}_{kind}_instanceTrainIds.png", scene.instance_ids)
        write_png(city / f"{image_id}_{kind}_labelTrainIds.png", scene.gt_label)
        results, name = root / "results", f"{image_id}_leftImg8bit"
        write_png(results / "pred_sem_raw" / f"{name}.png", scene.pred)
        write_png(results / "mcg_and_grabcut" / split / f"{name}.png", scene.box_masks)
        (results / "pred_flat_feat").mkdir(exist_ok=True)
        savemat(results / "pred_flat_feat" / f"{name}.mat", {"any_name": scene.scores, "a_later_one": 1.0})
    (root / DATA / "lists").mkdir()
    (root / DATA / "lists" / f"{split}_id.txt").write_text("\n".join(IDS))
    return scenes


def run(command: str, root: Path, *arguments: str, split: str = "train", **options) -> None:
    """Run a command on the tree, by default with the sizes of the tree."""
    path = root / "options.json"
    path.write_text(json.dumps({**SIZES, **options}))
    main([command, "--root", str(root), "--split", split, "--options", str(path), *arguments])


def find_boxes_slowly(ids: np.ndarray) -> list[tuple]:
    """Boxes (class, x0, y0, x1, y1, is group, is stuff), corners inclusive, by id."""
    boxes = []
    for value in sorted({int(v) for v in ids.flat} - {IGNORE}):
        ys, xs = zip(*[(y, x) for y in range(HEIGHT) for x in range(WIDTH) if ids[y, x] == value], strict=True)
        if value <= 10:
            boxes.append((value, 0, 0, WIDTH - 1, HEIGHT - 1, False, True))
        elif value > 1000:
            boxes.append((value // 1000, min(xs), min(ys), max(xs), max(ys), False, False))
        elif 11 <= value <= 18:
            boxes.append((value, min(xs), min(ys), max(xs), max(ys), True, False))
    return boxes


def place_tiles_slowly(length: int, size: int) -> list[range]:
    count = math.ceil(length / size)
    overlap = math.ceil((count * size - length) / (count - 1))
    return [range(i * (size - overlap), i * (size - overlap) + size) for i in range(count)]


def clean_slowly(scene: Scene, boxes: list[tuple]) -> np.ndarray:
    """The five steps with the authors' defaults."""
    label = scene.pred.copy()
    for y, x in np.ndindex(label.shape):
        if scene.scores[y, x] < np.float32(0.99):
            label[y, x] = IGNORE
    before = label.copy()
    for rows in place_tiles_slowly(HEIGHT, CROP[0]):
        for columns in place_tiles_slowly(WIDTH, CROP[1]):
            tags = {int(scene.gt_label[y, x]) for y in rows for x in columns}
            for y, x in ((y, x) for y in rows for x in columns):
                if int(before[y, x]) not in tags:
                    label[y, x] = IGNORE
    for y, x in np.ndindex(label.shape):
        mask, value = int(scene.box_masks[y, x]), int(label[y, x])
        if 11 <= mask <= 18:
            label[y, x] = mask
        elif mask in (0, IGNORE):
            label[y, x] = value if value <= 10 else IGNORE
        else:
            label[y, x] = 255
    for y, x in np.ndindex(label.shape):
        value = int(label[y, x])
        inside = any(c == value and x0 <= x <= x1 and y0 <= y <= y1 for c, x0, y0, x1, y1, *_ in boxes)
        if 11 <= value <= 18 and not inside:
            label[y, x] = IGNORE
    before = label.copy()
    by_area = sorted(boxes, key=lambda b: -(b[3] - b[1] + 1) * (b[4] - b[2] + 1))
    for c, x0, y0, x1, y1, is_group, is_stuff in by_area:
        if is_group or is_stuff:
            continue
        pixels = [(y, x) for y in range(y0 + 1, y1 + 1) for x in range(x0 + 1, x1 + 1)]
        if pixels and sum(before[p] == c for p in pixels) / len(pixels) < 0.5:
            for p in pixels:
                if before[p] == IGNORE or before[p] <= 10:
                    label[p] = c
    return label


def cut_slowly(label: np.ndarray, boxes: list[tuple]) -> np.ndarray:
    """The instance step."""
    instances = np.zeros_like(label)
    first = [b for i, b in enumerate(boxes) if b[:5] not in [other[:5] for other in boxes[:i]]]
    numbered = list(enumerate((b for b in first if not b[5]), start=1))
    for y, x in np.ndindex(label.shape):
        inside = [n for n, (c, x0, y0, x1, y1, *_) in numbered if c == label[y, x] and x0 <= x <= x1 and y0 <= y <= y1]
        if label[y, x] == IGNORE or len(inside) > 1:
            instances[y, x] = IGNORE
        elif inside:
            instances[y, x] = inside[0]
    return instances
