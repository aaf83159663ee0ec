from __future__ import annotations

import pytest

from pseudogt.config.run import RunConfig
from pseudogt.costs.estimate import (
    BYTES_PER_MASK,
    describe_estimate,
    estimate_bytes,
    estimate_gpu_gb,
    estimate_prepared_bytes_per_pixel,
    estimate_seconds,
    estimate_seconds_of_jobs,
)
from pseudogt.costs.mining import count_boxes_ahead

DATASET = {"classes": "configs/classes/streets.csv", "void_values": []}


def configure(**sections):
    return RunConfig.model_validate({"name": "x", "dataset": DATASET, **sections})


def test_text_names_images_time_and_space():
    text = describe_estimate(configure(), {"train-0000": ["a", "b"], "val-0000": ["c"]})
    assert "2 training and 1 validation images" in text
    assert "minutes on 2 cores" in text
    assert "GB are free" in text


@pytest.mark.parametrize("init", ["previous", "scratch"])
@pytest.mark.parametrize("threads", [2, 8])
def test_jobs_take_together_what_the_run_takes(init, threads):
    """The reference takes as many steps as the rounds that build on each other."""
    config = configure(rounds={"max": 2, "min": 1, "init": init}, threads=threads)
    jobs = {"classifier": 1, "segmenter_round": 2, "reference": 1, "labels_shard": 6, "cams_shard": 2}
    seconds = estimate_seconds_of_jobs(config, 1000, jobs)
    assert sum(count * seconds[rule] for rule, count in jobs.items()) == pytest.approx(estimate_seconds(config, 1000))
    assert min(estimate_seconds_of_jobs(config, 0, {"predict": 1}).values()) >= 0


def test_jobs_of_jtsm_take_together_what_the_run_takes():
    config = configure(rounds={"max": 2, "min": 1}, shard_size=60, **JTSM)
    jobs = {"classifier": 1, "mining": 1, "mined_shard": 2, "mined_val_shard": 1, "segmenter_round": 2, "reference": 1}
    seconds = estimate_seconds_of_jobs(config, 100, jobs | {"labels_shard": 4}, 30)
    whole = estimate_seconds(config, 100, 30)
    assert sum(count * seconds[rule] for rule, count in (jobs | {"labels_shard": 4}).items()) == pytest.approx(whole)
    assert seconds["mined_shard"] / 50 == pytest.approx(seconds["mined_val_shard"] / 30)


def test_evidence_takes_longer_where_more_boxes_are_segmented():
    few, many = (configure(mining={"top_k": k, "steps": 10**6}, **JTSM) for k in (1, 3))
    seconds = [estimate_seconds_of_jobs(c, 100, {"evidence_shard": 1})["evidence_shard"] for c in (few, many)]
    assert 1 < seconds[0] < seconds[1]


def test_text_names_memory_of_gpus_where_there_are_any():
    shards = {"train-0000": ["a", "b"]}
    assert "of each GPU" not in describe_estimate(configure(), shards)
    large = configure(gpus=2, segmenter={"crop_height_px": 1024, "crop_width_px": 1024, "batch_size": 8})
    assert f"Trainings take {estimate_gpu_gb(large):.0f} GB of each GPU." in describe_estimate(large, shards)
    assert estimate_gpu_gb(large) > estimate_gpu_gb(configure(gpus=2)) > estimate_gpu_gb(configure()) == 0


def test_warns_where_the_disk_is_too_small():
    shards = {"train-0000": ["a"] * 10}
    assert "not be enough space" in describe_estimate(configure(), shards, pixels=10**13)
    assert "not be enough space" not in describe_estimate(configure(), shards)


def test_reference_takes_as_long_as_all_rounds():
    one, three = (estimate_seconds(configure(rounds={"max": n}), 0) for n in (1, 3))
    classifier = estimate_seconds(configure(rounds={"max": 1}, segmenter={"steps": 1}), 0)
    assert three - classifier == pytest.approx(3 * (one - classifier), rel=1e-2)


def test_without_ground_truth_no_reference_is_trained():
    """Half of the trainings of the segmenter are left."""
    boxes = {"format": "csv", "path": "boxes.csv"}
    photos = {"dataset": DATASET | {"format": "images"}, "annotations": boxes, "data_root": "x"}
    with_it, without = (configure(rounds={"max": 2}, **sections) for sections in ({}, photos))
    seconds = estimate_seconds_of_jobs(with_it, 0, {})
    saved = estimate_seconds(with_it, 0) - estimate_seconds(without, 0)
    assert saved == pytest.approx(2 * seconds["segmenter_round"])


def test_bytes_grow_with_images_and_rounds():
    assert estimate_bytes(configure(), 20, 0, 1000) == 2 * estimate_bytes(configure(), 10, 0, 1000)
    assert estimate_bytes(configure(rounds={"max": 4}), 10, 0, 1000) > estimate_bytes(configure(), 10, 0, 1000)


def test_bytes_are_those_of_camvid_and_fewer_if_scores_are_not_kept():
    sections = {"segmenter": {"scale": 0.75}, "rounds": {"max": 2}}
    kept = estimate_bytes(configure(**sections), 367, 101, 360 * 480)
    prepared = 360 * 480 * estimate_prepared_bytes_per_pixel(configure(**sections), 367)
    assert kept - prepared == pytest.approx(420e6, rel=0.2)
    scores_of_a_round = 367 * 160e3
    assert kept - estimate_bytes(configure(keep_scores=False, **sections), 367, 101, 360 * 480) > scores_of_a_round


def test_images_prepared_for_the_training_that_needs_most_are_counted():
    assert estimate_prepared_bytes_per_pixel(configure(), 10) == 10 * 8
    assert estimate_prepared_bytes_per_pixel(configure(segmenter={"scale": 0.5}), 10) == 10 * 3
    assert estimate_prepared_bytes_per_pixel(configure(segmenter={"scale": 0.5}, **JTSM), 10) > 10 * 7


def test_masks_of_grabcut_stay_on_disk():
    config = configure(mining={"steps": 10**6}, **JTSM)
    without = configure(mining={"steps": 10**6, "mask_evidence": "segments"}, **JTSM)
    masks = 10 * count_boxes_ahead(config.mining)
    assert estimate_bytes(config, 10, 0, 100) - estimate_bytes(without, 10, 0, 100) == masks * BYTES_PER_MASK
    assert estimate_bytes(configure(mining={"steps": 10**6}), 10, 0, 100) == estimate_bytes(configure(), 10, 0, 100)


def test_images_that_no_training_draws_are_not_counted():
    short = {"steps": 5, "batch_size": 4}
    config = configure(segmenter=short, classifier=short, rounds={"max": 2})
    assert estimate_prepared_bytes_per_pixel(config, 10**6) == 3 * 5 * 4 * 8


JTSM = {"method": "jtsm", "weak_labels": {"boxes": False, "tags": "image"}}


def test_estimate_of_mining_counts_its_labels_and_the_classifier_it_starts_from():
    from_classifier = estimate_seconds(configure(**JTSM), 100)
    assert estimate_seconds(configure(**JTSM), 100, 50) > from_classifier
    assert estimate_seconds(configure(mining={"init": "scratch"}, **JTSM), 100) < from_classifier
    assert estimate_seconds(configure(gpus=1, **JTSM), 100) < from_classifier
