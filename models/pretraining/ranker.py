"""Train the trees that rank proposals, on images with the masks of their segments.

    python -m models.pretraining.ranker --data DIR --out FILE.npz [--held-out N]

``DIR`` has ``images/<id>.*``, ``instances/<id>.png`` (16 bits: ``class * 256 + k`` for thing k, the class
alone for stuff, from 92, and for crowds, 0 for void) and ``train.txt`` with one id a line, as made from
COCO. Training on stuff, too, ranks the things of held-out images better (mean best overlap with the first 100 of multi
0.475 instead of 0.467). Contours are the learned ones; the trees learn from mode single and mode multi together. With
``--held-out`` the last N images are not used for training, and the scores of their proposals are printed.
Training needs scikit-learn; using the trees does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from tqdm import tqdm

from models.pretrained.loading import load_engine
from pseudogt.config.proposals import ProposalsSettings
from pseudogt.files.images import read_image, read_png
from pseudogt.parsing.image_lists import read_id_list
from pseudogt.proposals.generation import Quotas, find_candidates, make_proposals
from pseudogt.proposals.hierarchies import Partition
from pseudogt.proposals.members import Members
from pseudogt.proposals.overlaps import find_overlaps
from pseudogt.proposals.ranking import Ranker, write_ranker
from pseudogt.proposals.regions import gather_facts, measure_regions
from pseudogt.proposals.selection import find_members

FIRST_THING, STUFF = 256, range(92, 256)
"""Values of the files of instances."""

MODES = ("single", "multi")
MAX_PROPOSALS = {"single": 2100, "multi": 5200}
MARGIN = 0.07
"""IoU below that of the best union of a segment up to which a union counts as right as well."""

MIN_OVERLAP = 0.4
"""A segment that no union fits better is not learned from."""

MAX_RIGHT, MAX_WRONG = 40, 1500
"""Unions that are learned from, of each segment and of each hierarchy."""

WRONG_WEIGHT = 0.5
"""Weight of 1,000 wrong unions together; the right ones of a segment weigh 1 together."""


class Scene(NamedTuple):
    """An image, its segments and its regions in each mode."""

    image: NDArray[np.uint8]
    things: list[NDArray[np.bool_]]
    stuff: list[NDArray[np.bool_]]
    void: NDArray[np.bool_]
    partitions: dict[str, Partition]


class UnionExamples(NamedTuple):
    """Training data.

    Attributes
    ----------
    features : (N, F) float32
    targets, weights : (N,) float64
    """

    features: NDArray[np.float32]
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> None:
    """Train and write the ranker file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", type=int, default=0)
    parser.add_argument("--trees", type=int, default=150)
    parser.add_argument("--leaves", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    scenes = read_scenes(arguments.data)
    count = len(scenes) - arguments.held_out
    if count < 1:
        raise ValueError(f"--held-out {arguments.held_out}: {arguments.data / 'train.txt'} lists {len(scenes)} images")
    ranker = train_ranker(scenes[:count], trees=arguments.trees, leaves=arguments.leaves, seed=arguments.seed)
    for mode in MODES:
        for name, each in (("rule", None), ("learned", ranker)):
            figures = score_ranker(scenes[count:], mode, each)
            print(mode, name, " ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    write_ranker(arguments.out, ranker)


def read_scenes(data: Path) -> list[Scene]:
    """Images of ``train.txt`` with the masks of their segments, and their regions."""
    segment = {
        mode: load_engine(ProposalsSettings(mode=mode, ranking="rule", max_proposals=1, kept_unions=0))
        for mode in MODES
    }
    scenes = []
    for image_id in tqdm(read_id_list(data / "train.txt"), desc="regions", unit="image", mininterval=5):
        path = next((data / "images").glob(f"{image_id}.*"), None)
        if path is None:
            raise ValueError(f"{data / 'images'}: no image {image_id!r}")
        image, instances = read_image(path), read_png(data / "instances" / f"{image_id}.png")
        values = np.unique(instances)
        things = [instances == value for value in values if value >= FIRST_THING]
        stuff = [instances == value for value in values if value in STUFF]
        partitions = {mode: segment[mode](image).partition for mode in MODES}
        scenes.append(Scene(image, things, stuff, instances == 0, partitions))
    return scenes


def train_ranker(scenes: Sequence[Scene], *, trees: int, leaves: int, seed: int) -> Ranker:
    """Trees that estimate how likely a union is the best one of a segment.

    The first are trained on the unions that the fixed rule picks, the second on what those pick as
    well: a ranker must also judge what only a ranker likes.
    """
    ranker = None
    drawn: list[UnionExamples] = []
    for turn in range(2):
        rng = np.random.default_rng([seed, turn])
        for scene in tqdm(scenes, desc=f"examples {turn + 1}", unit="image", mininterval=5):
            for mode in MODES:
                drawn += draw_examples(scene, mode, ranker, rng)
        features, targets, weights = (np.concatenate(each) for each in zip(*drawn, strict=True))
        model = HistGradientBoostingRegressor(
            max_iter=trees,
            max_leaf_nodes=leaves,
            learning_rate=0.05,
            min_samples_leaf=100,
            l2_regularization=10.0,
            early_stopping=False,
            random_state=seed,
        )
        model.fit(features, targets, sample_weight=weights / weights.mean())
        ranker = export_trees(model)
    assert ranker is not None
    return ranker


def draw_examples(scene: Scene, mode: str, ranker: Ranker | None, rng: np.random.Generator) -> list[UnionExamples]:
    """Some of the unions that a ranker picks from each hierarchy.

    A union is right if it fits a segment nearly as well as any does: its target is that overlap. All
    right ones of a segment weigh 1 together, whatever its size: large segments have thousands, and by
    overlap alone a long list of them would come before the first small one. The rest has target 0.
    """
    partition = scene.partitions[mode]
    facts = gather_facts(scene.image, partition.superpixels)
    masks = scene.things + scene.stuff
    examples = []
    for scale, hierarchy in enumerate(partition.hierarchies):
        table = measure_regions(partition, hierarchy, facts)
        found = find_candidates(table, hierarchy, facts, ranker, make_quotas(), scale)
        members = Members.from_dense(find_members(found.unions, hierarchy))
        # IoU of each union with each segment, (N, K), and the best of each segment, (K,).
        fit = find_overlaps(members, partition.superpixels, masks, scene.void)
        best = fit.max(0)
        is_right = (fit >= best - MARGIN) & (best >= MIN_OVERLAP)
        for segment in np.flatnonzero(best >= MIN_OVERLAP):
            rows = rng.permutation(np.flatnonzero(is_right[:, segment]))[:MAX_RIGHT]
            examples.append(weigh_examples(found.features[rows], best[segment], 1.0))
        # Unions that fit no segment; the drawn ones represent all of them.
        wrong = np.flatnonzero(~is_right.any(1))
        rows = rng.permutation(wrong)[:MAX_WRONG]
        examples.append(weigh_examples(found.features[rows], 0.0, WRONG_WEIGHT * len(wrong) / 1000))
    return examples


def weigh_examples(features: NDArray[np.float32], target: float, weight: float) -> UnionExamples:
    """Examples with the same target, among which a weight is divided equally."""
    count = len(features)
    return UnionExamples(features, np.full(count, target), np.full(count, weight / max(count, 1)))


def make_quotas() -> Quotas:
    """The quotas of the default settings."""
    settings = ProposalsSettings()
    kept = settings.kept_unions
    return Quotas(grown=settings.grown_unions, kept=(2 * settings.max_regions, kept, kept, kept))


def export_trees(model: HistGradientBoostingRegressor) -> Ranker:
    """The trees of a fitted model as plain arrays; scikit-learn has no public way to them."""
    nodes = [predictors[0].nodes for predictors in model._predictors]
    # Concatenate the trees: children are numbered within their tree, so its root is added.
    roots = np.cumsum([0] + [len(each) for each in nodes[:-1]]).astype(np.int32)
    everything = np.concatenate(nodes)
    offsets = np.repeat(roots, [len(each) for each in nodes])
    is_leaf = everything["is_leaf"].astype(bool)

    def select(values: NDArray[Any], of_leaves: NDArray[np.bool_], fill: float, dtype: type) -> NDArray[Any]:
        return np.where(of_leaves, values, fill).astype(dtype)

    # Float32 features compared with the float32 below a threshold go the same way.
    exact = everything["num_threshold"]
    thresholds = exact.astype(np.float32)
    thresholds = np.where(thresholds > exact, np.nextafter(thresholds, np.float32(-np.inf)), thresholds)
    return Ranker(
        float(np.ravel(model._baseline_prediction)[0]),
        roots,
        select(everything["feature_idx"], ~is_leaf, -1, np.int16),
        select(thresholds, ~is_leaf, 0, np.float32),
        select(everything["left"] + offsets, ~is_leaf, 0, np.int32),
        select(everything["right"] + offsets, ~is_leaf, 0, np.int32),
        select(everything["value"], is_leaf, 0, np.float32),
    )


def score_ranker(scenes: Sequence[Scene], mode: str, ranker: Ranker | None) -> dict[str, float]:
    """Mean best overlap of the things with the first 100, 500 and 2,000 proposals, and all; nothing without things."""
    best: list[NDArray[np.float32]] = []
    limits = (100, 500, 2000, None)
    for scene in scenes:
        partition = scene.partitions[mode]
        proposals = make_proposals(
            scene.image, partition, ranker, quotas=make_quotas(), max_proposals=MAX_PROPOSALS[mode]
        )
        if scene.things:
            fit = find_overlaps(proposals.members, partition.superpixels, scene.things, scene.void)
            best.append(np.stack([fit[:limit].max(0) for limit in limits]))
    if not best:
        return {}
    means = np.concatenate(best, axis=1).mean(1)
    return {str(limit or "all"): float(mean) for limit, mean in zip(limits, means, strict=True)}


if __name__ == "__main__":
    main()
