"""Section ``provided``: existing results that replace the stages that would compute them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pseudogt.config.base import PathText, Section


class ProvidedSettings(Section):
    """Existing results that replace the stages that would compute them.

    `python -m pseudogt.wsps import` makes all three from the files that the WSPS authors published (docs/wsps.md).
    """

    weak_labels: PathText | None = Field(
        None,
        description="Boxes and tags of the training images, in one COCO-style JSON like a run's `weak_labels.json`; "
        "null derives them from the ground truth.",
    )
    bad_boxes: Literal["error", "skip"] = Field(
        "error",
        description="Unreadable records of `weak_labels`, and boxes without area or beyond their image: error, or skip "
        "with a warning; their class is then unknown in the image.",
    )
    cams: PathText | None = Field(
        None,
        description="Score file (HDF5, docs/stages.md) with a label and a confidence of each training image, from "
        "which round 0 starts; null trains the tag classifier.",
    )
    box_masks: PathText | None = Field(
        None,
        description="COCO panoptic folder with the box masks of the training images; null makes masks from the boxes.",
    )
