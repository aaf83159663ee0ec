"""Scores of detections from files: cases by hand, a slow oracle in plain Python, and pycocotools on the same files."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from test_detection import CAR, CLASSES, PERSON, box, detections, objects

from pseudogt.files.detections import write_detections, write_true_objects
from pseudogt.files.io import read_json
from pseudogt.metrics.detection import (
    ScoredBoxes,
    TrueObjects,
    compute_corloc,
    compute_voc_average_precision,
    describe_found,
    describe_objects,
)
from pseudogt.metrics.detection_scores import keep_best, score_detections
from pseudogt.stages.detection_scores import main

SIZE = (40, 90)


def draw(boxes):
    masks = np.zeros((len(boxes), *SIZE), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, np.round(boxes).astype(int), strict=True):
        mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return masks


def make_images(seed, *, count=7, masks=False):
    """Objects that overlap, difficult ones among them, and detections around them in whole pixels."""
    rng = np.random.default_rng(seed)
    truth, found = {}, {}
    for number in range(count):
        corners = rng.integers((0, 0), (40, 15), (rng.integers(0, 5), 2))
        boxes = np.hstack([corners, corners + rng.integers(8, 20, corners.shape)]).astype(float)
        ids = rng.choice([PERSON, CAR], len(boxes))
        truth[f"i{number}"] = TrueObjects(
            boxes, ids, rng.random(len(boxes)) < 0.3, draw(boxes) if masks else None
        )  # fmt: skip
        moved = np.repeat(boxes, 3, axis=0) + rng.integers(-4, 5, (3 * len(boxes), 4))
        scores = rng.permutation(3 * len(boxes)) / 100 + number / 1000
        found[f"i{number}"] = ScoredBoxes(moved, np.repeat(ids, 3), scores, draw(moved) if masks else None)
    return truth, found


def write_files(folder, truth, found):
    """Two shards of true objects and of detections; returns the options that name them."""
    names = list(truth)
    files = {"objects": [], "detections": []}
    for number, shard in enumerate((names[:3], names[3:])):
        path = folder / f"objects-{number}.json"
        sizes = dict.fromkeys(shard, SIZE)
        write_true_objects(path, sizes, {i: describe_objects(truth[i], CLASSES) for i in shard}, CLASSES)
        files["objects"].append(path)
        files["detections"].append(folder / f"detections-{number}.json")
        with write_detections(files["detections"][-1]) as writer:
            for image_id in shard:
                writer.add(image_id, describe_found(found[image_id], CLASSES))
    return [str(word) for kind, paths in files.items() for word in (f"--{kind}", *paths)]


def score(command, folder, truth, found):
    main([command, *write_files(folder, truth, found), "--out", str(folder / "out.json")])
    return read_json(folder / "out.json")


def overlap_slowly(a, b):
    """IoU of two boxes of VOC, whose corners both belong to them: half-open (0, 5) is inclusive (0, 4)."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = ([x0, y0, x1 - 1, y1 - 1] for x0, y0, x1, y1 in (a, b))
    width, height = min(ax1, bx1) - max(ax0, bx0) + 1, min(ay1, by1) - max(ay0, by0) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = (ax1 - ax0 + 1) * (ay1 - ay0 + 1) + (bx1 - bx0 + 1) * (by1 - by0 + 1)
    return width * height / (areas - width * height)


def compute_voc_slowly(truth, found, train_id):
    """The definition of VOC 2007, one detection and one recall after the other."""
    queue = []
    for image_id, f in found.items():
        for detected, c, s in zip(f.boxes_xyxy, f.train_ids, f.scores, strict=True):
            if c == train_id:
                queue.append((s, image_id, detected))
    total = sum(int((~t.difficult[t.train_ids == train_id]).sum()) for t in truth.values())
    used, hits, misses, curve = set(), 0, 0, []
    for _, image_id, detected in sorted(queue, key=lambda entry: -entry[0]):
        t = truth[image_id]
        best, chosen = 0.0, None
        for number, (other, c) in enumerate(zip(t.boxes_xyxy, t.train_ids, strict=True)):
            if c == train_id and overlap_slowly(detected, other) > best:
                best, chosen = overlap_slowly(detected, other), number
        if best > 0.5 and t.difficult[chosen]:
            continue
        if best > 0.5 and (image_id, chosen) not in used:
            used.add((image_id, chosen))
            hits += 1
        else:
            misses += 1
        curve.append((hits, hits / (hits + misses)))
    reached = [max([p for h, p in curve if h * 10 >= step * total], default=0.0) for step in range(11)]
    return sum(reached) / 11


def compute_corloc_slowly(truth, found, train_id):
    right, images = 0, 0
    for image_id, t in truth.items():
        if not any(c == train_id and not hard for c, hard in zip(t.train_ids, t.difficult, strict=True)):
            continue
        images += 1
        f = found[image_id]
        of_class = [(s, b) for b, c, s in zip(f.boxes_xyxy, f.train_ids, f.scores, strict=True) if c == train_id]
        if of_class:
            best = max(of_class, key=lambda entry: entry[0])[1]
            of_objects = [b for b, c in zip(t.boxes_xyxy, t.train_ids, strict=True) if c == train_id]
            right += any(overlap_slowly(best, other) > 0.5 for other in of_objects)
    return right / images


@pytest.mark.parametrize("seed", range(8))
def test_voc_ap_and_corloc_are_those_of_the_slow_oracle(seed):
    truth, found = make_images(seed)
    lists = list(truth.values()), list(found.values())
    ap, corloc = compute_voc_average_precision(*lists, 3), compute_corloc(*lists, 3)
    for train_id in (PERSON, CAR):
        assert ap[train_id] == pytest.approx(compute_voc_slowly(truth, found, train_id), abs=1e-12)
        assert corloc[train_id] == pytest.approx(compute_corloc_slowly(truth, found, train_id), abs=1e-12)
    assert 0 < np.nanmean(ap) < 1


BY_HAND = (
    # Cars by score: true (.9), difficult (.8, does not count), found again (.7, false), nothing there (.6, false),
    # true (.5): precision 1 at recall 1/2, 2/4 at recall 1. The one person is missed.
    {"a": objects(box(0), box(20), difficult=(1,)), "b": objects(box(0)), "c": objects(box(40), train_id=PERSON)},
    {
        "a": detections((0.9, box(1)), (0.8, box(20)), (0.7, box(0)), (0.6, box(50))),
        "b": detections((0.5, box(2))),
        "c": detections((0.4, box(70)), train_id=PERSON),
    },
)


def test_voc_ap_by_hand(tmp_path):
    found = score("ap", tmp_path, *BY_HAND)
    of_cars = (6 * 1 + 5 * 2 / 4) / 11
    assert found["per_class"]["car"]["voc_ap"] == pytest.approx(of_cars)
    assert found["per_class"]["person"]["voc_ap"] == 0
    assert found["voc_ap"] == pytest.approx(of_cars / 2)
    assert found["mask_ap"] is found["per_class"]["car"]["mask_ap50"] is None, "the objects have no masks"
    assert (found["images"], found["objects"]) == (3, 3)
    # At IoU 0.75 the box moved by 1 pixel of 10 (IoU 9/11) is a hit, the one moved by 2 (8/12) is a miss: precision 1
    # up to recall 1/2, which are 51 of COCO's 101 recalls.
    assert found["per_class"]["car"]["box_ap75"] == pytest.approx(51 / 101)


def test_corloc_by_hand(tmp_path):
    found = score("corloc", tmp_path, *BY_HAND)
    assert found["per_class"] == {"person": {"corloc": 0.0}, "car": {"corloc": 1.0}}
    assert found["corloc"] == 0.5
    assert set(found) == {"measure", "corloc", "per_class", "images", "objects", "categories"}


@pytest.mark.parametrize("overlap", ["bbox", "segm"])
def test_ap_is_that_of_pycocotools_on_the_same_files(tmp_path, overlap):
    """Files are read by COCO's own classes; only ids of images must be numbers there."""
    truth, found = make_images(3, masks=True)
    ours = score("ap", tmp_path, truth, found)
    documents = [read_json(path) for path in sorted(tmp_path.glob("objects-*.json"))]
    results = [each for path in sorted(tmp_path.glob("detections-*.json")) for each in json.loads(path.read_text())]
    numbers = {image_id: number for number, image_id in enumerate(truth, start=1)}
    coco = COCO()
    coco.dataset = {
        "images": [image | {"id": numbers[image["id"]]} for d in documents for image in d["images"]],
        "categories": documents[0]["categories"],
        "annotations": [
            each | {"id": number, "image_id": numbers[each["image_id"]]}
            for number, each in enumerate((a for d in documents for a in d["annotations"]), start=1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        answers = [each | {"image_id": numbers[each["image_id"]]} for each in results]
        evaluation = COCOeval(coco, coco.loadRes(answers), overlap)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    name = "box" if overlap == "bbox" else "mask"
    assert [ours[f"{name}_{key}"] for key in ("ap", "ap50", "ap75")] == pytest.approx(evaluation.stats[:3].tolist())
    assert 0 < ours[f"{name}_ap75"] < ours[f"{name}_ap50"] < 1


def test_best_detection_of_each_class():
    found = [
        {"category_id": c, "score": s, "n": n} for n, (c, s) in enumerate([(1, 0.2), (2, 0.9), (1, 0.7), (1, 0.7)])
    ]
    assert [each["n"] for each in keep_best(found)] == [2, 1]


def test_what_does_not_fit_is_named(tmp_path):
    truth, found = BY_HAND
    with pytest.raises(ValueError, match="image 'z' has detections but no entry among the true objects"):
        score_detections({}, {}, {"z": []}, CLASSES, max_detections=100)
    with pytest.raises(ValueError, match="image 'a': a detection of category 7, which is not a thing"):
        score_detections({"a": SIZE}, {"a": []}, {"a": [{"category_id": 7}]}, CLASSES, max_detections=100)
    files = write_files(tmp_path, truth, found)
    (tmp_path / "detections-0.json").write_text('[{"image_id": "a", "category_id": 26, "bbox": [0, 0, 1, 1]}]')
    with pytest.raises(ValueError, match=r"detections-0\.json: detection 0 has no score"):
        main(["ap", *files, "--out", str(tmp_path / "out.json")])
    (tmp_path / "detections-0.json").write_text("{}")
    with pytest.raises(ValueError, match="expected a list of detections"):
        main(["corloc", *files, "--out", str(tmp_path / "out.json")])


def test_without_images_nothing_is_scored(tmp_path):
    for command, key in (("ap", "voc_ap"), ("corloc", "corloc")):
        main([command, "--objects", "--detections", "--out", str(tmp_path / "out.json")])
        assert read_json(tmp_path / "out.json")[key] is None
