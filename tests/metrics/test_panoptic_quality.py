from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import average_pq, pq_compute_single_core
from hotcoco.panoptic import PanopticEval
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.files.labels import describe_segments, panoptic_to_rgb
from pseudogt.metrics.panoptic_counts import Counts, count_image, count_overlaps
from pseudogt.metrics.panoptic_quality import score_classes, summarise

CLASSES = ClassTable(
    ("road", "sky", "person", "car"),
    (7, 23, 24, 26),
    (False, False, True, True),
    ((128, 64, 128), (70, 130, 180), (220, 20, 60), (0, 0, 142)),
)
ROAD, SKY, PERSON, CAR = 7000, 23000, 24000, 26000
IDS = np.array([VOID, ROAD, SKY, PERSON, PERSON + 1, PERSON + 2, CAR, CAR + 1, CAR + 2], np.int32)


def make_map(rng: np.random.Generator, ids=IDS, shape=(20, 31), blocks=(4, 5)) -> np.ndarray:
    """Random blocks, so that segments are large enough to match each other."""
    coarse = ids[rng.integers(0, len(ids), blocks)]
    rows = np.arange(shape[0]) * blocks[0] // shape[0]
    columns = np.arange(shape[1]) * blocks[1] // shape[1]
    return coarse[rows][:, columns]


def disturb(rng: np.random.Generator, panoptic_id: np.ndarray, ids=IDS) -> np.ndarray:
    """Shifts the map by a pixel and repaints a rectangle and single pixels."""
    changed = np.roll(panoptic_id, rng.integers(-1, 2, 2), axis=(0, 1))
    y, x = rng.integers(0, 10), rng.integers(0, 20)
    changed[y : y + rng.integers(1, 10), x : x + rng.integers(1, 10)] = rng.choice(ids)
    noise = rng.random(panoptic_id.shape) < 0.02
    changed[noise] = rng.choice(ids, noise.sum())
    return changed


def is_thing_without_instance(segment_id: int) -> bool:
    return segment_id in (PERSON, CAR)


def count_by_cityscapes(pairs, folder):
    """Counts and averages of cityscapesScripts, which reads PNG files."""
    annotations = []
    for i, (truth, predicted) in enumerate(pairs):
        predicted = np.where(np.isin(predicted, [PERSON, CAR]), VOID, predicted).astype(np.int32)
        crowds = {PERSON, CAR} & set(np.unique(truth).tolist())
        for kind, ids in (("truth", truth), ("predicted", predicted)):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(panoptic_to_rgb(ids)).save(folder / kind / f"{i}.png")
        annotations.append(
            tuple(
                {"image_id": i, "file_name": f"{i}.png", "segments_info": describe_segments(ids, crowd, {})}
                for ids, crowd in ((truth, crowds), (predicted, set()))
            )
        )
    categories = {c["id"]: c for c in CLASSES.to_categories()}
    with contextlib.redirect_stdout(io.StringIO()):
        counted = pq_compute_single_core(0, annotations, folder / "truth", folder / "predicted", categories)
    return counted, average_pq(counted, categories)


def count_by_hotcoco(pairs, folder):
    """Scores of hotcoco by category; it reads PNG files and takes whole numbers as image ids."""
    sides = {"truth": [], "predicted": []}
    for i, (truth, predicted) in enumerate(pairs):
        predicted = np.where(np.isin(predicted, [PERSON, CAR]), VOID, predicted).astype(np.int32)
        crowds = {PERSON, CAR} & set(np.unique(truth).tolist())
        for side, ids in zip(sides, (truth, predicted), strict=True):
            (folder / side).mkdir(exist_ok=True)
            Image.fromarray(panoptic_to_rgb(ids)).save(folder / side / f"{i}.png")
            segments = describe_segments(ids, crowds if side == "truth" else set(), {})
            sides[side].append({"image_id": i, "file_name": f"{i}.png", "segments_info": segments})
    images = [{"id": i, "height": t.shape[0], "width": t.shape[1]} for i, (t, _) in enumerate(pairs)]
    documents = [
        {"images": images, "categories": CLASSES.to_categories(), "annotations": found} for found in sides.values()
    ]
    evaluation = PanopticEval(*documents, gt_folder=folder / "truth", pred_folder=folder / "predicted")
    evaluation.evaluate()
    return evaluation.results()


@pytest.mark.parametrize("seed", range(10))
def test_pq_is_that_of_hotcoco_with_void_and_crowds(seed, tmp_path):
    rng = np.random.default_rng(seed)
    truths = [make_map(rng) for _ in range(4)]
    pairs = [(truth, disturb(rng, truth)) for truth in truths]
    expected = count_by_hotcoco(pairs, tmp_path)
    counts = add_counts(pairs)
    assert counts.tp.sum() > 0
    for i, category_id in enumerate(CLASSES.category_ids):
        theirs = expected["per_class"][category_id]
        assert (counts.tp[i], counts.fp[i], counts.fn[i]) == (theirs["tp"], theirs["fp"], theirs["fn"])
        assert counts.iou[i] == pytest.approx(theirs["iou"], abs=1e-12)
    assert summarise(counts, CLASSES, is_prediction=True)["pq"] == pytest.approx(expected["All"]["pq"], abs=1e-12)


def add_counts(pairs) -> Counts:
    return sum((count_image(t, p, CLASSES) for t, p in pairs), Counts.zeros(len(CLASSES)))


@pytest.mark.parametrize("seed", range(25))
def test_pq_is_that_of_cityscapes_scripts_with_void_and_crowds(seed, tmp_path):
    rng = np.random.default_rng(seed)
    truths = [make_map(rng) for _ in range(4)]
    pairs = [
        (truth, disturb(rng, truth) if rng.random() < 0.8 else make_map(rng, shape=truth.shape)) for truth in truths
    ]
    # Every class for sure: cityscapesScripts divides by zero where things or stuff don't occur.
    stripes = np.repeat(IDS, 80).reshape(-1, 20)
    pairs.append((stripes, disturb(rng, stripes)))
    expected_counts, expected = count_by_cityscapes(pairs, tmp_path)
    counts = add_counts(pairs)
    for i, category_id in enumerate(CLASSES.category_ids):
        theirs = expected_counts[category_id]
        assert (counts.tp[i], counts.fp[i], counts.fn[i]) == (theirs.tp, theirs.fp, theirs.fn)
        assert counts.iou[i] == pytest.approx(theirs.iou, abs=1e-12)
    scores = summarise(counts, CLASSES, is_prediction=True)
    assert counts.tp.sum() > 0
    for ours, group, theirs in (
        ("pq", "All", "pq"),
        ("sq", "All", "sq"),
        ("rq", "All", "rq"),
        ("pq_th", "Things", "pq"),
        ("pq_st", "Stuff", "pq"),
    ):
        assert scores[ours] == pytest.approx(expected[group][theirs], abs=1e-12)


def score_by_torchmetrics(pairs) -> float:
    torch = pytest.importorskip("torch")
    from torchmetrics.detection import PanopticQuality

    metric = PanopticQuality(things={24, 26}, stuffs={7, 23}, allow_unknown_preds_category=True)
    for truth, predicted in pairs:
        both = [
            torch.from_numpy(np.stack([ids // INSTANCE_DIVISOR, ids % INSTANCE_DIVISOR], -1)[None])
            for ids in (predicted, truth)
        ]
        metric.update(*both)
    return float(metric.compute())


@pytest.mark.parametrize("seed", range(4))
def test_pq_is_that_of_torchmetrics_without_void_predictions_and_crowds(seed):
    rng = np.random.default_rng(seed)
    segments = IDS[(IDS != VOID) & (IDS != PERSON) & (IDS != CAR)]
    truths = [make_map(rng, segments) for _ in range(4)]
    pairs = [(truth, disturb(rng, truth, segments)) for truth in truths]
    truths[0][:3, :5] = VOID
    assert summarise(add_counts(pairs), CLASSES)["pq"] == pytest.approx(score_by_torchmetrics(pairs), abs=1e-6)


def test_torchmetrics_takes_predicted_void_out_of_the_union_and_the_misses():
    """COCO counts it as a miss: whoever predicts nothing gains nothing."""
    truth = np.full((10, 10), ROAD, np.int32)
    predicted = truth.copy()
    predicted[:4] = VOID
    assert score_by_torchmetrics([(truth, predicted)]) == pytest.approx(1.0)
    assert summarise(count_image(truth, predicted, CLASSES), CLASSES)["pq"] == pytest.approx(0.6)


def test_torchmetrics_knows_no_crowd():
    """A group without instances is a missed object there; COCO neither counts nor punishes it."""
    truth = np.full((10, 10), ROAD, np.int32)
    truth[:5] = PERSON
    predicted = np.full((10, 10), ROAD, np.int32)
    predicted[0] = PERSON + 1
    counts = count_image(truth, predicted, CLASSES)
    assert (counts.tp[2], counts.fp[2], counts.fn[2]) == (0, 0, 0)
    assert summarise(counts, CLASSES)["pq"] == pytest.approx(5 / 9)
    assert score_by_torchmetrics([(truth, predicted)]) == pytest.approx(5 / 9 / 2)


def test_things_of_a_prediction_without_instance_are_void_in_pq_and_labelled_in_miou():
    truth = np.full((4, 4), CAR + 1, np.int32)
    counts = count_image(truth, np.full((4, 4), CAR, np.int32), CLASSES)
    scores = summarise(counts, CLASSES)
    assert (counts.tp[3], counts.fp[3], counts.fn[3]) == (0, 0, 1)
    assert scores["pq_th"] == 0 and scores["miou"] == 1 and scores["coverage"] == 1


def test_segment_mostly_on_a_crowd_of_another_class_is_a_false_positive():
    truth = np.full((4, 4), PERSON, np.int32)
    counts = count_image(truth, np.full((4, 4), CAR + 1, np.int32), CLASSES)
    assert counts.fp.tolist() == [0, 0, 0, 1]
    assert counts.fn.sum() == 0


def test_ignored_pixels_count_as_missed_and_as_uncovered():
    truth = np.array([[ROAD] * 6 + [SKY] * 2 + [VOID] * 2], np.int32)
    labelled = np.array([[ROAD] * 3 + [VOID] * 3 + [ROAD] + [SKY] + [SKY] * 2], np.int32)
    scores = summarise(count_image(truth, labelled, CLASSES), CLASSES)
    assert scores["coverage"] == pytest.approx(5 / 8)
    assert scores["precision"] == pytest.approx(4 / 5)
    assert scores["miou"] == pytest.approx((3 / 7 + 1 / 2) / 2)
    assert scores["per_class"]["road"]["coverage"] == pytest.approx(3 / 6)
    assert scores["per_class"]["road"]["precision"] == pytest.approx(3 / 4)
    assert scores["per_class"]["car"]["iou"] is None


def test_background_of_box_masks_is_unlabelled():
    background = CLASSES.background_category_id * INSTANCE_DIVISOR
    truth = np.array([[ROAD] * 4 + [CAR + 1] * 4], np.int32)
    masks = np.array([[background] * 5 + [CAR + 1] * 3], np.int32)
    scores = summarise(count_image(truth, masks, CLASSES), CLASSES, has_stuff=False)
    assert scores["pq_th"] == pytest.approx(0.75) and scores["miou"] == pytest.approx(0.75)
    assert scores["coverage"] == pytest.approx(3 / 8) and scores["precision"] == 1
    assert [scores[k] for k in ("pq", "sq", "rq", "pq_st")] == [None] * 4
    assert set(scores["per_class"]["road"].values()) == {None}
    with pytest.raises(ValueError, match="ground truth holds the background"):
        count_image(masks, truth, CLASSES)


def test_semantic_labels_have_no_pq_of_things():
    truth = np.array([[ROAD] * 4 + [CAR + 1] * 4], np.int32)
    labels = np.array([[ROAD] * 4 + [CAR] * 4], np.int32)
    scores = summarise(count_image(truth, labels, CLASSES), CLASSES, has_instances=False)
    assert scores["pq_st"] == 1 and scores["miou"] == 1
    assert [scores[k] for k in ("pq", "sq", "rq", "pq_th")] == [None] * 4
    assert scores["per_class"]["car"]["pq"] is None and scores["per_class"]["car"]["iou"] == 1


def test_a_model_has_no_coverage_and_precision():
    truth = np.full((2, 2), ROAD, np.int32)
    scores = summarise(count_image(truth, truth, CLASSES), CLASSES, is_prediction=True)
    assert scores["coverage"] is None and scores["precision"] is None
    assert scores["per_class"]["road"]["coverage"] is None


@pytest.mark.parametrize("counts", [Counts.zeros(4), count_image(*[np.zeros((3, 3), np.int32)] * 2, CLASSES)])
def test_nothing_to_score_is_none_everywhere(counts):
    scores = summarise(counts, CLASSES)
    assert {v for k, v in scores.items() if k not in ("per_class", "images")} == {None}
    assert all(row[k] is None for row in scores["per_class"].values() for k in row if k not in ("tp", "fp", "fn"))


def test_predictions_on_void_alone_are_neither_right_nor_wrong():
    counts = count_image(np.zeros((3, 3), np.int32), np.full((3, 3), CAR + 1, np.int32), CLASSES)
    assert counts.tp.sum() + counts.fp.sum() + counts.fn.sum() + counts.confusion.sum() == 0


def test_wrongly_predicted_absent_class_enters_the_mean_as_zero():
    truth = np.full((4, 4), ROAD, np.int32)
    predicted = truth.copy()
    predicted[0] = SKY
    assert summarise(count_image(truth, predicted, CLASSES), CLASSES)["pq"] == pytest.approx(0.75 / 2)


def test_different_sizes_and_unknown_categories_are_errors():
    ok = np.full((4, 4), ROAD, np.int32)
    with pytest.raises(ValueError, match=r"\(4, 4\) and label \(4, 5\) differ"):
        count_image(ok, np.zeros((4, 5), np.int32), CLASSES)
    for wrong in (8000, 7, 99_000):
        with pytest.raises(ValueError, match=f"the label holds the panoptic ids \\[{wrong}\\]"):
            count_image(ok, np.full((4, 4), wrong, np.int32), CLASSES)
    for wrong in (-1, 1 << 24):
        with pytest.raises(ValueError, match="must lie in"):
            count_image(ok, np.full((4, 4), wrong, np.int32), CLASSES)


def test_overlaps_are_those_of_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    truth, labelled = make_map(rng), make_map(rng, blocks=(7, 3))
    pairs: dict[tuple[int, int], int] = {}
    for pair in zip(truth.ravel().tolist(), labelled.ravel().tolist(), strict=True):
        pairs[pair] = pairs.get(pair, 0) + 1
    truth_ids, labelled_ids, pixels = count_overlaps(truth, labelled)
    found = {
        (int(truth_ids[i]), int(labelled_ids[j])): int(pixels[i, j]) for i, j in zip(*np.nonzero(pixels), strict=True)
    }
    assert found == pairs


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_laws(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = make_map(rng), make_map(rng)
    counts = count_image(truth, predicted, CLASSES)
    scores = score_classes(counts)
    np.testing.assert_allclose(scores.pq, scores.sq * scores.rq, atol=1e-12)
    assert np.nanmax([scores.pq, scores.sq, scores.rq, scores.iou]) <= 1
    assert counts.confusion.sum() == (truth != VOID).sum()
    itself = summarise(count_image(truth, np.where(np.isin(truth, [PERSON, CAR]), VOID, truth), CLASSES), CLASSES)
    assert itself["pq"] is None or math.isclose(itself["pq"], 1)
    twice = counts + counts
    assert summarise(twice, CLASSES)["pq"] == pytest.approx(summarise(counts, CLASSES)["pq"], abs=1e-12)
