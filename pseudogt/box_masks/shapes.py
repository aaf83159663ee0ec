"""Boxes segmented without looking at the image."""

from __future__ import annotations

import numpy as np

from pseudogt.box_masks.scene import PrepareScene, SegmenterOptions
from pseudogt.boxes import box_slices, measure_thing_radius


def load_ellipse(options: SegmenterOptions) -> PrepareScene:
    """Fill the ellipse that touches the sides of the box, whatever the image; not random."""
    return lambda scene: (
        lambda index: measure_thing_radius(scene.boxes_xyxy[index], (scene.image.shape[0], scene.image.shape[1])) <= 1
    )


def load_fill(options: SegmenterOptions) -> PrepareScene:
    """The whole box."""
    return lambda scene: lambda index: np.ones(scene.image[box_slices(scene.boxes_xyxy[index])].shape[:2], bool)
