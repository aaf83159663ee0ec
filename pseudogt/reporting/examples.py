"""Examples of the report: images beside their labels in several sources, in a figure and in the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.classes import INSTANCE_DIVISOR, ClassTable
from pseudogt.files.labels import LabelFolder
from pseudogt.files.scores import ScoreFile
from pseudogt.reporting.overlays import draw_grid, draw_legend, draw_marks, draw_panoptic, resize_to_width
from pseudogt.reporting.page import GROUP_NAMES, describe_sample
from pseudogt.reporting.pictures import embed_image
from pseudogt.reporting.sample import average, choose_sample, find_classes, trust_segments
from pseudogt.weak_labels.records import ImageWeakLabels

Source = Mapping[str, LabelFolder | ScoreFile]
Sources = dict[str, Source]
ImageScores = Mapping[str, Mapping[str, float | None]]

COLUMNS = {
    "train": {
        "ground-truth": "ground truth",
        "cams": "CAM labels",
        "box-masks": "box masks",
        "mined": "mined labels",
        "labels-first": "labels of round 0",
        "labels-last": "last labels",
        "predictions": "prediction",
    },
    "val": {
        "ground-truth": "ground truth",
        "mined": "mining",
        "predictions": "weak labels: prediction",
        "reference-predictions": "full labels: prediction",
    },
}
"""Titles of the columns by the option that names their files, for the figures of each split."""

ENDS = {"first": 0, "last": -1}
"""Positions of the rounds that the figures show."""

MAX_PICTURE_PX = 2048

PAGE_BYTES = 12_000_000
"""Bytes of all pictures of images in the page; each image has an equal share."""


class ExampleImage(Protocol):
    """An image that is read when it is drawn."""

    @property
    def image_id(self) -> str:
        """Id of the image."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    def read(self) -> NDArray[np.uint8]:
        """Pixels ``(H, W, 3) uint8 RGB``."""


@dataclass(frozen=True)
class Examples:
    """Images of a split beside their labels in several sources.

    Attributes
    ----------
    split : str
    classes : ClassTable
    sources : mapping
        Labels by the name of the source.
    rounds : list of str
        Names of the sources that are labels of a round, in their order.
    judged : str
        Name of the source that is scored and trusted: the last labels, or predictions on val.
    weak_labels : mapping
        Their boxes and marks are drawn on the images.
    supervision : mapping
        What was known of training images, in words.
    panel_width_px : int
        Width of an image in a figure.
    """

    split: str
    classes: ClassTable
    sources: Sources
    rounds: Sequence[str]
    judged: str
    weak_labels: Mapping[str, ImageWeakLabels]
    supervision: Mapping[str, str]
    panel_width_px: int

    def draw(self, images: Sequence[ExampleImage], scores: ImageScores) -> NDArray[np.uint8]:
        """Read images and draw a grid with a row for each: the image, then its labels."""
        classes, width = self.classes, self.panel_width_px
        chosen = [image.image_id for image in images]
        by_column = self.sources | {f"labels-{name}": self.sources[self.rounds[i]] for name, i in ENDS.items()}
        # A column none of whose images is shown is left out.
        filled = {name: by_column[name] for name in COLUMNS[self.split] if any(i in by_column[name] for i in chosen)}
        present: set[int] = set()
        rows = []
        for each in tqdm(images, desc="report", unit="image"):
            image = resize_to_width(each.read(), width)
            weak = self.weak_labels.get(each.image_id)
            row: list[NDArray[np.uint8] | None] = [image if weak is None else draw_marks(image, weak, classes)]
            present.update(weak.marks.classes.tolist() if weak else ())
            for source in filled.values():
                panoptic_id = read_panoptic_label(source, each.image_id, classes)
                if panoptic_id is None:
                    row.append(None)
                    continue
                small = resize_to_width(panoptic_id, width)
                present.update(classes.category_to_train[np.unique(small) // INSTANCE_DIVISOR].tolist())
                row.append(draw_panoptic(image, small, classes))
            rows.append(row)
        legend = draw_legend(classes, sorted(i for i in present if i < len(classes)), (len(filled) + 1) * (width + 4))
        captions = [_describe_example(i, self.supervision.get(i), scores.get(i, {}).get("pq")) for i in chosen]
        return draw_grid(rows, ["image", *(COLUMNS[self.split][name] for name in filled)], captions, legend)

    def embed(self, image: ExampleImage, limit_bytes: int) -> dict[str, Any]:
        """What the page holds of an image, with pictures in no more than a number of bytes."""
        image_id, classes = image.image_id, self.classes
        weak = self.weak_labels.get(image_id)
        trust = trust_segments(self.sources, self.judged, image_id)
        found = {name: read_panoptic_label(source, image_id, classes) for name, source in self.sources.items()}
        labels = {name: label for name, label in found.items() if label is not None}
        label_ids, true_ids = (
            np.unique(labels[name]).tolist() if name in labels else [] for name in (self.judged, "ground-truth")
        )
        height, width = image.size
        # Neither side may pass the limit; small images are enlarged to the width of a panel.
        panel_px = self.panel_width_px
        width_px = min(max(width, panel_px), 2 * panel_px, MAX_PICTURE_PX, MAX_PICTURE_PX * width // height)
        pictures = embed_image(image.read(), labels, weak, classes, width_px=width_px, limit_bytes=limit_bytes)
        return {
            "id": image_id,
            "split": self.split,
            "trust": average(trust),
            "classes": find_classes(label_ids, true_ids, trust, classes),
            "known": self.supervision.get(image_id),
            "tags": [] if weak is None else [classes.names[i] for i in np.flatnonzero(weak.tags)],
            **asdict(pictures),
        }


def embed_examples(
    examples: Mapping[str, Examples],
    images: Mapping[str, Mapping[str, ExampleImage]],
    scores: Mapping[str, ImageScores],
    *,
    worst: int,
    drawn: int,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Choose the images of the page; return what it holds of each, and how they were chosen.

    Parameters
    ----------
    examples : mapping
        By split, as the other two.
    images : mapping
        All images of a split by their ids.
    scores : mapping
        Scores of images by their ids, as far as there are any.
    worst : int
        Images with the lowest PQ, and with the highest.
    drawn : int
        Images drawn at random from the others.
    """
    samples, rules = {}, []
    for split, each in examples.items():
        values = {image_id: scores[split].get(image_id, {}).get("pq") for image_id in images[split]}
        is_scored = any(value is not None for value in values.values())
        if not is_scored:
            values = {image_id: average(trust_segments(each.sources, each.judged, image_id)) for image_id in values}
        samples[split] = choose_sample(values, worst, drawn)
        rules.append(describe_sample(split, len(values), samples[split], "PQ" if is_scored else "trust"))
    limit_bytes = PAGE_BYTES // max(1, sum(map(len, samples.values())))
    order = [(group, split, i) for split, groups in samples.items() for i, group in groups.items()]
    order.sort(key=lambda entry: list(GROUP_NAMES).index(entry[0]))
    entries = []
    for group, split, image_id in tqdm(order, desc="page", unit="image"):
        score = scores[split].get(image_id, {}).get("pq")
        entries.append({"group": group, "score": score, **examples[split].embed(images[split][image_id], limit_bytes)})
    return entries, rules


def read_panoptic_label(source: Source, image_id: str, classes: ClassTable) -> NDArray[np.int32] | None:
    """Panoptic ids ``(H, W) int32`` of an image; None if the source doesn't hold it."""
    if image_id not in source:
        return None
    found = source[image_id]
    if isinstance(found, LabelFolder):
        return found.read(image_id)
    return classes.train_to_category[found.read_label(image_id)[0]] * np.int32(INSTANCE_DIVISOR)


def _describe_example(image_id: str, supervision: str | None, pq: float | None) -> str:
    """Caption of an image: its id, its PQ and what was known about it, as far as they are known."""
    parts = [image_id, *([f"PQ {pq:.2f}"] if pq is not None else []), *([supervision] if supervision else [])]
    return "   ".join(parts)
