"""A training on given labels and its score, for the benchmarks of mixed supervision and of the review queue."""

from __future__ import annotations

import json
import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pseudogt.config.run import RunConfig
from pseudogt.files.index import write_shard
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder, read_label_folders, write_labels
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels
from pseudogt.workflow.stage import Shard

SCORES = ("pq", "pq_th", "pq_st", "miou", "ap")


class Run:
    """The files of a run that the benchmarks read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "index.json").is_file():
            raise SystemExit(f"{folder}: no index.json; name results/<name> of a run")

    def list_shards(self, split: str) -> list[str]:
        """Names of the shards of a split."""
        return [shard for shard in read_json(self.folder / "index.json")["shards"] if shard.startswith(f"{split}-")]

    def list_files(self, stage: str, split: str, suffix: str = "") -> list[Path]:
        """The stage's file or folder of each shard."""
        return [self.folder / stage / f"{shard}{suffix}" for shard in self.list_shards(split)]


def write_training_set(
    run: Run, labels: Mapping[str, LabelFolder], image_ids: Sequence[str], folder: Path, full: Collection[str] = ()
) -> dict[str, Path]:
    """Write index, weak labels and labels of the given images as one shard; return the options of the segmenter.

    The labels of ``full`` are full ones.
    """
    shard = Shard.open(run.list_files("index", "train", ".json")).take(image_ids)
    classes = shard.classes
    weak_labels, _ = read_weak_labels(run.list_files("weak_labels", "train", ".json"))
    chosen = set(image_ids)
    write_shard(folder / "shard.json", shard.records, classes)
    write_weak_labels(folder / "weak.json", [weak_labels[i] for i in weak_labels if i in chosen], classes)
    with write_labels(folder / "labels", classes) as writer:
        for image_id in shard.image_ids:
            writer.copy(labels[image_id], image_id)
    with write_labels(folder / "full_labels", classes) as writer:
        for image_id in full:
            writer.copy(labels[image_id], image_id)
    return {
        "--shards": folder / "shard.json",
        "--weak-labels": folder / "weak.json",
        "--labels": folder / "labels",
        "--full-labels": folder / "full_labels",
    }


def train_and_score(
    run: Run,
    files: Mapping[str, Path],
    settings: Mapping[str, object],
    folder: Path,
    config: RunConfig | None = None,
) -> dict[str, float | None]:
    """Train the segmenter on one shard from scratch, predict val, and score it.

    Parameters
    ----------
    run : Run
        Its val split is scored.
    files : mapping
        As :func:`write_training_set` returns it.
    settings : mapping
        The config section ``segmenter``.
    folder : Path
        For models and predictions.
    config : RunConfig, optional
        Its sections ``predictions`` and ``evaluation`` are used; their defaults without it.
    """
    from pseudogt.stages import evaluation, predictions, segmenter  # torch, which other benchmarks can do without

    predicting = config.predictions.model_dump_json() if config else "{}"
    scoring = config.evaluation.model_dump_json() if config else "{}"
    options = [text for option, path in files.items() for text in (option, str(path))]
    paths = ["--out", str(folder / "0"), "--scratch", str(folder / "scratch"), "--round", "0"]
    segmenter.main([*options, *paths, "--settings", json.dumps(settings)])
    predicted = []
    for shard in run.list_files("index", "val", ".json"):
        predicted.append(folder / "predictions" / shard.stem)
        paths = ["--shard", str(shard), "--model", str(folder / "0" / "model.pt"), "--out", str(predicted[-1])]
        predictions.main([*paths, "--settings", predicting])
    truth = [str(path) for path in run.list_files("ground_truth", "val")]
    scored = ["--labels", *map(str, predicted), "--scored", "--out", str(folder / "scores.json")]
    scored += ["--settings", scoring]
    evaluation.main(["score", "--subject", "model", "--ground-truth", *truth, *scored])
    scores = read_json(folder / "scores.json")
    return {name: scores[name] for name in SCORES}


def read_labels(run: Run, stage: str) -> dict[str, LabelFolder]:
    """The labels of all training images by image id."""
    return read_label_folders(run.list_files(stage, "train"))


def summarise_seeds(scores: Sequence[Mapping[str, float | None]], prefix: str) -> dict[str, float | None]:
    """Mean and, from two seeds on, standard deviation of each score, named ``<score>_<prefix>``."""
    figures: dict[str, float | None] = {}
    for name in SCORES:
        values = [v for v in (s[name] for s in scores) if v is not None]
        figures[f"{name}_{prefix}"] = statistics.mean(values) if values else None
        if len(values) > 1:
            figures[f"{name}_{prefix}_stdev"] = statistics.stdev(values)
    return figures
