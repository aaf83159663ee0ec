"""Does the review queue know which labels are wrong? Its order against random orders and the best one.

    python benchmarks/review.py --run results/camvid [--models] [--quick] --json OUT

``--run`` is a run with labels of a round and the scores they were made from. A person who corrects an
image redraws all its masks: at equal numbers of corrected masks (5, 10, 20, 30 and 50% of all), the
PQ of the training labels is printed after correction in the order of the queue, in 20 random orders
(mean and 95th percentile) and in the order of what each image truly gains per mask (oracle).
``rank_correlation`` is Spearman's, of the queue's priorities with these true gains;
``mask_correlation`` of the trust in each box with the true IoU of its mask. ``--models`` adds the PQ on
val of models trained on the labels after 20% of the masks are corrected, by the queue and in a random
order, three seeds each. ``--quick`` takes one shard and five random orders.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measurement import print_table, write_figures
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tqdm import tqdm
from trained_points import Run, summarise_seeds, train_and_score, write_training_set

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder, read_label_folders
from pseudogt.metrics.panoptic_counts import Counts, count_image
from pseudogt.metrics.panoptic_quality import summarise
from pseudogt.pseudo_labels.instances import number_boxes
from pseudogt.reporting.review_queue import Suspect, rank_images
from pseudogt.stages import review
from pseudogt.weak_labels.files import read_weak_labels
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.workflow.stage import Shard

BUDGETS = (0.05, 0.1, 0.2, 0.3, 0.5)
MODEL_BUDGET = 0.2
SEEDS = 3
RANDOM_ORDERS = 20


@dataclass(frozen=True)
class Labels:
    """Labels of a run's training images, and their errors.

    Attributes
    ----------
    image_ids : list of str
    given, corrected : list of Counts
        Counts of each image as it is, and after correction.
    masks : (N,) int64
        Masks that the correction of an image draws.
    """

    image_ids: list[str]
    given: list[Counts]
    corrected: list[Counts]
    masks: NDArray[np.int64]
    classes: ClassTable

    def score(self, total: Counts) -> float:
        """PQ of summed counts."""
        return summarise(total, self.classes, has_instances=True, has_stuff=True, is_prediction=False)["pq"]

    def sum_given(self) -> Counts:
        """Counts of all labels as they are."""
        return sum(self.given, Counts.zeros(len(self.classes)))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="results/<name> of a run")
    parser.add_argument("--round", type=int, help="round of the labels; default: the last whose scores are there")
    parser.add_argument("--models", action="store_true", help="train on corrected labels, too: 6 trainings")
    parser.add_argument("--quick", action="store_true", help="one shard, five random orders")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    run = Run(arguments.run)
    number = find_round(run) if arguments.round is None else arguments.round
    shards = run.list_shards("train")[: 1 if arguments.quick else None]
    suspects = review_shards(run, number, shards)
    truth = read_label_folders(run.folder / "ground_truth" / shard for shard in shards)
    labels = read_label_folders(run.folder / "labels" / str(number) / shard for shard in shards)
    measured = count_labels(run, shards, labels, truth)
    order = [measured.image_ids.index(image_id) for image_id in rank_images(suspects)]
    repeats = 5 if arguments.quick else RANDOM_ORDERS
    figures = {"round": number, **compare_orders(measured, order, repeats), **correlate(measured, suspects)}
    figures["mask_correlation"] = correlate_masks(run, shards, suspects, labels, truth, measured.classes)
    if arguments.models:
        figures |= compare_models(run, measured, order, labels, truth)
    print_table(figures)
    write_figures(arguments.json, figures)


def find_round(run: Run) -> int:
    """The last round whose labels and scores are there; CAMs are the scores of round 0."""
    rounds = sorted((int(path.name) for path in (run.folder / "labels").glob("*")), reverse=True)
    shard = run.list_shards("train")[0]
    found = next((r for r in rounds if find_scores(run, r, shard).is_file()), None)
    if found is None:
        raise SystemExit(f"{run.folder}: no labels with their scores; run `snakemake labels predictions`")
    return found


def find_scores(run: Run, number: int, shard: str) -> Path:
    """The scores that the labels of a round were made from."""
    folder = run.folder / "predictions" / str(number - 1) if number else run.folder / "cams"
    return folder / f"{shard}.h5"


def review_shards(run: Run, number: int, shards: Sequence[str]) -> dict[str, list[Suspect]]:
    """Boxes and tagged classes of each image, by the stage itself."""
    suspects: dict[str, list[Suspect]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for shard in shards:
            files = {
                "--shard": run.folder / "index" / f"{shard}.json",
                "--weak-labels": run.folder / "weak_labels" / f"{shard}.json",
                "--labels": run.folder / "labels" / str(number) / shard,
                "--scores": find_scores(run, number, shard),
                "--box-masks": run.folder / "box_masks" / shard,
                "--out": Path(folder) / f"{shard}.json",
            }
            review.main(["shard", *(text for option, path in files.items() for text in (option, str(path)))])
            found = read_json(files["--out"])
            suspects |= {image_id: [Suspect(**each) for each in entry["suspects"]] for image_id, entry in found.items()}
    return suspects


def count_labels(
    run: Run, shards: Sequence[str], labels: Mapping[str, LabelFolder], truth: Mapping[str, LabelFolder]
) -> Labels:
    """Count the matches of each image before and after its correction."""
    opened = Shard.open([run.folder / "index" / f"{shard}.json" for shard in shards])
    image_ids, classes = opened.image_ids, opened.classes
    given, corrected, masks = [], [], []
    for image_id in tqdm(image_ids, desc="count", unit="image", mininterval=5):
        true_id = truth[image_id].read(image_id)
        given.append(count_image(true_id, labels[image_id].read(image_id), classes))
        corrected.append(count_image(true_id, true_id, classes))
        masks.append(int(corrected[-1].tp.sum()))
    return Labels(image_ids, given, corrected, np.array(masks), classes)


def compare_orders(measured: Labels, order: Sequence[int], repeats: int) -> dict[str, float | None]:
    """PQ of the labels at each budget by the queue, at random, and by the true gains."""
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(len(measured.image_ids)) for _ in range(repeats)]
    random = np.array([follow_order(measured, o) for o in drawn])
    best = np.argsort(-measure_gains(measured), kind="stable")
    curves = {
        "queue": follow_order(measured, order),
        "random_mean": random.mean(0),
        "random_95": np.percentile(random, 95, axis=0),
        "oracle": follow_order(measured, best),
    }
    figures: dict[str, float | None] = {"pq_uncorrected": measured.score(measured.sum_given())}
    for position, budget in enumerate(BUDGETS):
        figures |= {f"pq_{name}_{budget:.0%}".rstrip("%"): float(c[position]) for name, c in curves.items()}
    return figures


def follow_order(measured: Labels, order: Sequence[int] | NDArray) -> NDArray[np.float64]:
    """PQ at each budget if images are corrected in an order; between two images it is interpolated."""
    total = measured.sum_given()
    spent, scores = [0], [measured.score(total)]
    for i in order:
        total = replace_image(total, measured.given[i], measured.corrected[i])
        spent.append(spent[-1] + int(measured.masks[i]))
        scores.append(measured.score(total))
    return np.interp(np.array(BUDGETS) * measured.masks.sum(), spent, scores)


def replace_image(total: Counts, old: Counts, new: Counts) -> Counts:
    """Sum of counts in which one image's are replaced."""
    parts = {name: getattr(total, name) - getattr(old, name) + getattr(new, name) for name in vars(total)}
    return Counts(**parts)


def measure_gains(measured: Labels) -> NDArray[np.float64]:
    """What the correction of each image alone adds to PQ, per mask that it draws."""
    total = measured.sum_given()
    start = measured.score(total)
    gains = [
        measured.score(replace_image(total, old, new)) - start
        for old, new in zip(measured.given, measured.corrected, strict=True)
    ]
    return np.array(gains) / np.maximum(measured.masks, 1)


def correlate(measured: Labels, suspects: Mapping[str, list[Suspect]]) -> dict[str, float | None]:
    """Rank correlation of the queue's priorities with the true gains."""
    priority = rank_images(suspects)
    found = spearmanr([priority[i] for i in measured.image_ids], measure_gains(measured))
    return {"rank_correlation": float(found.statistic)}


def correlate_masks(
    run: Run,
    shards: Sequence[str],
    suspects: Mapping[str, list[Suspect]],
    labels: Mapping[str, LabelFolder],
    truth: Mapping[str, LabelFolder],
    classes: ClassTable,
) -> float | None:
    """Rank correlation of the trust in each box with the IoU of its mask."""
    weak_labels, _ = read_weak_labels([run.folder / "weak_labels" / f"{shard}.json" for shard in shards])
    trust, overlap = [], []
    for image_id, found in suspects.items():
        boxes = [suspect for suspect in found if suspect.kind == "box"]
        ids = list_box_ids(weak_labels[image_id], classes)
        label, true_id = labels[image_id].read(image_id), truth[image_id].read(image_id)
        trust += [suspect.trust for suspect in boxes]
        overlap += [measure_iou((label == i) & (true_id != VOID), true_id == i) for i in ids]
    return float(spearmanr(trust, overlap).statistic) if len(trust) > 1 else None


def list_box_ids(weak: ImageWeakLabels, classes: ClassTable) -> list[int]:
    """Panoptic id of each box but groups, in labels and, as boxes stand in the order of its instances, in the truth."""
    numbers = number_boxes(weak.box_classes, weak.box_iscrowd)
    pairs = zip(weak.box_classes, numbers.tolist(), strict=True)
    return [classes.category_ids[train_id] * INSTANCE_DIVISOR + number for train_id, number in pairs if number]


def measure_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """IoU of two masks, 0 if both are empty."""
    return float(np.count_nonzero(a & b) / max(np.count_nonzero(a | b), 1))


def compare_models(
    run: Run,
    measured: Labels,
    order: Sequence[int],
    labels: Mapping[str, LabelFolder],
    truth: Mapping[str, LabelFolder],
) -> dict[str, float | None]:
    """PQ on val of models on labels that were corrected by the queue and in random orders."""
    settings = read_json(run.folder / "segmenter" / "0" / "record.json")["settings"]
    figures: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("queue", "random"):
            scores = []
            for seed in range(SEEDS):
                drawn = np.random.default_rng(seed).permutation(len(order)).tolist()
                chosen = spend_budget(measured, order if name == "queue" else drawn)
                mixed = dict(labels) | {image_id: truth[image_id] for image_id in chosen}
                place = Path(folder) / f"{name}-{seed}"
                files = write_training_set(run, mixed, measured.image_ids, place)
                scores.append(train_and_score(run, files, settings | {"seed": seed}, place))
            figures |= summarise_seeds(scores, f"model_{name}")
    return figures


def spend_budget(measured: Labels, order: Sequence[int]) -> list[str]:
    """Images whose correction fits into ``MODEL_BUDGET`` of all masks, in an order."""
    spent = np.cumsum(measured.masks[np.asarray(order)])
    count = int(np.searchsorted(spent, MODEL_BUDGET * measured.masks.sum(), side="right"))
    return [measured.image_ids[i] for i in list(order)[:count]]


if __name__ == "__main__":
    main()
