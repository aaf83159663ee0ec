"""Section ``export``: which labels to export, and in which formats."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pseudogt.config.base import PathText, Section, listed_in

WITH_SHAPES = ("coco_instances", "yolo", "cvat", "label_studio")
"""Formats that hold objects one by one, in any shape."""

Format = Annotated[str, listed_in("pseudogt.export.formats")]


class ExportSettings(Section):
    """What the target `export` writes to results/<name>/export/<subject>/<format>/."""

    formats: tuple[Format, ...] = Field(
        ("coco_panoptic",),
        min_length=1,
        description="Any of coco_panoptic, coco_instances, cityscapes, semantic, voc, yolo, label_studio, cvat; "
        "docs/exports.md lists what each keeps.",
    )
    source: Literal["labels", "predictions", "box_masks"] = Field(
        "labels",
        description="Labels of the training images, predictions of a model, or masks of the things in given boxes.",
    )
    round: int | None = Field(None, ge=0, description="Round of the labels or of the model; null for the last.")
    split: Literal["train", "val"] = Field(
        "train", description="Images of the predictions; labels and box masks exist for train only."
    )
    only: PathText | None = Field(
        None,
        description="File with the ids of the images to export, one per line, such as images.txt of the review queue; "
        "null for all.",
    )
    shapes: Literal["masks", "polygons", "boxes"] = Field(
        "masks",
        description="Content of coco_instances, yolo, cvat and label_studio: masks (yolo: polygons), polygons, or "
        "boxes drawn tightly around the masks of things.",
    )
    stuff: bool = Field(
        False,
        description="Add stuff to coco_instances and yolo, as one object per class; cvat and label_studio always "
        "contain it, except with shapes: boxes.",
    )
    images: bool = Field(
        False, description="Copy the images beside the labels, where readers of the format expect them."
    )
    polygon_tolerance_px: float = Field(
        0.0,
        ge=0,
        description="Maximum distance between a polygon and the border of its mask. 0 keeps every corner; raise it for "
        "smaller files.",
    )
    image_prefix: str = Field(
        "/data/local-files/?d=",
        description="Prefix of the image file names in label_studio: where its server finds them.",
    )
