"""Section ``full_labels``: training images whose full labels enter training as they are."""

from __future__ import annotations

from pydantic import Field

from pseudogt.config.base import Section


class FullLabelsSettings(Section):
    """Training images whose full labels enter training as they are, in every round.

    All others use their weak labels (docs/mixed.md).
    """

    images: str | None = Field(
        None,
        description="File with the ids of training images, one on each line, whose labels of the dataset are used, "
        "too; null for none.",
    )
    split: str | None = Field(
        None,
        description="Part of dataset.train_split, all of whose images have full labels in the dataset: train of "
        "train+train_extra; null for none.",
    )
    polygons: bool = Field(
        False,
        description="Take polygons and masks of section annotations as they were drawn: as full labels, which go "
        "before those of the dataset, of images in which every object has one and stuff has some, too (or "
        "annotations.background is set); as box masks of images in which every thing has one.",
    )
    folder: str | None = Field(
        None,
        description="Folder with labels of training images, corrected ones for instance, which go before all "
        "others: what `export` writes (coco_panoptic, cityscapes, voc, label_studio, cvat), what Label Studio and "
        "CVAT export, or PNG files <image id>.png as in a run's label folders; null for none.",
    )
