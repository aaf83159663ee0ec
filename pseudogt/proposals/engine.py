"""Make the function that segments an image from a plan; contours and ranker are passed in and read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pseudogt.proposals.contours import FindContours
from pseudogt.proposals.generation import MULTI_SCALES, SINGLE_SCALE, ImageSegments, Quotas, segment_image
from pseudogt.proposals.hierarchies import build_partition
from pseudogt.proposals.ranking import Ranker


@dataclass(frozen=True)
class EnginePlan:
    """How proposals are made.

    Attributes
    ----------
    mode : {"single", "multi"}
        One scale, or half, whole and double size.
    max_superpixels, max_regions, max_proposals : int
        See :func:`pseudogt.proposals.generation.segment_image`.
    grown_unions, kept_unions : int
        Best unions of a hierarchy that get one more part, and that enter the common list.
    """

    mode: str
    max_superpixels: int
    max_regions: int
    max_proposals: int
    grown_unions: int
    kept_unions: int


def make_engine(
    plan: EnginePlan, find_contours: FindContours, ranker: Ranker | None
) -> Callable[[NDArray[np.uint8]], ImageSegments]:
    """Return what gives an image ``(H, W, 3) uint8 RGB`` its hierarchies and proposals.

    Equal images give equal results, whatever came before. Without a ranker a fixed rule ranks.
    """
    kept = plan.kept_unions
    quotas = Quotas(grown=plan.grown_unions, kept=(2 * plan.max_regions, kept, kept, kept))

    def segment(image: NDArray[np.uint8]) -> ImageSegments:
        return segment_image(
            image,
            find_contours=find_contours,
            scales=SINGLE_SCALE if plan.mode == "single" else MULTI_SCALES,
            ranker=ranker,
            quotas=quotas,
            max_superpixels=plan.max_superpixels,
            max_regions=plan.max_regions,
            max_proposals=plan.max_proposals,
        )

    return segment


def make_region_finder(
    find_contours: FindContours, *, max_regions: int = 1200
) -> Callable[[NDArray[np.uint8]], NDArray[np.int32]]:
    """Return what cuts an image into regions ``(H, W) int32``, numbered from 0."""

    def cut_into_regions(image: NDArray[np.uint8]) -> NDArray[np.int32]:
        return build_partition([find_contours(image)], max_superpixels=max_regions, max_regions=1).superpixels

    return cut_into_regions
