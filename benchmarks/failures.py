"""Why things are not found: failures of box masks, labels and models by cause.

    python benchmarks/failures.py --run results/camvid --json OUT

``--run`` is a run with full ground truth; whatever it has of box masks and labels (on train), and of predictions of the
rounds and of the reference (on val) is counted. Each thing of the ground truth, crowds left out, has one outcome, the
first that fits:

``found``         matched: the IoU with a segment of its class is above 0.5
``wrong_class``   the IoU with a segment of another class of things is above 0.5
``merged``        a segment of its class covers more than half of it, and more than half of another thing of its class
``split``         segments of its class that lie in it by more than half cover more than half of it together
``poor_mask``     the IoU with a segment of its class is above 0.1
``missed``        none of these

``surplus`` counts segments that match nothing and do not lie in void or crowds by more than half, over the number of
things. ``mask_iou`` is the mean IoU of what is found. Shares are of all things.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measurement import print_table, write_figures
from numpy.typing import NDArray
from tqdm import tqdm
from trained_points import Run

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.files.labels import LabelFolder
from pseudogt.metrics.panoptic_counts import MATCH_IOU, count_overlaps
from pseudogt.workflow.stage import Shard

OUTCOMES = ("found", "wrong_class", "merged", "split", "poor_mask", "missed")
POOR_IOU = 0.1


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="results/<name> of a run")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    figures: dict[str, float | None] = {}
    for subject, counts in count_run(Run(arguments.run)).items():
        figures |= {f"{subject}_{name}": value for name, value in compute_shares(counts).items()}
    print_table(figures)
    write_figures(arguments.json, figures)


def count_run(run: Run) -> dict[str, NDArray[np.float64]]:
    """Counts of each subject of a run, by name."""
    found: dict[str, NDArray[np.float64]] = {}
    for name in tqdm([*run.list_shards("train"), *run.list_shards("val")], desc="shards", mininterval=5):
        classes = Shard.open(run.folder / "index" / f"{name}.json").classes
        truth = LabelFolder(run.folder / "ground_truth" / name)
        for subject, labels in find_subjects(run.folder, name):
            for image_id in truth.image_ids:
                if image_id in labels:
                    counts = count_outcomes(truth.read(image_id), labels.read(image_id), classes)
                    found[subject] = found.get(subject, 0.0) + counts
    return found


def find_subjects(folder: Path, shard: str) -> Iterator[tuple[str, LabelFolder]]:
    """Labels of a training shard, or predictions for one of val, that a run has."""
    if shard.startswith("train"):
        places = {"box_masks": folder / "box_masks" / shard}
        kind, stage = "labels", "labels"
    else:
        places = {"reference": folder / "reference_predictions" / shard}
        kind, stage = "model", "predictions"
    places |= {f"{kind}_{path.name}": path / shard for path in sorted((folder / stage).glob("*"))}
    for subject, path in places.items():
        if path.is_dir():
            yield subject, LabelFolder(path)


def count_outcomes(truth: NDArray[np.int32], labelled: NDArray[np.int32], classes: ClassTable) -> NDArray[np.float64]:
    """Count what came of the things of an image.

    Parameters
    ----------
    truth, labelled : (H, W) int32
        Panoptic ids.
    classes : ClassTable

    Returns
    -------
    (8,) float64
        Things by outcome, in the order of ``OUTCOMES``; surplus segments; the sum of the IoU of matches.
    """
    truth_id, labelled_id, pixels = count_overlaps(truth, labelled)
    true_thing, true_crowd = find_things(truth_id, classes)
    thing, _ = find_things(labelled_id, classes)
    # Pixels of each segment: of the ground truth (T,), of the label (L,), and what of these lies on void.
    true_area, area = pixels[true_thing].sum(1), pixels[:, thing].sum(0)
    on_void = (pixels[truth_id == VOID][:, thing]).sum(0)
    # Rows are things of the ground truth, columns those of the label. As in panoptic quality, void is not in the union.
    both = pixels[true_thing][:, thing]
    iou = both / np.maximum(true_area[:, None] + area - on_void - both, 1)
    category = labelled_id[thing] // INSTANCE_DIVISOR
    same = truth_id[true_thing, None] // INSTANCE_DIVISOR == category
    is_match = same & (iou > MATCH_IOU)
    covers = same & (2 * both > true_area[:, None])
    lies_in = same & (2 * both > area - on_void)
    outcomes = [
        is_match.any(1),
        (~same & (iou > MATCH_IOU)).any(1),
        (covers & (covers.sum(0) > 1)).any(1),
        (lies_in.sum(1) > 1) & (2 * (both * lies_in).sum(1) > true_area),
        (same & (iou > POOR_IOU)).any(1),
        np.ones(len(same), bool),
    ]
    first = np.argmax(np.stack(outcomes), axis=0)
    on_crowd = (pixels[true_crowd][:, thing] * (truth_id[true_crowd, None] // INSTANCE_DIVISOR == category)).sum(0)
    surplus = ~is_match.any(0) & (2 * (on_void + on_crowd) <= area)
    return np.array([*np.bincount(first, minlength=len(OUTCOMES)), surplus.sum(), iou[is_match].sum()], np.float64)


def find_things(panoptic_id: NDArray[np.int64], classes: ClassTable) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of the ids ``(S,)`` are things, and which are crowds of things."""
    categories = np.array(classes.category_ids)[classes.thing_ids]
    is_thing = np.isin(panoptic_id // INSTANCE_DIVISOR, categories) & (panoptic_id != VOID)
    single = panoptic_id % INSTANCE_DIVISOR > 0
    return is_thing & single, is_thing & ~single


def compute_shares(counts: NDArray[np.float64]) -> dict[str, float | None]:
    """Shares of all things of a subject; None where there is nothing."""
    things, found = counts[: len(OUTCOMES)].sum(), counts[0]
    figures: dict[str, float | None] = {"things": things}
    figures |= {n: c / things if things else None for n, c in zip((*OUTCOMES, "surplus"), counts[:-1], strict=True)}
    return figures | {"mask_iou": counts[-1] / found if found else None}


if __name__ == "__main__":
    main()
