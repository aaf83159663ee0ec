"""Section ``full_labels``: training images whose full labels are used unchanged."""

from __future__ import annotations

from pydantic import Field

from pseudogt.config.base import PathText, Section


class FullLabelsSettings(Section):
    """Training images whose full labels are used unchanged in every round.

    All others use their weak labels (docs/mixed.md).
    """

    images: PathText | None = Field(
        None,
        description="File with the ids of training images whose labels of the dataset are used, one per line; null for "
        "none.",
    )
    split: str | None = Field(
        None,
        description="Part of dataset.train_split whose images all have full labels in the dataset: train of "
        "train+train_extra; null for none.",
    )
    polygons: bool = Field(
        False,
        description="Use polygons and masks of section annotations as drawn. They are full labels, which take "
        "precedence over those of the dataset, if every object of the image has one and some stuff does, too (or "
        "annotations.background is set); they are box masks if every thing of the image has one.",
    )
    folder: PathText | None = Field(
        None,
        description="Folder with labels of training images, for example corrected ones, which take precedence over all "
        "others: what `export` writes (coco_panoptic, cityscapes, voc, label_studio, cvat), what Label Studio and "
        "CVAT export, or PNG files <image id>.png as in a run's label folders; null for none.",
    )
