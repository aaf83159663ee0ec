from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudogt.weak_labels.crops import crop_grid
from pseudogt.workflow.assignment import plan_shards

lengths = st.integers(1, 300)
fractions = st.floats(0.05, 1, exclude_min=True)
id_sets = st.lists(st.sampled_from([f"i{n:02d}" for n in range(30)]), unique=True)


@given(lengths, lengths, fractions, fractions)
@settings(deadline=None)
def test_crops_cover_every_pixel_and_reach_the_borders(height, width, height_fraction, width_fraction):
    crops = crop_grid(height, width, height_fraction, width_fraction)
    covered = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in crops:
        covered[y0:y1, x0:x1] = True
    assert covered.all()
    assert crops.min() == 0
    assert crops[:, 2].max() == width and crops[:, 3].max() == height
    assert len(np.unique(crops[:, 2:] - crops[:, :2], axis=0)) == 1
    assert len(np.unique(crops, axis=0)) == len(crops)


@given(id_sets, id_sets, st.integers(1, 7))
def test_nobody_moves_and_nobody_is_lost(before, after, size):
    first = plan_shards(None, {"train": before}, size)
    second = plan_shards(first, {"train": after}, size)
    members = [i for shard in second.values() for i in shard]
    assert sorted(members) == sorted(after)
    assert all(0 < len(shard) <= size for shard in second.values())
    place = {i: shard for shard, ids in first.items() for i in ids}
    for shard, ids in second.items():
        assert all(place.get(i, shard) == shard for i in ids)


@given(id_sets, id_sets, st.integers(1, 7))
def test_an_unchanged_set_keeps_its_plan(before, after, size):
    plan = plan_shards(plan_shards(None, {"train": before}, size), {"train": after}, size)
    assert plan_shards(plan, {"train": after}, size) == plan


@given(id_sets, st.integers(1, 7), st.randoms(use_true_random=False))
def test_order_of_the_list_moves_nobody(ids, size, random):
    plan = plan_shards(None, {"train": ids}, size)
    shuffled = random.sample(ids, len(ids))
    assert plan_shards(plan, {"train": shuffled}, size) == plan
