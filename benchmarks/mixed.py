"""Compare full labels of some images beside weak labels of the others with the same full labels alone.

    python benchmarks/mixed.py --data DIR [--config configs/camvid.yaml] [--steps N] [--plot PNG] [--quick] --json OUT
    python benchmarks/mixed.py --run results/camvid --json OUT

Trains the segmenter once for each point: 0, 5, 20 and 100% of the training images with full labels,
beside weak labels of all others and alone; three choices of images (and seeds of the training) at 5
and 20%. Every training has equal steps and starts from scratch; the weak labels are those of round 0,
fixed. Fully labelled images are spread over the sequences, the part of an id before the first
underscore. ``--run`` takes the weak labels of a run that has them, ``--data`` makes them first.
``--quick`` draws tiny street scenes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from measurement import REPOSITORY, print_table, write_figures
from trained_points import Run, read_labels, summarise_seeds, train_and_score, write_training_set
from workflow_runs import TINY, resolve_config, run_workflow

from pseudogt.config.run import RunConfig
from pseudogt.files.labels import LabelFolder

SHARES = {0: 1, 5: 3, 20: 3, 100: 1}
"""Per cent of the images with full labels -> how many times it is trained."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the dataset")
    parser.add_argument("--config", type=Path, default=REPOSITORY / "configs" / "camvid.yaml")
    parser.add_argument("--run", type=Path, help="results/<name> with labels of round 0, in place of --data")
    parser.add_argument("--steps", type=int, help="of each training; default: those of the config")
    parser.add_argument("--plot", type=Path, help="draw the curve")
    parser.add_argument("--quick", action="store_true", help="tiny street scenes, seconds of training")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    config = TINY if arguments.quick else arguments.config
    if not (arguments.quick or arguments.data or arguments.run):
        parser.error("give --data DIR, --run results/<name> or --quick")
    run = Run(arguments.run or make_weak_labels(config, arguments.data))
    steps = {"segmenter": {"steps": arguments.steps}} if arguments.steps else {}
    settings = resolve_config([config], steps | {"data_root": "."})
    figures: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        for percent, repeats in SHARES.items():
            figures |= measure_share(run, settings, percent, repeats, Path(folder))
            print_table(figures)
    if arguments.plot:
        draw_curve(arguments.plot, figures)
    write_figures(arguments.json, figures)


def make_weak_labels(config: Path, data: Path | None) -> Path:
    """Run the workflow up to the labels of round 0; return its results, in the current folder."""
    settings = {"name": "mixed"} | ({"data_root": str(data.resolve())} if data else {})
    run = Run(run_workflow([config], settings, ["index"]))
    targets = [*run.list_files("labels/0", "train"), *run.list_files("ground_truth", "val")]
    return run_workflow([config], settings, targets)


def measure_share(run: Run, config: RunConfig, percent: int, repeats: int, folder: Path) -> dict[str, float | None]:
    """Scores of models on weak and full labels, and on the full ones alone."""
    weak, full = read_labels(run, "labels/0"), read_labels(run, "ground_truth")
    mixed_scores, alone_scores = [], []
    for seed in range(repeats):
        chosen = spread_images(list(weak), percent / 100, seed)
        labels: dict[str, LabelFolder] = weak | {image_id: full[image_id] for image_id in chosen}
        settings = config.segmenter.model_dump(mode="json") | {"seed": seed}
        for name, image_ids, scores in (("mixed", list(weak), mixed_scores), ("alone", chosen, alone_scores)):
            if image_ids and not (name == "alone" and percent == 100):
                place = folder / f"{name}-{percent}-{seed}"
                files = write_training_set(run, labels, image_ids, place, chosen)
                scores.append(train_and_score(run, files, settings, place, config))
    if percent == 100:
        alone_scores = mixed_scores
    figures = summarise_seeds(mixed_scores, f"mixed_{percent}")
    if percent:
        figures |= summarise_seeds(alone_scores, f"alone_{percent}")
    return figures


def spread_images(image_ids: Sequence[str], share: float, seed: int) -> list[str]:
    """Choose a share of the images, evenly spaced in each sequence from a place that the seed draws.

    Images whose ids name no sequence are taken for one.
    """
    sequences: dict[str, list[str]] = {}
    for image_id in image_ids:
        sequences.setdefault(image_id.partition("_")[0] if "_" in image_id else "", []).append(image_id)
    rng = np.random.default_rng(seed)
    chosen = []
    for members in sequences.values():
        count = round(len(members) * share)
        places = (np.arange(count) + rng.random()) * len(members) / max(count, 1)
        chosen += [members[i] for i in places.astype(int)]
    return chosen


def draw_curve(path: Path, figures: dict[str, float | None]) -> None:
    """Draw PQ and mIoU against the share of full labels."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, score, title in zip(figure.subplots(1, 2), ("pq", "miou"), ("PQ", "mIoU"), strict=True):
        for kind, label in (("mixed", "full labels and weak labels of the rest"), ("alone", "the full labels alone")):
            shares = [p for p in SHARES if figures.get(f"{score}_{kind}_{p}") is not None]
            values = [figures[f"{score}_{kind}_{p}"] for p in shares]
            spread = [figures.get(f"{score}_{kind}_{p}_stdev") or 0 for p in shares]
            axes.errorbar(shares, values, spread, marker="o", capsize=3, label=label)
        axes.set(xlabel="images with full labels (%)", ylabel=f"{title} on val", ylim=(0, None))
        axes.set_xscale("symlog", linthresh=5)
        axes.set_xticks(list(SHARES), [str(p) for p in SHARES])
        axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
