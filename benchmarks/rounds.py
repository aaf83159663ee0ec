"""What does each round give, and does the loss that ends the rounds know it?

    python benchmarks/rounds.py --run results/camvid [--run results/dsb2018 ..] --json OUT

Each ``--run`` is a finished run with ground truth; set ``rounds.min`` to ``rounds.max`` there, so that no round is left
out. Runs that differ by the seed alone show the spread. For round R of a run, where `labels` are those of train and
`model` is scored on val:

``labels_pq``, ``labels_miou``, ``model_pq``, ``model_miou``
    scores; a ``_gain`` behind the name is the difference to the round before
``changed``, ``mended``, ``spoiled``
    share of pixels with ground truth whose class differs from the round before; of these, those that were wrong and are
    right, and those that were right and are wrong
``loss_drop``
    share by which the loss on the fixed subset has fallen since the best round before
``rule``
    1 if the settings of the run ask for another round after this one

Over all runs and rounds with a round before, ``correlation_NAME`` is Spearman's rank correlation of ``loss_drop`` with
the gain NAME (absent with fewer than three rounds).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from measurement import print_table, write_figures
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tqdm import tqdm
from trained_points import Run

from pseudogt.classes import INSTANCE_DIVISOR, VOID
from pseudogt.config.rounds import RoundsSettings
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder
from pseudogt.pseudo_labels.rounds import StopRule, is_worth_another_round

SCORES = ("pq", "miou")
GAINS = tuple(f"{subject}_{score}_gain" for subject in ("labels", "model") for score in SCORES)
SMALLEST_SAMPLE = 3
"""Rounds of which a rank correlation says anything."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, action="append", required=True, help="results/<name> of a run")
    parser.add_argument("--rounds", default="{}", help="section `rounds` as JSON, if it is not the default")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    rule = RoundsSettings.model_validate_json(arguments.rounds).fill(StopRule)
    rounds = {folder.name: describe_rounds(Run(folder), rule) for folder in arguments.run}
    figures: dict[str, float | None] = {
        f"{name}_{number}_{key}": value
        for name, described in rounds.items()
        for number, values in enumerate(described)
        for key, value in values.items()
    }
    figures |= correlate_gains([values for described in rounds.values() for values in described[1:]])
    print_table(figures)
    write_figures(arguments.json, figures)


def describe_rounds(run: Run, rule: StopRule) -> list[dict[str, float]]:
    """Figures of each trained round."""
    summary = read_json(run.folder / "evaluation" / "summary.json")
    described: list[dict[str, float]] = []
    losses: list[float] = []
    for entry in summary["rounds"]:
        number = entry["round"]
        values = read_scores(entry)
        loss = read_json(run.folder / "segmenter" / str(number) / "record.json")["fixed_loss"]
        if described:
            values |= {f"{name}_gain": values[name] - described[-1][name] for name in tuple(values)}
            values |= compare_labels(run, number)
            values["loss_drop"] = 1 - loss / min(losses)
        losses.append(loss)
        described.append(values | {"loss": loss, "rule": float(is_worth_another_round(losses, rule))})
    return described


def read_scores(entry: dict[str, Any]) -> dict[str, float]:
    """Scores of the labels on train and of the model on val, of an entry of `rounds` in summary.json."""
    parts = {"labels": entry["labels"]["train"], "model": entry["model"]["val"]}
    return {f"{part}_{score}": scores[score] for part, scores in parts.items() for score in SCORES}


def compare_labels(run: Run, number: int) -> dict[str, float]:
    """Shares of pixels of train whose class a round changes, mends and spoils."""
    counts = np.zeros(4, np.int64)
    for shard in tqdm(run.list_shards("train"), desc=f"labels {number}", mininterval=5):
        truth = LabelFolder(run.folder / "ground_truth" / shard)
        before, after = (LabelFolder(run.folder / "labels" / str(r) / shard) for r in (number - 1, number))
        for image_id in truth.image_ids:
            counts += count_changes(*(folder.read(image_id) for folder in (truth, before, after)))
    known, changed, mended, spoiled = counts.tolist()
    return {"changed": changed / known, "mended": mended / known, "spoiled": spoiled / known}


def count_changes(truth: NDArray[np.int32], before: NDArray[np.int32], after: NDArray[np.int32]) -> NDArray[np.int64]:
    """Pixels with ground truth, and those among them whose class changed, became right, and became wrong."""
    known = truth != VOID
    right, old, new = (panoptic_id[known] // INSTANCE_DIVISOR for panoptic_id in (truth, before, after))
    mended, spoiled = (old != right) & (new == right), (old == right) & (new != right)
    return np.array([len(right), (old != new).sum(), mended.sum(), spoiled.sum()], np.int64)


def correlate_gains(rounds: list[dict[str, float]]) -> dict[str, float | None]:
    """Rank correlation of the fall of the loss with each gain; nothing if there are too few rounds."""
    if len(rounds) < SMALLEST_SAMPLE:
        return {}
    drops = [values["loss_drop"] for values in rounds]
    return {f"correlation_{name}": float(spearmanr(drops, [v[name] for v in rounds]).statistic) for name in GAINS}


if __name__ == "__main__":
    main()
