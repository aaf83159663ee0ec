"""From settings to the function that segments an image: whatever is learnt is read here, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pseudogt.config.proposals import ProposalsSettings
from pseudogt.proposals.contours import Contours, add_local_contours, find_contour_directions, find_gradient_contours
from pseudogt.proposals.generation import MULTI_SCALES, SINGLE_SCALE, ImageSegments, Quotas, segment_image
from pseudogt.proposals.hierarchies import build_partition
from pseudogt.proposals.ranking import read_ranker
from pseudogt.workflow import weights

FindContours = Callable[[NDArray[np.uint8]], Contours]


def prepare_segmentation(settings: ProposalsSettings) -> Callable[[NDArray[np.uint8]], ImageSegments]:
    """Read the weights that the settings need and return what gives an image its hierarchies and proposals.

    Parameters
    ----------
    settings : ProposalsSettings

    Returns
    -------
    callable
        Takes an image ``(H, W, 3) uint8 RGB``; equal images give equal results, whatever came before.

    Raises
    ------
    ValueError
        If a weight file is missing or broken.
    """
    find_contours = _load_contours() if settings.contours == "learned" else find_gradient_contours
    ranker = read_ranker(weights.RANKER) if settings.ranking == "learned" else None
    kept = settings.kept_unions
    quotas = Quotas(grown=settings.grown_unions, kept=(2 * settings.max_regions, kept, kept, kept))

    def segment(image: NDArray[np.uint8]) -> ImageSegments:
        return segment_image(
            image,
            find_contours=find_contours,
            scales=SINGLE_SCALE if settings.mode == "single" else MULTI_SCALES,
            ranker=ranker,
            quotas=quotas,
            max_superpixels=settings.max_superpixels,
            max_regions=settings.max_regions,
            max_proposals=settings.max_proposals,
        )

    return segment


def prepare_regions(
    contours: Literal["learned", "gradient"], *, max_regions: int = 1200
) -> Callable[[NDArray[np.uint8]], NDArray[np.int32]]:
    """Read the weights, if any are needed, and return what cuts an image into regions ``(H, W) int32``, from 0."""
    find_contours = _load_contours() if contours == "learned" else find_gradient_contours

    def find_regions(image: NDArray[np.uint8]) -> NDArray[np.int32]:
        return build_partition([find_contours(image)], max_superpixels=max_regions, max_regions=1).superpixels

    return find_regions


def _load_contours() -> FindContours:
    """Contours by the network; torch is imported here only, and gets one thread for the whole process."""
    import torch

    from models.pretrained.contours import ContourModel

    torch.set_num_threads(1)
    model = ContourModel.load(weights.CONTOURS)
    return lambda image: add_local_contours(find_contour_directions(model.find_contours(image)), image)
