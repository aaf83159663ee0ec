"""Section ``provided``: results you bring along, in place of a stage that would compute them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pseudogt.config.base import Section


class ProvidedSettings(Section):
    """Results that you bring along, in place of the stages that would compute them.

    `python -m pseudogt.wsps import` makes all three from the WSPS authors' downloads (docs/wsps.md).
    """

    weak_labels: str | None = Field(
        None,
        description="Boxes and tags of the training images, one COCO-style JSON as `weak_labels.json` of a run; null "
        "derives them from the ground truth.",
    )
    bad_boxes: Literal["error", "skip"] = Field(
        "error",
        description="Records of `weak_labels` that can't be read, and boxes without area or that stick out of their "
        "image: error, or skip with a warning; their class is then unknown in the image.",
    )
    cams: str | None = Field(
        None,
        description="Score file (HDF5) with a label and a confidence of each training image, what round 0 starts from; "
        "null trains the tag classifier.",
    )
    box_masks: str | None = Field(
        None,
        description="COCO panoptic folder with the box masks of the training images; null segments the boxes.",
    )
