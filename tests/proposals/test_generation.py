"""Proposals: contours, hierarchies, unions of regions, selection, and odd images."""

from __future__ import annotations

import numpy as np
import pytest
from proposal_testing import assert_same

from pseudogt.proposals.contours import Contours, find_contour_directions, find_gradient_contours
from pseudogt.proposals.generation import MULTI_SCALES, Quotas, segment_image
from pseudogt.proposals.grouping import FEATURE_NAMES, add_neighbours, compute_features, list_singles
from pseudogt.proposals.hierarchies import Adjacency, build_partition, measure_borders
from pseudogt.proposals.regions import gather_facts, measure_regions
from pseudogt.proposals.selection import fill_holes, find_members, select_distinct, spread_out


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture(scope="module")
def scene():
    """A ring, a disc of two colours, and noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]
    ring = np.abs(np.hypot(x - 35, y - 45) - 20) < 7
    disc = np.hypot(x - 88, y - 45) < 18
    image = np.full((90, 120, 3), (70, 120, 70))
    image[ring] = (200, 60, 60)
    image[disc & (y < 45)] = (60, 60, 200)
    image[disc & (y >= 45)] = (220, 220, 90)
    return (image + rng.integers(-5, 6, image.shape)).astype(np.uint8), ring, disc


@pytest.fixture(scope="module")
def partition(scene):
    return build_partition([find_gradient_contours(scene[0])], max_superpixels=60, max_regions=20)


@pytest.fixture(scope="module")
def table(scene, partition):
    facts = gather_facts(scene[0], partition.superpixels)
    return facts, measure_regions(partition, partition.hierarchies[0], facts)


def test_contours_are_strong_on_borders_and_bounded(scene):
    image, _, disc = scene
    strength = find_gradient_contours(image).strength
    border = disc[:, 1:] != disc[:, :-1]
    assert strength.shape == disc.shape
    assert strength.min() >= 0 and strength.max() <= 1
    assert strength[:, 1:][border].mean() > 4 * strength[:10].mean()


def test_gradient_directions_cross_the_border():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 255
    contours = find_gradient_contours(image)
    assert contours.cosine[20, 20] == pytest.approx(contours.mean[20, 20], rel=0.05)
    turned = find_gradient_contours(np.ascontiguousarray(image.transpose(1, 0, 2)))
    assert turned.cosine[20, 20] == pytest.approx(-turned.mean[20, 20], rel=0.05)


def test_ridges_get_their_directions_and_keep_their_strength():
    strength = np.zeros((40, 40), np.float32)
    strength[:, 20] = 0.8
    contours = find_contour_directions(strength)
    np.testing.assert_allclose(contours.strength, strength, atol=1e-4)
    assert contours.cosine[20, 20] > 0.9 * contours.mean[20, 20]
    assert abs(contours.sine[20, 20]) < 1e-3


def test_borders_along_a_contour_are_stronger_than_those_across_it():
    """A border whose normal is along the contour has the strength of the weaker direction."""
    mean = np.full((20, 20), 0.5, np.float32)
    across = Contours(mean, mean, np.zeros_like(mean))  # strong for vertical borders only
    halves = np.zeros((20, 20), np.int32)
    halves[:, 10:] = 1
    assert measure_borders(halves, across)[1] == pytest.approx(1, abs=1e-3)
    assert measure_borders(np.ascontiguousarray(halves.T), across)[1] == pytest.approx(0, abs=1e-3)


def test_superpixels_are_numbered_and_connected(partition):
    from scipy import ndimage

    superpixels = partition.superpixels
    assert np.unique(superpixels).tolist() == list(range(superpixels.max() + 1))
    assert superpixels.max() < 60
    assert all(ndimage.label(superpixels == n)[1] == 1 for n in range(superpixels.max() + 1))


def test_hierarchies_are_trees_pruned_to_the_asked_regions(scene):
    contours = [find_gradient_contours(scene[0])] * 2
    partition = build_partition(contours, max_superpixels=50, max_regions=12)
    assert len(partition.hierarchies) == 3
    for hierarchy in partition.hierarchies:
        assert hierarchy.num_leaves == 12
        assert len(hierarchy.parents) == 23
        assert (hierarchy.parents[:-1] > np.arange(22)).all() and hierarchy.parents[-1] == 22
        assert (np.diff(hierarchy.altitudes[12:]) >= 0).all()
        for node in range(12, 23):
            assert sorted(hierarchy.children[node]) == np.flatnonzero(hierarchy.parents[:-1] == node).tolist()
    # Equal contours at all scales: the combined hierarchy is that of each scale.
    np.testing.assert_allclose(partition.hierarchies[0].altitudes, partition.hierarchies[1].altitudes, atol=0.01)


def test_a_coarse_hierarchy_is_aligned_to_the_fine_superpixels():
    """Borders that only the fine scale has get strength 0 at the coarse one."""
    rng = np.random.default_rng(1)
    fine = rng.random((60, 60)).astype(np.float32) * 0.2
    fine[:, 30] = 0.9
    coarse = np.zeros((60, 60), np.float32)
    coarse[:, 28:33] = np.array([0.2, 0.5, 0.8, 0.5, 0.2])
    partition = build_partition(
        [find_contour_directions(coarse), find_contour_directions(fine)], max_superpixels=500, max_regions=50
    )
    adjacency, of_coarse = partition.adjacency, partition.hierarchies[1].strengths
    columns = np.indices(partition.superpixels.shape)[1].ravel()
    areas = np.bincount(partition.superpixels.ravel())
    left = np.bincount(partition.superpixels.ravel(), columns) / areas < 30
    crossing = left[adjacency.first] != left[adjacency.second]
    assert of_coarse[crossing].mean() > 0.5
    assert np.mean(of_coarse[~crossing] == 0) > 0.9


def test_region_facts_equal_those_of_their_pixels(partition, table):
    facts, regions = table
    hierarchy = partition.hierarchies[0]
    members = find_members(list_singles(regions), hierarchy)
    for node, row in enumerate(members):
        mask = row[partition.superpixels]
        rows, columns = np.nonzero(mask)
        assert regions.sums[node, 0] == mask.sum()
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_array_equal(regions.boxes[node], box)
        edges = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
        assert regions.outlines[node, 0] == pytest.approx(edges)
        frame = mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum()
        assert regions.sums[node, 1:5].sum() == frame
    assert facts.areas.sum() == partition.superpixels.size


def test_unions_touch_are_disjoint_and_come_once(partition, table):
    _, regions = table
    hierarchy = partition.hierarchies[0]
    unions = list_singles(regions)
    for parts in (2, 3, 4):
        unions = add_neighbours(unions, regions)
        assert ((unions >= 0).sum(1) == parts).all()
        masks = {m.tobytes() for m in find_members(unions, hierarchy)}
        assert len(masks) == len(unions)
        areas = [find_members(unions[:, [k]], hierarchy) @ regions_areas(partition) for k in range(parts)]
        together = find_members(unions, hierarchy) @ regions_areas(partition)
        np.testing.assert_array_equal(np.sum(areas, axis=0), together)


def regions_areas(partition):
    return np.bincount(partition.superpixels.ravel())


def test_features_of_a_union_equal_those_of_its_pixels(partition, table):
    facts, regions = table
    pairs = add_neighbours(list_singles(regions), regions)
    features = compute_features(pairs, regions, facts, scale=2)
    members = find_members(pairs, partition.hierarchies[0])
    column = {name: features[:, k] for k, name in enumerate(FEATURE_NAMES)}
    for row in range(0, len(pairs), 7):
        mask = members[row][partition.superpixels]
        edges = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
        frame = mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum()
        assert column["log_area"][row] == pytest.approx(np.log(mask.mean()), abs=1e-4)
        assert column["log_roundness"][row] == pytest.approx(np.log(mask.sum() / (edges + frame) ** 2), abs=1e-4)
        assert column["frame_share"][row] == pytest.approx(frame / (edges + frame), abs=1e-5)
    assert (column["parts"] == 2).all() and (column["scale"] == 2).all()
    assert np.isfinite(features).all()


def test_holes_are_filled_but_not_bays():
    # 0 encloses 1 together with 2; 3 is at the frame, and what it surrounds is the rest of the image
    adjacency = Adjacency(np.array([0, 0, 1, 0, 2]), np.array([1, 2, 2, 3, 3]), np.ones(5))
    members = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], bool)
    filled = fill_holes(members, adjacency, np.array([False, False, False, True]))
    np.testing.assert_array_equal(filled, [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def test_duplicates_go_and_the_rest_is_spread_out():
    rng = np.random.default_rng(0)
    areas = rng.integers(1, 9, 130).astype(float)
    base = rng.random((6, 130)) < 0.4
    members = np.concatenate([base, base ^ (rng.random((6, 130)) < 0.01), base ^ (rng.random((6, 130)) < 0.1)])
    boxes = np.tile([0.0, 0, 99, 99], (18, 1))
    inter = (members * areas) @ members.T.astype(float)
    iou = inter / (inter.diagonal()[:, None] + inter.diagonal() - inter)
    kept: list[int] = []
    for row in range(18):
        if all(iou[row, other] < 0.9 for other in kept):
            kept.append(row)
    found = select_distinct(members, boxes, areas, max_overlap=0.9, limit=99)
    np.testing.assert_array_equal(found, kept)
    assert len(select_distinct(members, boxes, areas, max_overlap=0.9, limit=3)) == 3
    order = spread_out(members, boxes, areas, max_overlaps=(0.5, 0.8))
    assert sorted(order) == list(range(18))
    assert order[:6].tolist() == list(range(6))


@pytest.mark.parametrize("scales", [(1.0,), MULTI_SCALES])
def test_finds_the_ring_filled_and_the_disc_of_two_colours(scene, scales):
    image, _, disc = scene
    proposals = segment_image(image, scales=scales).proposals
    masks = [proposals.mask(n) for n in range(len(proposals.scores))]
    y, x = np.mgrid[:90, :120]
    assert max(overlap(m, np.hypot(x - 35, y - 45) < 27) for m in masks) > 0.85
    assert max(overlap(m, disc) for m in masks) > 0.85
    for mask, (x0, y0, x1, y1) in zip(masks, proposals.boxes_xyxy, strict=True):
        rows, columns = np.nonzero(mask)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)


def test_equal_input_gives_equal_output(scene):
    first, second = (segment_image(scene[0], scales=MULTI_SCALES).proposals for _ in range(2))
    assert_same(first, second)


@pytest.mark.parametrize("scales", [(1.0,), MULTI_SCALES])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (5, 15), (15, 3)])
def test_tiny_images(shape, scales):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    segments = segment_image(image, scales=scales)
    assert segments.partition.superpixels.shape == shape
    assert len(segments.proposals.scores) >= 1
    assert all(segments.proposals.mask(n).any() for n in range(len(segments.proposals.scores)))


@pytest.mark.parametrize("scales", [(1.0,), MULTI_SCALES])
def test_a_uniform_image_is_one_proposal(scales):
    proposals = segment_image(np.full((40, 50, 3), 90, np.uint8), scales=scales).proposals
    assert len(proposals.scores) == 1
    assert proposals.mask(0).all()
    np.testing.assert_array_equal(proposals.boxes_xyxy, [[0, 0, 50, 40]])


def test_more_than_255_objects():
    image = np.full((360, 360, 3), 40, np.uint8)
    for y, x in np.ndindex(18, 18):
        image[20 * y + 4 : 20 * y + 16, 20 * x + 4 : 20 * x + 16] = (200, 200, 60)
    quotas = Quotas(grown=0, kept=(2000, 0, 0, 0))
    proposals = segment_image(image, max_regions=700, max_superpixels=2000, quotas=quotas).proposals
    corners = np.array([proposals.boxes_xyxy[:, 0] // 20, proposals.boxes_xyxy[:, 1] // 20])
    sides = proposals.boxes_xyxy[:, 2:] - proposals.boxes_xyxy[:, :2]
    small = (np.abs(sides - 12) <= 3).all(1)
    assert len(np.unique(corners[:, small], axis=1).T) > 255
    assert proposals.superpixels.max() + 1 > 255


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 4), (0, 9, 3)])
def test_what_is_no_rgb_image_is_an_error(shape):
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        segment_image(np.zeros(shape, np.uint8))
