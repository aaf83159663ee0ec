"""The benchmarks of exports, mixed supervision and the review queue: what they choose and what they write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pseudogt.classes import ClassTable
from pseudogt.metrics.panoptic_counts import count_image

REPOSITORY = Path(__file__).resolve().parents[2]
CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((9, 9, 9), (255, 0, 0)))


@pytest.mark.slow
@pytest.mark.parametrize("script", ["exports", "mixed"])
def test_quick_run_writes_the_figures(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / f"{script}.py"), "--quick"]
    subprocess.run([*command, "--json", str(tmp_path / "figures.json")], check=True, cwd=tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    if script == "exports":
        assert figures["roundtrip_pixel_errors"] == 0 < figures["yolo_pixel_errors"]
    else:
        assert {"pq_mixed_0", "pq_mixed_20_stdev", "pq_alone_5", "pq_mixed_100"} <= set(figures)


def test_calibration_of_made_outcomes() -> None:
    from trust import Outcomes, measure_auroc, measure_calibration_error

    confidence, weight = np.array([0.95, 0.95, 0.5, 0.1]), np.array([6.0, 4.0, 5.0, 5.0])
    outcomes = Outcomes(confidence, np.array([6.0, 3.0, 2.0, 0.0]), weight)
    # Of 10 pixels at 0.95, 9 are right; of 5 at 0.5, 2; of 5 at 0.1, none.
    assert measure_calibration_error(outcomes) == pytest.approx((10 * 0.05 + 5 * 0.1 + 5 * 0.1) / 20)
    pairs = 9 * (3 + 5) + 2 * 5 + (9 * 1 + 2 * 3) / 2
    assert measure_auroc(outcomes) == pytest.approx(pairs / (11 * 9))
    assert measure_auroc(Outcomes(confidence, weight, weight)) is None


def test_trust_compares_pixels_and_segments_with_the_truth() -> None:
    from trust import count_overlaps, measure_outcomes

    truth = np.zeros((4, 8), np.int32)
    truth[:2], truth[2:, :4], truth[2:, 4:7] = 1000, 2001, 2002
    label = np.full((4, 8), 1000, np.int32)
    label[2:, :3], label[2:, 3:5] = 2001, 2002
    confidence = {1000: 0.6, 2001: 0.9}
    overlaps = count_overlaps(label, truth)
    known = np.array([confidence.get(int(i), np.nan) for i in overlaps.label])
    pixels, segments = measure_outcomes(overlaps, known, set())
    # Without 2002, which has no confidence, and two pixels without truth.
    assert (pixels.weight.sum(), pixels.right.sum()) == (16 + 4 + 6, 16 + 6)
    assert sorted(zip(segments.confidence.tolist(), segments.right.tolist(), strict=True)) == [(0.6, 1.0), (0.9, 1.0)]
    _, without = measure_outcomes(overlaps, known, {2001})
    assert without.confidence.tolist() == [0.6]


def test_full_images_are_spread_over_the_sequences() -> None:
    from mixed import spread_images

    image_ids = [f"{sequence}_{i:03d}" for sequence, count in (("a", 100), ("b", 60)) for i in range(count)]
    chosen = spread_images(image_ids, 0.05, seed=0)
    assert [sum(i.startswith(s) for i in chosen) for s in "ab"] == [5, 3]
    of_a = [int(i[2:]) for i in chosen if i.startswith("a")]
    assert set(np.diff(of_a)) == {20}
    assert chosen == spread_images(image_ids, 0.05, seed=0) != spread_images(image_ids, 0.05, seed=3)
    assert spread_images(image_ids, 1, seed=1) == image_ids
    assert spread_images(image_ids, 0, seed=1) == []


def test_corrections_lead_from_the_given_labels_to_the_truth() -> None:
    from review import Labels, compare_orders, follow_order, measure_gains

    truth = np.full((8, 8), 1000, np.int32)
    truth[2:5, 2:6] = 2001
    bad = np.where(truth == 2001, 1000, truth).astype(np.int32)
    given = [count_image(truth, label, CLASSES) for label in (truth, bad, bad)]
    perfect = [count_image(truth, truth, CLASSES)] * 3
    labels = Labels(["a", "b", "c"], given, perfect, np.array([2, 2, 4]), CLASSES)
    gains = measure_gains(labels)
    assert gains[0] == 0 and gains[1] == pytest.approx(2 * gains[2]) and gains[2] > 0
    good, poor = follow_order(labels, [1, 2, 0]), follow_order(labels, [0, 2, 1])
    assert (good >= poor).all() and good[0] > poor[0]
    figures = compare_orders(labels, [1, 2, 0], repeats=5)
    assert figures["pq_queue_5"] == figures["pq_oracle_5"] >= figures["pq_random_95_5"]
    assert figures["pq_uncorrected"] < figures["pq_queue_50"] <= 1


def test_changes_of_a_round_are_counted_where_the_truth_is_known() -> None:
    from rounds import count_changes

    truth = np.array([[0, 1000, 1000, 1000, 2001, 2001]], np.int32)
    before = np.array([[1000, 1000, 1000, 2002, 2001, 1000]], np.int32)
    # Another instance is no change; nor is what happens where nothing is known.
    after = np.array([[2001, 1000, 2001, 1000, 2002, 0]], np.int32)
    assert count_changes(truth, before, after).tolist() == [5, 3, 1, 1]


def test_gains_are_correlated_by_rank_if_there_are_three() -> None:
    from rounds import GAINS, correlate_gains

    rounds = [{"loss_drop": drop, **dict.fromkeys(GAINS, gain)} for drop, gain in ((0.1, 1), (0.2, 9), (0.4, 3))]
    assert correlate_gains(rounds)["correlation_model_pq_gain"] == pytest.approx(0.5)
    assert correlate_gains(rounds[:2]) == {}


def test_failures_are_counted_by_cause() -> None:
    from failures import OUTCOMES, compute_shares, count_outcomes

    classes = ClassTable(("road", "car", "bus"), (7, 3, 4), (False, True, True), ((0, 0, 0), (1, 0, 0), (2, 0, 0)))
    truth = np.full((8, 60), 7000, np.int32)
    labelled = truth.copy()
    for number, first in enumerate(range(0, 60, 10), 1):
        truth[:, first : first + 8] = 3000 + number
    labelled[:, 0:8] = 3001  # found
    labelled[:, 10:18] = 4001  # of another class
    labelled[:, 20:28] = labelled[:, 30:38] = 3002  # two in one
    labelled[:, 40:43], labelled[:, 43:46] = 3003, 3004  # one in two
    labelled[:, 50:52] = 3005  # a quarter
    counts = count_outcomes(truth, labelled, classes)
    shares = compute_shares(counts)
    assert dict(zip(OUTCOMES, counts.tolist(), strict=False)) == {
        "found": 1, "wrong_class": 1, "merged": 2, "split": 1, "poor_mask": 1, "missed": 0
    }  # fmt: skip
    assert shares["surplus"] == 5 / 6 and shares["mask_iou"] == 1 and shares["things"] == 6


def test_failures_leave_out_void_and_crowds() -> None:
    from failures import count_outcomes

    classes = ClassTable(("road", "car"), (7, 3), (False, True), ((0, 0, 0), (1, 0, 0)))
    truth = np.full((8, 40), 7000, np.int32)
    truth[:, :10], truth[:, 10:20], truth[:, 20:30] = 0, 3000, 3001
    labelled = np.full((8, 40), 7000, np.int32)
    labelled[:, :9], labelled[:, 12:18], labelled[:, 22:24] = 3001, 3002, 3003
    # One thing, which is missed by a mask of a fifth; neither what lies on void nor on a crowd is surplus.
    assert count_outcomes(truth, labelled, classes).tolist() == [0, 0, 0, 0, 1, 0, 1, 0]
    found, surplus = count_outcomes(truth, truth, classes)[[0, 6]]
    assert (found, surplus) == (1, 0)
