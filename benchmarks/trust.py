"""Does a label know how likely it is to be right? Calibration of its confidence, by where the label comes from.

    python benchmarks/trust.py --run results/camvid [--part a] --json OUT

``--run`` is a run with the ground truth of its training images; whatever it has of box masks, CAM labels and labels of
rounds is measured. A pixel has the confidence of its segment, in CAM labels its own, and is right if its class is;
pixels without a label or without ground truth are left out. A segment is right if its IoU with a segment of its class
in the ground truth is above 0.5; groups are left out. For pixels and for segments:

``ece``         expected calibration error over 15 bins of equal width (Guo et al., ICML 2017)
``auroc``       area under the ROC curve of being right (half if all have one confidence)
``confidence``  mean
``right``       share

``--part`` takes only the images of one half of train, by the checksum of their id: choose on ``a``, report on ``b``.
"""

from __future__ import annotations

import argparse
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measurement import print_table, write_figures
from numpy.typing import NDArray
from tqdm import tqdm
from trained_points import Run

from pseudogt.classes import IGNORE_LABEL, INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.files.labels import LabelFolder
from pseudogt.files.scores import ScoreFile
from pseudogt.workflow.stage import Shard

BINS = 15
RIGHT_IOU = 0.5
LEVELS = 256
"""Of the confidence of a pixel of CAM labels."""

ID_BITS = 24
"""Panoptic ids are colours."""


class Outcomes(NamedTuple):
    """What came of labels: one entry per group of pixels, or per segment.

    Attributes
    ----------
    confidence : (N,) float64
        In [0, 1].
    right, weight : (N,) float64
        How much of the weight of each entry is right, and its weight.
    """

    confidence: NDArray[np.float64]
    right: NDArray[np.float64]
    weight: NDArray[np.float64]


class Overlaps(NamedTuple):
    """Pixels that a segment of a label shares with one of the ground truth.

    Attributes
    ----------
    label, truth : (N,) int64
        Panoptic ids, of the label with a level of confidence behind the id if it has some.
    pixels : (N,) int64
    """

    label: NDArray[np.int64]
    truth: NDArray[np.int64]
    pixels: NDArray[np.int64]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="results/<name> of a run")
    parser.add_argument("--part", choices=["a", "b"], help="half of the training images; default: all")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    figures: dict[str, float | None] = {}
    for source, kinds in measure_run(Run(arguments.run), arguments.part).items():
        for kind, outcomes in kinds.items():
            figures |= {f"{source}_{kind}_{name}": value for name, value in summarise_outcomes(outcomes).items()}
    print_table(figures)
    write_figures(arguments.json, figures)


def measure_run(run: Run, part: str | None) -> dict[str, dict[str, Outcomes]]:
    """Outcomes of pixels and segments of each source of labels that a run has."""
    found: defaultdict[tuple[str, str], list[Outcomes]] = defaultdict(list)
    for name in tqdm(run.list_shards("train"), desc="shards", mininterval=5):
        shard = Shard.open(run.folder / "index" / f"{name}.json")
        truth = LabelFolder(run.folder / "ground_truth" / name)
        sources = find_sources(run.folder, name)
        for image_id in (i for i in truth.image_ids if part in (None, choose_part(i))):
            right_ids, crowd_ids = truth.read(image_id), truth.crowd_ids(image_id)
            for source, labels in sources.items():
                if image_id in labels:
                    pixels, segments = compare(labels, image_id, right_ids, crowd_ids, shard.classes)
                    found[source, "pixels"].append(pixels)
                    found[source, "segments"].append(segments)
    joined: defaultdict[str, dict[str, Outcomes]] = defaultdict(dict)
    for (source, kind), outcomes in found.items():
        joined[source][kind] = Outcomes(*map(np.concatenate, zip(*outcomes, strict=True)))
    return joined


def choose_part(image_id: str) -> str:
    """Half of the training images that an image is in."""
    return "ab"[zlib.crc32(image_id.encode()) % 2]


def find_sources(folder: Path, shard: str) -> dict[str, LabelFolder | ScoreFile]:
    """The labels of a shard that a run has, by name."""
    places = {"box_masks": folder / "box_masks" / shard}
    places |= {f"labels_{path.name}": path / shard for path in sorted((folder / "labels").glob("*"))}
    sources: dict[str, LabelFolder | ScoreFile] = {n: LabelFolder(p) for n, p in places.items() if p.is_dir()}
    first = folder / "cams" / f"{shard}.h5"
    return sources | ({"cams": ScoreFile(first)} if first.is_file() else {})


def compare(
    labels: LabelFolder | ScoreFile,
    image_id: str,
    truth: NDArray[np.int32],
    crowd_ids: set[int],
    classes: ClassTable,
) -> tuple[Outcomes, Outcomes]:
    """Outcomes of the pixels and of the segments of an image."""
    if isinstance(labels, ScoreFile):
        label, level = labels.read_label(image_id)
        known = label != IGNORE_LABEL
        ids = classes.train_to_category[label].astype(np.int64) * INSTANCE_DIVISOR
        overlaps = count_overlaps(
            np.where(known, ids, VOID) * LEVELS + level, truth // INSTANCE_DIVISOR * INSTANCE_DIVISOR
        )
        level_of = overlaps.label % LEVELS / (LEVELS - 1)
        return measure_outcomes(overlaps._replace(label=overlaps.label // LEVELS), level_of, set())
    scores = labels.scores(image_id)
    overlaps = count_overlaps(labels.read(image_id), truth)
    confidence = np.array([scores.get(i, np.nan) for i in overlaps.label.tolist()])
    return measure_outcomes(overlaps, confidence, crowd_ids | labels.crowd_ids(image_id))


def count_overlaps(label: NDArray[np.integer], truth: NDArray[np.int32]) -> Overlaps:
    """Pixels of each pair of segments that meet."""
    pairs, pixels = np.unique(label.astype(np.int64) << ID_BITS | truth, return_counts=True)
    return Overlaps(pairs >> ID_BITS, pairs & (1 << ID_BITS) - 1, pixels)


def measure_outcomes(
    overlaps: Overlaps, confidence: NDArray[np.float64], crowd_ids: set[int]
) -> tuple[Outcomes, Outcomes]:
    """Outcomes of pixels and segments; entries without a confidence, such as background, are left out."""
    known = (overlaps.label != VOID) & (overlaps.truth != VOID) & np.isfinite(confidence)
    is_right = overlaps.label // INSTANCE_DIVISOR == overlaps.truth // INSTANCE_DIVISOR
    weight = overlaps.pixels.astype(float)
    pixels = Outcomes(confidence[known], (weight * is_right)[known], weight[known])
    truth_areas: defaultdict[int, int] = defaultdict(int)
    for truth_id, area in zip(overlaps.truth.tolist(), overlaps.pixels.tolist(), strict=True):
        truth_areas[truth_id] += area
    rows = []
    for segment_id in np.unique(overlaps.label[known]).tolist():
        if segment_id in crowd_ids:
            continue
        own = known & (overlaps.label == segment_id)
        best = find_best_iou(overlaps, own, is_right & ~np.isin(overlaps.truth, list(crowd_ids)), truth_areas)
        rows.append((np.average(confidence[own], weights=weight[own]), float(best > RIGHT_IOU), 1.0))
    return pixels, Outcomes(*np.array(rows, float).reshape(-1, 3).T)


def find_best_iou(
    overlaps: Overlaps, own: NDArray[np.bool_], is_right: NDArray[np.bool_], truth_areas: Mapping[int, int]
) -> float:
    """Largest IoU of a segment, whose overlaps are ``own``, with a segment of its class; void pixels don't count."""
    area = int(overlaps.pixels[own].sum())
    shared: defaultdict[int, int] = defaultdict(int)
    for position in np.flatnonzero(own & is_right).tolist():
        shared[int(overlaps.truth[position])] += int(overlaps.pixels[position])
    return max((both / (area + truth_areas[i] - both) for i, both in shared.items()), default=0.0)


def summarise_outcomes(outcomes: Outcomes) -> dict[str, float | None]:
    """The figures of a source, None where nothing was measured."""
    total = outcomes.weight.sum()
    if not total:
        return dict.fromkeys(("ece", "auroc", "confidence", "right"))
    return {
        "ece": measure_calibration_error(outcomes),
        "auroc": measure_auroc(outcomes),
        "confidence": float(outcomes.confidence @ outcomes.weight / total),
        "right": float(outcomes.right.sum() / total),
    }


def list_bins(outcomes: Outcomes) -> Iterator[tuple[float, float, float]]:
    """Weight, mean confidence and share that is right of each bin that holds something."""
    bins = np.minimum((outcomes.confidence * BINS).astype(int), BINS - 1)
    weight = np.bincount(bins, outcomes.weight, BINS)
    confidence = np.bincount(bins, outcomes.confidence * outcomes.weight, BINS)
    right = np.bincount(bins, outcomes.right, BINS)
    for held in np.flatnonzero(weight).tolist():
        yield weight[held], confidence[held] / weight[held], right[held] / weight[held]


def measure_calibration_error(outcomes: Outcomes) -> float:
    """Mean distance of confidence and share that is right, over bins by their weight."""
    bins = list(list_bins(outcomes))
    return sum(w * abs(c - r) for w, c, r in bins) / sum(w for w, _, _ in bins)


def measure_auroc(outcomes: Outcomes) -> float | None:
    """Chance that what is right has a higher confidence than what is wrong; ties count half. None if all is one."""
    # Weight of what is right and wrong at each confidence, ascending.
    _, index = np.unique(outcomes.confidence, return_inverse=True)
    right = np.bincount(index, outcomes.right)
    wrong = np.bincount(index, outcomes.weight - outcomes.right)
    pairs = right.sum() * wrong.sum()
    if not pairs:
        return None
    return float(right @ (np.cumsum(wrong) - wrong / 2) / pairs)


if __name__ == "__main__":
    main()
