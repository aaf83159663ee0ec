"""Proposals of one image: contours in, a ranked list of unions of regions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.proposals.contours import Contours, find_contours_at_scales, find_gradient_contours
from pseudogt.proposals.grouping import FEATURE_NAMES, MAX_PARTS, add_neighbours, compute_features, list_singles
from pseudogt.proposals.hierarchies import Hierarchy, Partition, build_partition
from pseudogt.proposals.members import Members
from pseudogt.proposals.ranking import Ranker, score_by_trees
from pseudogt.proposals.regions import ImageFacts, RegionTable, find_member_boxes, gather_facts, measure_regions
from pseudogt.proposals.selection import fill_holes, find_members, select_distinct, spread_out

DUPLICATE_OVERLAP = 0.95
"""IoU from which the lower of two proposals is dropped."""

RULE_SPREAD, LEARNED_SPREAD = (0.7, 0.85), (0.5, 0.7, 0.85)
"""Proposals that overlap no better one by more come first, for either ranking; chosen on coco_panoptic train."""

SINGLE_SCALE = (1.0,)
MULTI_SCALES = (0.5, 1.0, 2.0)
"""The scales of Arbelaez, Pont-Tuset et al. (CVPR 2014)."""


class Quotas(NamedTuple):
    """Numbers of unions of each hierarchy that are considered.

    Attributes
    ----------
    grown : int
        Best unions of two (and of three) parts that get one more.
    kept : (int, int, int, int)
        Best unions of one to four parts that enter the common list.
    """

    grown: int
    kept: tuple[int, int, int, int]


DEFAULT_QUOTAS = Quotas(grown=2000, kept=(500, 3000, 3000, 3000))


class Proposals(NamedTuple):
    """Ranked proposals of one image.

    Attributes
    ----------
    superpixels : (H, W) int32
        From 0.
    members : Members
        Superpixels of each of N proposals, best first.
    scores : (N,) floating
        The higher the surer; not sorted, since the list is spread out.
    boxes_xyxy : (N, 4) int32
        Half-open, tight.
    """

    superpixels: NDArray[np.int32]
    members: Members
    scores: NDArray[np.floating]
    boxes_xyxy: NDArray[np.int32]

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Pixels ``(H, W)`` of one proposal."""
        return self.members.mask(index, self.superpixels)

    def take(self, count: int) -> Proposals:
        """Return the first ``count`` proposals."""
        return self.take_rows(np.arange(min(count, len(self.scores))))

    def take_rows(self, rows: NDArray[np.integer]) -> Proposals:
        """Return some proposals ``(R,)``, in the order given."""
        return Proposals(self.superpixels, self.members.take(rows), self.scores[rows], self.boxes_xyxy[rows])

    def keep_distinct_boxes(self) -> Proposals:
        """Return the first of the proposals with each box, in their order."""
        return self.take_rows(np.sort(np.unique(self.boxes_xyxy, axis=0, return_index=True)[1]))


class ImageSegments(NamedTuple):
    """The class-agnostic segmentation of an image: its hierarchies and its proposals."""

    partition: Partition
    proposals: Proposals


class Candidates(NamedTuple):
    """Unions of one hierarchy with their features and scores."""

    hierarchy: Hierarchy
    unions: NDArray[np.int32]
    features: NDArray[np.float32]
    scores: NDArray[np.float32]


def segment_image(
    image: NDArray[np.uint8],
    *,
    find_contours: Callable[[NDArray[np.uint8]], Contours] = find_gradient_contours,
    scales: Sequence[float] = SINGLE_SCALE,
    ranker: Ranker | None = None,
    quotas: Quotas = DEFAULT_QUOTAS,
    max_superpixels: int = 1200,
    max_regions: int = 120,
    max_proposals: int = 2100,
) -> ImageSegments:
    """Hierarchies and ranked proposals of an image.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
        Any size from one pixel.
    find_contours
        Contours of an image.
    scales : sequence of float
        Factors by which the image is resized before, ascending.
    ranker : Ranker or None
        None ranks by a fixed rule, for which nothing was learned.
    quotas : Quotas
    max_superpixels, max_regions
        As of :func:`pseudogt.proposals.hierarchies.build_partition`.
    max_proposals : int

    Raises
    ------
    ValueError
        If ``image`` is no RGB image of at least one pixel.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"expected an image (H, W, 3) uint8, got {image.shape} {image.dtype}")
    contours = find_contours_at_scales(image, scales, find_contours)
    partition = build_partition(contours, max_superpixels=max_superpixels, max_regions=max_regions)
    return ImageSegments(
        partition, make_proposals(image, partition, ranker, quotas=quotas, max_proposals=max_proposals)
    )


def make_proposals(
    image: NDArray[np.uint8], partition: Partition, ranker: Ranker | None, *, quotas: Quotas, max_proposals: int
) -> Proposals:
    """Ranked proposals of an image from its partition; parameters as of :func:`segment_image`."""
    facts = gather_facts(image, partition.superpixels)
    candidates = [
        find_candidates(measure_regions(partition, hierarchy, facts), hierarchy, facts, ranker, quotas, scale)
        for scale, hierarchy in enumerate(partition.hierarchies)
    ]
    # Merge the unions of all hierarchies into one list, best first.
    scores = np.concatenate([c.scores for c in candidates])
    order = np.argsort(-scores, kind="stable")
    members = np.concatenate([find_members(c.unions, c.hierarchy) for c in candidates])[order]
    scores = scores[order]

    # Fill holes before duplicates are dropped: different unions may be equal once they are filled.
    members = fill_holes(members, partition.adjacency, (facts.frame > 0).sum(1) > 0)
    boxes = find_member_boxes(Members.from_dense(members), facts.boxes)
    kept = select_distinct(members, boxes, facts.areas, max_overlap=DUPLICATE_OVERLAP, limit=max_proposals)
    members, scores, boxes = members[kept], scores[kept], boxes[kept]
    order = spread_out(members, boxes, facts.areas, max_overlaps=LEARNED_SPREAD if ranker else RULE_SPREAD)
    best = Members.from_dense(members[order])
    return Proposals(partition.superpixels, best, scores[order], boxes[order].astype(np.int32))


def find_candidates(
    table: RegionTable,
    hierarchy: Hierarchy,
    facts: ImageFacts,
    ranker: Ranker | None,
    quotas: Quotas,
    scale: int,
) -> Candidates:
    """Best unions of one to four neighbouring regions of a hierarchy."""
    unions = list_singles(table)
    found: list[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]] = []
    for parts in range(1, MAX_PARTS + 1):
        features = compute_features(unions, table, facts, scale=scale)
        scores = score_by_trees(ranker, features) if ranker else score_by_rule(features)
        order = order_by_size_and_score(features[:, FEATURE_NAMES.index("log_area")], scores)
        best = order[: quotas.kept[parts - 1]]
        found.append((unions[best], features[best], scores[best]))
        # All single regions are extended; of larger unions, only the best.
        if parts < MAX_PARTS:
            unions = add_neighbours(unions if parts == 1 else unions[order[: quotas.grown]], table)
    return Candidates(hierarchy, *(np.concatenate(each) for each in zip(*found, strict=True)))


def order_by_size_and_score(log_areas: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order ``(N,)`` that takes the best of each size in turn; sizes differ by a factor of two.

    Small things are many and large things look alike: by score alone one size would fill the list.
    """
    # Size class of a union: the octave of its area.
    sizes = np.floor(log_areas / np.log(2)).astype(np.int64)
    by_size = np.lexsort((-scores, sizes))
    # Rank of each union within its size class, best first; ties between equal ranks go by score.
    first = np.searchsorted(sizes[by_size], sizes[by_size])
    turn = np.empty(len(scores), np.int64)
    turn[by_size] = np.arange(len(scores)) - first
    return np.lexsort((-scores, turn))


def score_by_rule(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score ``(N,)`` in [0, 1] by a fixed rule: strong outside, weak inside, round, away from the frame, large."""
    column = {name: features[:, index] for index, name in enumerate(FEATURE_NAMES)}
    value = (
        2.0 * column["outer_strength"]
        - 1.0 * np.maximum(column["inner_altitude"], column["joint_strength"])
        + 0.3 * column["log_area"].clip(-6, -1.5)
        + 0.3 * column["log_roundness"]
        - 1.5 * column["frame_share"]
        - 0.2 * column["parts"]
        + 1.0 * column["surround_contrast"]
    )
    return (1 / (1 + np.exp(-value))).astype(np.float32)
