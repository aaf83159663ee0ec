"""Draw the pictures of README and of the documentation, from the results of the demo.

    make demo
    python docs/draw_pictures.py [--results results/streets] [--image ID]

Writes docs/pictures: ``chain.png``, one training image on its way from weak labels to a prediction, and
``gallery.png``, images of val with the predictions of the model trained on weak labels and of the one trained on
full labels.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pseudogt.classes import INSTANCE_DIVISOR, ClassTable
from pseudogt.files.labels import read_label_folders
from pseudogt.files.scores import read_score_files
from pseudogt.reporting.overlays import draw_panoptic
from pseudogt.reporting.sample import choose_evenly
from pseudogt.workflow.stage import Shard, ShardImage

FindLabel = Callable[[str], NDArray[np.int32]]

GALLERY_IMAGES = 4
CHAIN = {
    "box masks": "box_masks",
    "CAM label": "cams",
    "pseudo label": "labels",
    "prediction": "predictions",
    "ground truth": "ground_truth",
}
"""Titles of the panels after the image and its weak labels, and the folders of what they show."""

GALLERY = {
    "trained on weak labels": "predictions",
    "trained on full labels": "reference_predictions",
    "ground truth": "ground_truth",
}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/streets"), help="folder of the demo's results")
    parser.add_argument("--image", help="id of the training image; the default has the most boxes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    for name, figure in (
        ("chain.png", draw_chain(arguments.results, arguments.image)),
        ("gallery.png", draw_gallery(arguments.results)),
    ):
        save(figure, arguments.out / name)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG of 256 colours, which is small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, facecolor="white")
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_chain(results: Path, image_id: str | None) -> Figure:
    """Draw a training image, its weak labels and what each stage makes of them."""
    shard = open_split(results, "train", weak=True)
    images = {image.image_id: image for image in shard}
    image = images[image_id or max(images, key=lambda each: len(images[each].weak.boxes_xyxy))]
    figure, panels = make_grid(rows=2, columns=4, titles=2, image=image)
    show(panels[0], image.read(), "image")
    show_weak_labels(panels[1], image, shard.classes)
    for panel, (title, name) in zip(panels[2:], CHAIN.items(), strict=False):
        label = open_labels(results, name, "train", shard.classes)(image.image_id)
        show(panel, draw_panoptic(image.read(), label, shard.classes), title)
    show_legend(panels[-1], shard.classes)
    return figure


def draw_gallery(results: Path) -> Figure:
    """Draw images of val with what both models predict."""
    shard = open_split(results, "val", weak=False)
    images = {image.image_id: image for image in shard}
    sources = {title: open_labels(results, name, "val", shard.classes) for title, name in GALLERY.items()}
    chosen = [images[image_id] for image_id in choose_evenly(sorted(images), GALLERY_IMAGES)]
    figure, panels = make_grid(rows=len(chosen), columns=1 + len(sources), titles=1, image=chosen[0])
    for row, image in enumerate(chosen):
        first = row * (1 + len(sources))
        show(panels[first], image.read(), "" if row else "image")
        for panel, (title, find) in zip(panels[first + 1 :], sources.items(), strict=False):
            label = find(image.image_id)
            show(panel, draw_panoptic(image.read(), label, shard.classes), "" if row else title)
    return figure


def open_split(results: Path, split: str, *, weak: bool) -> Shard:
    """Open all shards of a split."""
    shards = sorted((results / "index").glob(f"{split}-*.json"))
    if not shards:
        raise SystemExit(f"{results}: no results; run `make demo` first")
    return Shard.open(shards, weak_labels=[results / "weak_labels" / path.name for path in shards] if weak else None)


def open_labels(results: Path, name: str, split: str, classes: ClassTable) -> FindLabel:
    """Return what finds the panoptic ids of an image, in the last round where there are rounds."""
    rounds = [path for path in (results / name).iterdir() if path.name.isdigit()]
    folder = max(rounds, key=lambda path: int(path.name)) if rounds else results / name
    if name == "cams":
        scores = read_score_files(folder.glob(f"{split}-*.h5"))
        return lambda image_id: (
            classes.train_to_category[scores[image_id].read_label(image_id)[0]] * np.int32(INSTANCE_DIVISOR)
        )
    labels = read_label_folders(path for path in folder.glob(f"{split}-*") if path.is_dir())
    return lambda image_id: labels[image_id].read(image_id)


def make_grid(*, rows: int, columns: int, titles: int, image: ShardImage) -> tuple[Figure, Sequence[Axes]]:
    """Make a figure of equal panels shaped like an image, row by row; ``titles`` rows have titles."""
    height, width = image.size
    figure = Figure(figsize=(12, 12 / columns * height / width * rows + 0.3 * titles), dpi=100, layout="constrained")
    return figure, figure.subplots(rows, columns).ravel().tolist()


def show(panel: Axes, picture: NDArray[np.uint8], title: str) -> None:
    """Show a picture without axes."""
    panel.imshow(picture, interpolation="lanczos")
    panel.set_title(title, fontsize=11)
    panel.set_axis_off()


def show_weak_labels(panel: Axes, image: ShardImage, classes: ClassTable) -> None:
    """Show the boxes of things; tags of stuff have no place in the image."""
    show(panel, image.read(), "weak labels: boxes, and tags of stuff")
    for (x0, y0, x1, y1), train_id in zip(image.weak.boxes_xyxy, image.weak.box_classes, strict=True):
        colour = classes.palette[train_id] / 255
        panel.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.5))


def show_legend(panel: Axes, classes: ClassTable) -> None:
    """Show the colours of the classes."""
    names = [f"{name} (thing)" if thing else name for name, thing in zip(classes.names, classes.isthing, strict=True)]
    patches = [Patch(color=classes.palette[number] / 255, label=name) for number, name in enumerate(names)]
    panel.legend(handles=patches, loc="center", ncols=2, fontsize=9, frameon=False)
    panel.set_axis_off()


if __name__ == "__main__":
    main()
