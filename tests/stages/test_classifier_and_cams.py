"""Stages ``classifier`` and ``cams``: learn on tiny images, resume, independence of shards, errors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from models.classifier import training
from models.classifier.model import ClassifierModel
from pseudogt.classes import IGNORE_LABEL, ClassTable
from pseudogt.files.images import write_png
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.files.io import read_json
from pseudogt.files.scores import ScoreFile
from pseudogt.stages import cams, classifier
from pseudogt.weak_labels.crops import crop_grid
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels
from pseudogt.weak_labels.marks import UNSETTLED, Marks

CLASSES = ClassTable(("red", "green", "ball"), (1, 2, 3), (False, False, True), ((200, 0, 0), (0, 200, 0), (0, 0, 200)))
SIZE = (64, 96)
SMALL = {
    "steps": 60,
    "batch_size": 4,
    "decoder_channels": 16,
    "crop_height_px": 64,
    "crop_width_px": 96,
    "torch_threads": 1,
    "precision": "fp32",
    "device": "cpu",
}
CAMS = {"torch_threads": 1, "device": "cpu"}


def draw_scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image, its train ids, and the box of its ball: red over green, with a blue square at the border."""
    border = int(rng.integers(24, 40))
    label = np.zeros(SIZE, np.uint8)
    label[border:] = 1
    x, y = int(rng.integers(8, 70)), border - 6
    label[y : y + 14, x : x + 14] = 2
    colours = np.array([[190, 60, 60], [60, 190, 60], [60, 60, 190]])
    image = np.clip(colours[label] + rng.normal(0, 15, (*SIZE, 3)), 0, 255).astype(np.uint8)
    return image, label, np.array([x, y, x + 14, y + 14], np.int32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images in shards ``all``, ``first`` and ``second`` with weak labels; their labels as ``.npy``."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    records, weak = [], []
    for i in range(6):
        image, label, box = draw_scene(rng)
        write_png(folder / f"{i}.png", image)
        np.save(folder / f"{i}.npy", label)
        crops = crop_grid(*SIZE)
        records.append(ImageRecord(str(i), str(folder / f"{i}.png"), *SIZE, "0"))
        weak.append(
            make_weak_labels(
                SIZE,
                CLASSES.encode_tags(np.unique(label)),
                boxes=[box],
                box_classes=2,
                crops=crops,
                crop_tags=[CLASSES.encode_tags(np.unique(label[b:d, a:c])) for a, b, c, d in crops],
                image_id=str(i),
            )
        )
    for name, chosen in (("all", slice(None)), ("first", slice(2)), ("second", slice(2, None))):
        write_shard(folder / f"{name}.json", records[chosen], CLASSES)
        write_weak_labels(folder / f"{name}_weak.json", weak[chosen], CLASSES)
    return folder


def train(data: Path, out: Path, *, val: bool = False, **changes: object) -> None:
    arguments = ["--shards", str(data / "all.json"), "--weak-labels", str(data / "all_weak.json")]
    if val:
        arguments += ["--val-shards", str(data / "first.json"), "--val-weak-labels", str(data / "first_weak.json")]
    arguments += ["--out", str(out), "--scratch", str(out / "scratch"), "--settings", json.dumps({**SMALL, **changes})]
    classifier.main(arguments)


def make_cams(data: Path, shard: str, model: Path, out: Path, **changes: object) -> ScoreFile:
    arguments = ["--shard", str(data / f"{shard}.json"), "--weak-labels", str(data / f"{shard}_weak.json")]
    arguments += ["--model", str(model), "--out", str(out), "--settings", json.dumps({**CAMS, **changes})]
    cams.main(arguments)
    return ScoreFile(out)


def measure_accuracy(data: Path, scores: ScoreFile) -> float:
    pairs = [(scores.read_label(i)[0], np.load(data / f"{i}.npy")) for i in scores.image_ids]
    return float(np.mean([label == truth for label, truth in pairs]))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classifier")
    train(data, out, val=True)
    return out


def test_tags_alone_teach_where_the_classes_are(data: Path, trained: Path, tmp_path: Path) -> None:
    record = read_json(trained / "record.json")
    assert record["steps"] == 60 and record["images_per_second"] > 0
    assert record["loss_curve"][-1]["loss"] < record["loss_curve"][0]["loss"]
    assert record["val"]["map"] > 0.8 and set(record["val"]["ap"]) == set(CLASSES.names)
    assert record["val"]["crops"] == 30
    assert not list((trained / "scratch").glob("*"))
    assert measure_accuracy(data, make_cams(data, "all", trained / "model.pt", tmp_path / "c.h5")) > 0.9


def test_scores_are_those_of_the_tagged_classes(data: Path, trained: Path, tmp_path: Path) -> None:
    file = make_cams(data, "first", trained / "model.pt", tmp_path / "c.h5", min_confidence=0.6)
    scores, train_ids = file.read("0")
    label, confidence = file.read_label("0")
    assert train_ids.tolist() == [0, 1, 2] and scores.shape == (3, 16, 24)
    assert scores.min() >= 0 and scores.max() <= 1
    assert label.shape == confidence.shape == SIZE
    assert set(np.unique(label)) <= {0, 1, 2, IGNORE_LABEL}
    assert (label[confidence < 0.6 * 255 - 1] == IGNORE_LABEL).all()


@pytest.mark.parametrize("changes", [{}, {"view": "crops"}, {"method": "gradcam"}, {"scales": [1.0, 1.5]}])
def test_shards_change_no_byte(data: Path, trained: Path, tmp_path: Path, changes: dict) -> None:
    model = trained / "model.pt"
    whole = make_cams(data, "all", model, tmp_path / "all.h5", **changes)
    for shard in ("first", "second"):
        part = make_cams(data, shard, model, tmp_path / f"{shard}.h5", **changes)
        for image_id in part.image_ids:
            for ours, theirs in zip(
                (*part.read(image_id), *part.read_label(image_id)),
                (*whole.read(image_id), *whole.read_label(image_id)),
                strict=True,
            ):
                np.testing.assert_array_equal(ours, theirs)


def test_tagged_classes_without_boxes_keep_their_share(data: Path, trained: Path, tmp_path: Path) -> None:
    weak, classes = read_weak_labels([data / "all_weak.json"])
    (tmp_path / "all.json").symlink_to(data / "all.json")
    share_of_balls = {}
    for boxed in (True, False):
        images = [image if boxed else image.without_boxes() for image in weak.values()]
        write_weak_labels(tmp_path / "all_weak.json", images, classes)
        for min_share in (0.0, 0.4):
            scores = make_cams(tmp_path, "all", trained / "model.pt", tmp_path / "c.h5", min_share=min_share)
            share_of_balls[boxed, min_share] = np.mean(scores.read_label("0")[0] == 2)
    assert share_of_balls[True, 0.4] == share_of_balls[True, 0] < 0.06
    assert share_of_balls[False, 0] < 0.06 < share_of_balls[False, 0.4]


def test_crops_as_samples_train_too(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, samples="crop", crop_height_px=32, crop_width_px=32)
    assert measure_accuracy(data, make_cams(data, "all", tmp_path / "model.pt", tmp_path / "c.h5", view="crops")) > 0.8


def test_a_resumed_training_equals_an_uninterrupted_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"steps": 6, "checkpoint_every_s": 0.0}
    train(data, tmp_path / "whole", **changes)
    load = training.make_tag_batch
    calls = 0

    def fail_later(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise KeyboardInterrupt
        return load(*arguments, **options)

    monkeypatch.setattr(training, "make_tag_batch", fail_later)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "resumed", **changes)
    assert list((tmp_path / "resumed" / "scratch").glob("*.pt"))
    monkeypatch.setattr(training, "make_tag_batch", load)
    train(data, tmp_path / "resumed", **changes)
    whole, resumed = (ClassifierModel.load(tmp_path / n / "model.pt") for n in ("whole", "resumed"))
    for name, tensor in whole.network.state_dict().items():
        assert tensor.equal(resumed.network.state_dict()[name]), name


def test_a_point_of_each_class_teaches_what_tags_of_all_images_cannot(data: Path, tmp_path: Path) -> None:
    """Every class is in every image, and nobody drew a box: only the points say which is which."""
    weak, classes = read_weak_labels([data / "all_weak.json"])
    pointed = []
    for image in weak.values():
        truth = np.load(data / f"{image.image_id}.npy")
        places = [np.argwhere(truth == train_id).mean(0) + 0.5 for train_id in range(3)]
        marks = Marks.collect(make_point(i, UNSETTLED, x, y, 2) for i, (y, x) in enumerate(places))
        no_crops = {"crops_xyxy": image.crops_xyxy[:0], "crop_tags": image.crop_tags[:0]}
        pointed.append(replace(image.without_boxes(), marks=marks, **no_crops))
    write_weak_labels(tmp_path / "all_weak.json", pointed, classes)
    for name in ("all.json", *(f"{i}.npy" for i in range(6))):
        (tmp_path / name).symlink_to(data / name)
    train(tmp_path, tmp_path, steps=40)
    scores = make_cams(tmp_path, "all", tmp_path / "model.pt", tmp_path / "c.h5", point_spread=0.0)
    assert measure_accuracy(tmp_path, scores) > 0.9
    # Labelled pixels have their class for certain.
    label, confidence = scores.read_label("0")
    assert min(ClassifierModel.load(tmp_path / "model.pt").widths) > 0
    level = make_cams(tmp_path, "all", tmp_path / "model.pt", tmp_path / "level.h5", point_spread=0.0, width_exponent=0)
    assert not np.array_equal(level.read_label("0")[1], confidence)
    x, y = np.floor(pointed[0].marks.values[2]).astype(int)
    assert label[y, x] == 2 and confidence[y, x] == 255


def test_weak_labels_that_say_nothing_are_an_error(data: Path, tmp_path: Path) -> None:
    """The loss would have no term: a training that ends without an error would have learned nothing."""
    weak, classes = read_weak_labels([data / "all_weak.json"])
    nothing = [
        replace(
            w.without_boxes(), tags=w.tags & False, crop_tags=w.crop_tags & False, unknown_ids=tuple(range(len(w.tags)))
        )
        for w in weak.values()
    ]
    write_weak_labels(tmp_path / "weak.json", nothing, classes)
    arguments = ["--shards", str(data / "all.json"), "--weak-labels", str(tmp_path / "weak.json"), "--settings", "{}"]
    with pytest.raises(ValueError, match="none of the 6 training images has a box or a tag"):
        classifier.main([*arguments, "--out", str(tmp_path / "out"), "--scratch", str(tmp_path / "scratch")])


def test_bad_input_is_named(data: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"zoom_min 2\.0 is larger than zoom_max 1\.5"):
        train(data, tmp_path, zoom_min=2.0, zoom_max=1.5)
    with pytest.raises(ValueError, match="stepps"):
        train(data, tmp_path, stepps=3)
    with pytest.raises(ValueError, match=r"'backbone\.nothing' is not a module"):
        make_cams(data, "first", trained / "model.pt", tmp_path / "c.h5", method="gradcam", layer="backbone.nothing")
    swapped = [str(data / "second.json"), "--weak-labels", str(data / "first_weak.json")]
    with pytest.raises(ValueError, match=r"first_weak\.json: no weak labels of image '2'"):
        cams.main(["--shard", *swapped, "--model", str(trained / "model.pt"), "--out", "x.h5", "--settings", "{}"])
    assert not (tmp_path / "c.h5").exists()
