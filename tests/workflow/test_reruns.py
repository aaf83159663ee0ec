"""What runs again after a change: every expectation is a number of jobs, predicted before they run.

The chain runs on a dataset of files, with a stand-in for all stages but those of the data.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import stand_in

from pseudogt.files.images import write_png

CLASSES = [
    {"name": "sky", "id": 1, "isthing": False, "color": "#4682b4", "source_id": 0},
    {"name": "road", "id": 2, "isthing": False, "color": "#804080", "source_id": 1},
    {"name": "car", "id": 3, "isthing": True, "color": "#00008e", "source_id": 2},
]
# 10 training images in shards of 4: two full shards and one with room for two more; 4 validation images in one shard.
TRAIN, VAL, SHARD_SIZE, ROUNDS = 10, 4, 4, 2
SHARDS = 3
TARGETS = ("--", "all", "export", "proposals", "weak_labels")

RESULTS = {"evaluation": 1, "report": 1, "all": 1}
REFERENCE = {"reference": 1, "reference_predictions_shard": 1}
EXPORT = {"export_shard": SHARDS, "export_set": 1, "export": 1}
# All that follows from the trainings of segmenters, once the labels of round 0 are there.
FROM_SEGMENTER = {
    "segmenter_round": ROUNDS,
    "predictions_shard": ROUNDS * SHARDS,
    "predictions_val_shard": ROUNDS,
    "labels_shard": ROUNDS * SHARDS,
    # The reference, and model and labels of each round.
    "evaluation_subject": 1 + 2 * ROUNDS,
    **REFERENCE,
    **EXPORT,
    **RESULTS,
}
# As above, and the labels of round 0.
FROM_SCORES = {**FROM_SEGMENTER, "labels_shard": (ROUNDS + 1) * SHARDS, "evaluation_subject": 2 + 2 * ROUNDS}
FROM_CAMS = {**FROM_SCORES, "cams_shard": SHARDS, "evaluation_subject": 3 + 2 * ROUNDS}
FROM_CLASSIFIER = {**FROM_CAMS, "classifier": 1}
FROM_BOXES = {**FROM_CLASSIFIER, "evaluation_subject": 4 + 2 * ROUNDS}

# Stage word -> its rule, and whether it needs a training.
STAGE_RULES = {
    "index": "index_shard",
    "ground_truth": "ground_truth_shard",
    "weak_labels": "weak_labels",
    "classifier": "classifier",
    "cams": "cams_shard",
    "box_masks": "box_masks_shard",
    "proposals": "proposals_shard",
    "labels": "labels_shard",
    "segmenter": "segmenter_round",
    "predictions": "predictions_shard",
    "reference": "reference",
    "evaluation": "evaluation",
    "report": "report",
    "export": "export_set",
}
WITHOUT_SEGMENTER = {"index", "ground_truth", "weak_labels", "classifier", "cams", "box_masks", "proposals"}


def write_image(root: Path, image_id: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    semantic = np.zeros((20, 30), np.uint8)
    semantic[8:] = 1
    semantic[10:14, 2:9] = semantic[12:16, 12:20] = 2
    instances = np.where(semantic == 2, 2000 + (np.arange(30) > 10), semantic).astype(np.uint16)
    write_png(root / "images" / f"{image_id}.png", rng.integers(0, 255, (20, 30, 3), np.uint8))
    write_png(root / "semantic" / f"{image_id}.png", semantic)
    write_png(root / "instances" / f"{image_id}.png", instances)


def write_lists(root: Path, train: list[str], val: list[str]) -> None:
    (root / "train.txt").write_text("".join(f"{i}\n" for i in train))
    (root / "val.txt").write_text("".join(f"{i}\n" for i in val))


class DatasetRun:
    """A finished run on a dataset of files, and the folder it is in."""

    def __init__(self, workspace, place: Path) -> None:
        self.workspace, self.place = workspace, place
        self.data = place / "data"
        self.results = workspace.folder / "results" / "made"
        self.train = [f"image {i:02d}" for i in range(TRAIN)]
        self.val = [f"other {i:02d}" for i in range(VAL)]

    def arguments(self, *more: str, **config: str) -> tuple[str, ...]:
        settings = {
            "name": "made",
            "data_root": "../data",
            "shard_size": str(SHARD_SIZE),
            "dataset": json.dumps({"format": "folder", "classes": CLASSES, "void_values": [9]}),
            "rounds": json.dumps({"max": ROUNDS}),
        }
        return ("--config", *(f"{k}={v}" for k, v in (settings | config).items()), *more)

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": f"{self.place / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *more: str, **config: str) -> str:
        done = self.workspace.snakemake(*self.arguments(*more, **config), env=self.env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def plan(self, *more: str, **config: str):
        return self.workspace.planned_jobs(*self.arguments(*more, **config), env=self.env)


@pytest.fixture(scope="module")
def made(make_workspace, tmp_path_factory):
    """Data and results, to be copied."""
    place = tmp_path_factory.mktemp("made")
    stand_in.install(place / "bin")
    run = DatasetRun(make_workspace(place / "run"), place)
    for number, image_id in enumerate([*run.train, *run.val]):
        write_image(run.data, image_id, number)
    write_lists(run.data, run.train, run.val)
    run.run(*TARGETS)
    return run


@pytest.fixture
def dataset_run(made, tmp_path):
    """A copy of it, at another place, in which anything may be changed."""
    shutil.copytree(made.place, tmp_path / "copy", symlinks=True)
    return DatasetRun(type(made.workspace)(tmp_path / "copy" / "run"), tmp_path / "copy")


def test_finished_run_has_nothing_to_do(made):
    assert not made.plan(*TARGETS)


@pytest.mark.parametrize("word", STAGE_RULES)
def test_stage_word_is_a_target(make_workspace, made, word):
    jobs = DatasetRun(make_workspace(made.place / f"fresh {word}"), made.place).plan("--", word)
    assert jobs[STAGE_RULES[word]] > 0
    assert ("segmenter_round" in jobs) == (word not in WITHOUT_SEGMENTER)


def test_stage_words_of_a_finished_run_have_nothing_to_do(made):
    assert not made.plan("--", *STAGE_RULES)


def test_forced_stage_takes_what_follows_along(made):
    assert made.plan("-R", "classifier", *TARGETS) == FROM_CLASSIFIER
    assert made.plan("-R", "evaluation_subject", *TARGETS) == {"evaluation_subject": 4 + 2 * ROUNDS, **RESULTS}


def test_forced_shard_is_one_job_and_what_learns_from_it(made):
    path = f"results/made/box_masks/train-{SHARDS - 1:04d}"
    jobs = made.plan("-f", "--", path)
    assert jobs == {"box_masks_shard": 1}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"evaluation": "{max_detections: 500}"}, {"evaluation_subject": 4 + 2 * ROUNDS, **RESULTS}),
        ({"report": "{examples: 3}"}, {"report": 1, "all": 1}),
        ({"cams": "{region_scale: 20.0}"}, FROM_CAMS),
        ({"segmenter": "{seed: 1}"}, FROM_SEGMENTER),
        ({"classifier": "{seed: 1}"}, FROM_CLASSIFIER),
        ({"threads": "1", "gpus": "0"}, {}),
    ],
    ids=["evaluation", "report", "cams", "seed", "seed of the classifier", "threads"],
)
def test_changed_setting_reruns_its_stage_and_what_follows(made, config, expected):
    assert made.plan(*TARGETS, **config) == expected


def test_more_rounds_add_rounds_only(made):
    assert made.plan(*TARGETS, rounds=json.dumps({"max": ROUNDS + 1})) == {
        "segmenter_round": 1,
        "predictions_shard": SHARDS,
        "predictions_val_shard": 1,
        "labels_shard": SHARDS,
        "evaluation_subject": 3,
        **REFERENCE,
        **EXPORT,
        **RESULTS,
    }


def add_images(run: DatasetRun, count: int) -> None:
    added = [f"added {i}" for i in range(count)]
    for number, image_id in enumerate(added):
        write_image(run.data, image_id, 100 + number)
    write_lists(run.data, [*run.train, *added], run.val)


def test_added_images_touch_the_shard_they_fill(dataset_run):
    """Two images complete the last shard: what is made shard by shard is made again for that one."""
    add_images(dataset_run, 2)
    shardwise = dict.fromkeys(
        ("index_shard", "ground_truth_shard", "weak_labels_shard", "box_masks_shard", "proposals_shard"), 1
    )
    assert dataset_run.plan(*TARGETS) == {**FROM_BOXES, **shardwise, "weak_labels": 1, "proposals": 1}
    dataset_run.run(*TARGETS)
    assert not dataset_run.plan(*TARGETS)


def test_added_images_open_a_new_shard(dataset_run):
    """Of three images, two fill the last shard and one opens a new one."""
    add_images(dataset_run, 3)
    shardwise = dict.fromkeys(
        ("index_shard", "ground_truth_shard", "weak_labels_shard", "box_masks_shard", "proposals_shard"), 2
    )
    new = {
        "cams_shard": SHARDS + 1,
        "labels_shard": (ROUNDS + 1) * (SHARDS + 1),
        "predictions_shard": ROUNDS * (SHARDS + 1),
        "export_shard": SHARDS + 1,
    }
    assert dataset_run.plan(*TARGETS) == {**FROM_BOXES, **shardwise, **new, "weak_labels": 1, "proposals": 1}


def test_removed_images_touch_their_shard(dataset_run):
    write_lists(dataset_run.data, dataset_run.train[1:], dataset_run.val)
    shardwise = dict.fromkeys(
        ("index_shard", "ground_truth_shard", "weak_labels_shard", "box_masks_shard", "proposals_shard"), 1
    )
    assert dataset_run.plan(*TARGETS) == {**FROM_BOXES, **shardwise, "weak_labels": 1, "proposals": 1}
    dataset_run.run("--", "index")
    shards = json.loads((dataset_run.results / "index.json").read_text())["shards"]
    assert [len(members) for members in shards.values()] == [3, 4, 2, VAL]


def test_removed_shard_disappears(dataset_run):
    """The images of the second shard go; the others keep their names and are not made again."""
    kept = dataset_run.train[:SHARD_SIZE] + dataset_run.train[2 * SHARD_SIZE :]
    write_lists(dataset_run.data, kept, dataset_run.val)
    jobs = dataset_run.plan(*TARGETS)
    assert not {"index_shard", "ground_truth_shard", "weak_labels_shard", "box_masks_shard"} & set(jobs)
    assert jobs["cams_shard"] == SHARDS - 1
    dataset_run.run(*TARGETS)
    assert not (dataset_run.results / "index" / "train-0001.json").exists()


def edit_box(path: Path, image_id: str) -> None:
    document = json.loads(path.read_text())
    annotation = next(a for a in document["annotations"] if a["image_id"] == image_id)
    annotation["bbox"][2] -= 1
    path.write_text(json.dumps(document))


def test_one_edited_box_touches_one_shard(dataset_run):
    edit_box(dataset_run.results / "weak_labels" / "train-0001.json", dataset_run.train[SHARD_SIZE])
    assert dataset_run.plan(*TARGETS) == {**FROM_BOXES, "box_masks_shard": 1, "weak_labels": 1}


def test_one_edited_box_of_a_provided_file_touches_one_shard(dataset_run):
    run = dataset_run
    shutil.copy(run.results / "weak_labels.json", run.place / "given.json")
    given = {"provided": json.dumps({"weak_labels": "../given.json"})}
    run.run("--", "box_masks", **given)
    assert not run.plan("--", "box_masks", **given)
    edit_box(run.place / "given.json", run.train[SHARD_SIZE])
    assert run.plan("--", "box_masks", **given) == {"weak_labels_shard": 1, "box_masks_shard": 1, "box_masks": 1}


def test_images_of_another_folder_are_read_anew(made):
    """Also if they have the same names: the folder may be a corrected copy."""
    assert made.plan("--", "index", data_root="../data/../data") == {"index_shard": SHARDS + 1, "index": 1}


def test_moved_results_are_still_finished(dataset_run):
    """The fixture has moved the whole folder."""
    assert not dataset_run.plan(*TARGETS)


def test_replaced_weights_rerun_the_proposals(dataset_run):
    """A digest of the code does not see them."""
    weights = dataset_run.workspace.folder / "models" / "pretrained" / "ranker.npz"
    weights.write_bytes(weights.read_bytes() + b"0")
    assert dataset_run.plan("--", "proposals") == {"proposals_shard": SHARDS, "proposals": 1}


def test_cleaned_rounds_keep_labels_and_models(dataset_run):
    run = dataset_run
    kept = {
        p: p.read_bytes() for part in ("labels", "segmenter") for p in (run.results / part).rglob("*") if p.is_file()
    }
    run.run("--", "clean_rounds")
    assert not (run.results / "predictions").exists() and not (run.results / "scratch").exists()
    assert all(path.read_bytes() == data for path, data in kept.items())
    assert not {"segmenter_round", "labels_shard"} & set(run.plan("--", "labels", "segmenter", "report"))


def test_scores_that_are_not_kept_are_removed_and_missed_by_nobody(make_workspace, made, tmp_path):
    shutil.copytree(made.place, tmp_path / "copy", symlinks=True)
    run = DatasetRun(make_workspace(tmp_path / "copy" / "lean"), tmp_path / "copy")
    few = {"keep_scores": "false", "shard_size": "16"}
    run.run("--", "all", **few)
    assert not list(run.results.glob("cams/*.h5")) and not list(run.results.glob("predictions/*/train-*"))
    assert list(run.results.glob("predictions/*/val-*"))
    assert not run.plan("--", "all", **few)


def test_commands_stay_short_whatever_the_number_of_shards(make_workspace, tmp_path):
    """Linux takes 128 kB in one word, which a command is for the shell."""
    run = DatasetRun(make_workspace(tmp_path / "run"), tmp_path)
    write_image(run.data, "0", 0)
    # Shards enough for the paths of one stage to be longer than that.
    write_lists(run.data, [str(i) for i in range(250)], ["v"])
    done = run.workspace.snakemake("-n", "-p", *run.arguments(*TARGETS, shard_size="1"), env={})
    commands = [line for line in (done.stdout + done.stderr).splitlines() if "-m pseudogt.stages." in line]
    assert any("stages.report" in command for command in commands)
    assert max(map(len, commands)) < 8000
