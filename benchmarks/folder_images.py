"""Annotated images for the benchmarks of proposals and box masks: read from folder datasets, or drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.boxes import find_tight_box
from pseudogt.files.images import read_image, read_png

COCO_THINGS = range(1, 91)


class AnnotatedImage(NamedTuple):
    """An image with its things.

    Attributes
    ----------
    image : (H, W, 3) uint8 RGB
    masks : list of (H, W) bool
    classes : list of int
        Source class of each thing.
    void : (H, W) bool
        Pixels that are ignored.
    """

    image: NDArray[np.uint8]
    masks: list[NDArray[np.bool_]]
    classes: list[int]
    void: NDArray[np.bool_]

    @property
    def boxes_xyxy(self) -> NDArray[np.int32]:
        """Tight half-open boxes ``(N, 4)``."""
        return np.array([find_tight_box(mask) for mask in self.masks], np.int32).reshape(-1, 4)


def read_images(folder: Path, split: str | None, limit: int | None) -> Iterator[AnnotatedImage]:
    """Images of a folder dataset (``images/``, ``instances/``), or of one of its splits.

    Things are ``class * 1000 + k``; with ``categories.json``, as made from COCO, ``class * 256 + k``.
    """
    listed = folder / f"{split}.txt"
    ids = listed.read_text().split() if split and listed.is_file() else []
    ids = ids or sorted(path.stem for path in (folder / "instances").glob("*.png"))
    if not ids:
        raise SystemExit(f"{folder / 'instances'}: no PNG files")
    # COCO's 90 things do not fit into class * 1000 + k.
    is_coco = (folder / "categories.json").is_file()
    divisor, void_value = (256, 0) if is_coco else (1000, 255)
    for image_id in ids[:limit]:
        instances = read_png(folder / "instances" / f"{image_id}.png").astype(np.int64)
        path = next((folder / "images").glob(f"{image_id}.*"))
        things = [v for v in np.unique(instances).tolist() if v >= divisor]
        things = [v for v in things if not is_coco or v // divisor in COCO_THINGS]
        masks = [instances == v for v in things]
        yield AnnotatedImage(read_image(path), masks, [v // divisor for v in things], instances == void_value)


def draw_image(seed: int) -> AnnotatedImage:
    """Ellipses of two colours each on a noisy ground ``375x500``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:375, :500]
    image = rng.integers(0, 200, 3) + rng.normal(0, 12, (375, 500, 3))
    owner = np.zeros((375, 500), int)
    for k in range(1, 8):
        centre, radii = rng.random(2) * (375, 500), rng.uniform(15, 90, 2)
        inside = (((y, x) - centre[:, None, None]) / radii[:, None, None]) ** 2
        mask = inside.sum(0) <= 1
        owner[mask] = k
        for half in (y < centre[0], y >= centre[0]):
            image[mask & half] = rng.integers(0, 255, 3) + rng.normal(0, 12, ((mask & half).sum(), 3))
    masks = [owner == k for k in range(1, 8) if (owner == k).sum() > 100]
    return AnnotatedImage(np.clip(image, 0, 255).astype(np.uint8), masks, [1] * len(masks), np.zeros((375, 500), bool))


def write_photos(folder: Path, count: int, boxes: int = 5, size: tuple[int, int] = (640, 480)) -> None:
    """Write drawn photos of ``size`` (width, height) and the boxes of their things as COCO JSON into a folder."""
    folder.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        drawn = draw_image(number)
        name = f"photo-{number:05d}.jpg"
        cv2.imwrite(str(folder / name), cv2.cvtColor(cv2.resize(drawn.image, size), cv2.COLOR_RGB2BGR))
        images.append({"id": number, "file_name": name, "width": size[0], "height": size[1]})
        scale = np.array(size * 2) / (drawn.image.shape[1::-1] * 2)
        for x0, y0, x1, y1 in (drawn.boxes_xyxy[:boxes] * scale).round().tolist():
            box = {"image_id": number, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, **box})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "blob"}]}
    (folder / "boxes.json").write_text(json.dumps(document))
