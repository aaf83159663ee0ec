"""Make functions that need trained weights from settings; torch is imported only when a network is loaded.

Networks that look at a single image or box run on one thread, since more of them gain nothing there
and change the last bits: loading one sets the number of torch's threads for the whole process.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pseudogt.box_masks.scene import LoadSegmenter, PrepareScene, SegmenterOptions
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.config.proposals import ProposalsSettings
from pseudogt.config.registry import Registry
from pseudogt.proposals.contours import (
    FindContours,
    add_local_contours,
    find_contour_directions,
    find_gradient_contours,
)
from pseudogt.proposals.engine import EnginePlan, make_engine
from pseudogt.proposals.generation import ImageSegments
from pseudogt.proposals.ranking import read_ranker
from pseudogt.workflow import weights

BOX_SEGMENTERS = Registry("models.pretrained.box_segmenters", "box segmenter")


def load_contours(kind: str) -> FindContours:
    """The function that finds the contours of an image: by "gradient", or "learned", by the network."""
    if kind == "gradient":
        return find_gradient_contours
    import torch

    from models.pretrained.contours import ContourModel

    torch.set_num_threads(1)
    model = ContourModel.load(weights.CONTOURS)
    return lambda image: add_local_contours(find_contour_directions(model.find_contours(image)), image)


def load_engine(settings: ProposalsSettings) -> Callable[[NDArray[np.uint8]], ImageSegments]:
    """The function that makes hierarchies and proposals of an image ``(H, W, 3) uint8 RGB``.

    Raises
    ------
    ValueError
        If a weight file is missing or broken.
    """
    ranker = read_ranker(weights.RANKER) if settings.ranking == "learned" else None
    return make_engine(settings.fill(EnginePlan), load_contours(settings.contours), ranker)


def load_segmenters(settings: BoxMasksSettings) -> list[PrepareScene]:
    """The box segmenters that the settings name, in their order."""
    loaders: list[LoadSegmenter] = [BOX_SEGMENTERS.load(name) for name in settings.segmenters]
    options = settings.fill(SegmenterOptions, load_contours=load_contours)
    return [load(options) for load in loaders]
