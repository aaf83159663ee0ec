"""YOLO: ``labels/<split>/<image>.txt`` with a polygon or box per thing. Loses crowds, and a few pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading
from pseudogt.annotations.yolo import read_yolo
from pseudogt.classes import ClassTable
from pseudogt.config.export import ExportSettings
from pseudogt.export.annotation_sets import AnnotationSet
from pseudogt.export.polygons import fill_polygon, trace_polygon
from pseudogt.export.segments import LabelledImage, find_objects_to_draw
from pseudogt.files.headers import read_header
from pseudogt.files.io import replace_atomically

DECIMALS = 6


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where readers look for an image."""
    return Path("images", split, file_name)


def write_image(folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings) -> None:
    """Write the text file of an image, empty if there is no thing.

    A pixel's coordinate is its centre, so that a reader that rounds down finds the pixel.
    """
    height, width = image.panoptic_id.shape
    numbers = {train_id: i for i, train_id in enumerate(list_exported_ids(classes, settings))}
    lines = []
    for segment in find_objects_to_draw(image.panoptic_id, classes, stuff=settings.stuff, crowds=False):
        corners = np.reshape(segment.box_xyxy, (2, 2))
        if settings.shapes == "boxes":
            points = np.stack([corners.mean(0), corners[1] - corners[0]])
        else:
            points = trace_polygon(segment.mask, settings.polygon_tolerance_px) + corners[0] + 0.5
        fractions = (points / (width, height)).round(DECIMALS).ravel()
        lines.append(" ".join([str(numbers[segment.train_id]), *(f"{value:.{DECIMALS}f}" for value in fractions)]))
    path = folder / "labels" / image.split / f"{Path(image.file_name).stem}.txt"
    with replace_atomically(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def list_exported_ids(classes: ClassTable, settings: ExportSettings) -> list[int]:
    """Train ids of the classes that the files number 0, 1, ..."""
    return list(range(len(classes))) if settings.stuff else [int(train_id) for train_id in classes.thing_ids]


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write ``data.yaml``; splits without images point to those there are, as readers want both."""
    splits = sorted({record["split"] for record in records})
    document = {
        "train": f"images/{splits[0]}",
        "val": f"images/{splits[-1]}",
        "names": {i: classes.names[t] for i, t in enumerate(list_exported_ids(classes, settings))},
    }
    with replace_atomically(folder / "data.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_set(folder: Path, classes: ClassTable) -> AnnotationSet:
    """The labels in a folder that holds the images, too, as their size is written nowhere else."""
    images = sorted(path for path in (folder / "images").glob("*/*") if path.is_file())
    splits = {path.parent.name for path in images}
    if not images:
        raise ValueError(
            f"{folder / 'images'}: no images; export with `images: true`, because the labels do not contain their sizes"
        )
    found: list[ImageAnnotations] = []
    problems: list[str] = []
    for split in sorted(splits):
        of_split = {path.stem: path for path in images if path.parent.name == split}
        reading = read_yolo(
            folder / "labels" / split, {i: str(path) for i, path in of_split.items()}, folder / "data.yaml"
        )
        problems += reading.list_faults()
        found += [_add_size(image, of_split[image.file_name]) for image in reading.images]
    return AnnotationSet(Reading(found, problems=problems), classes, fill_polygons)


def _add_size(image: ImageAnnotations, path: Path) -> ImageAnnotations:
    header = read_header(path)
    return replace(image, width=header.width, height=header.height)


def fill_polygons(box: AnnotatedBox, height: int, width: int) -> NDArray[np.bool_]:
    """Mask ``(H, W)`` of a polygon of fractions, filled as YOLO's trainers do: rounded down, with its border."""
    points = np.reshape(box.segmentation[0], (-1, 2)) * (width, height)
    return fill_polygon(np.floor(points).astype(np.int32), (height, width))
