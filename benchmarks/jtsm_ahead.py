"""Which of the boxes that mining asks GrabCut for are among the first proposals of an image, by several orders.

    python benchmarks/jtsm_ahead.py --run results/NAME --json OUT

``--run`` is a run of the workflow with method jtsm and `mining.init: classifier`. Its mined network is given every
training image in ``--views`` random views, as in training, and the boxes are listed that a step would ask evidence for.
``things_ORDER_N`` is the share of those of the mask branch that are among the first N proposals, ``stuff_ORDER_N`` that
of the best proposals of stuff. Orders: ``file``, by the proposals' own score; ``size``, by this score times the square
root of the box's area; ``overlap``, by overlap with the classifier's maps, as the target `evidence` ranks them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from measurement import print_table, write_figures
from numpy.typing import NDArray
from trained_points import Run

from models.classifier.model import ClassifierModel
from models.jtsm.evidence import rank_by_classifier
from models.jtsm.model import JtsmModel
from models.jtsm.samples import MiningAugmentation, MiningImage, collate, draw_view
from models.jtsm.step import Evidence, MiningStep
from models.jtsm.training import prepare_mining_sample
from pseudogt.config.mining import MiningSettings
from pseudogt.evidence.grabcut import BoxMask, take_segment
from pseudogt.proposals.files import read_proposal_files
from pseudogt.workflow.stage import Shard

FIRST = (10, 20, 50)


class Recorder:
    """Gives the segments of proposals as evidence, and keeps which were asked for."""

    def __init__(self) -> None:
        self.sample: MiningImage | None = None
        self.rows: list[int] = []

    def __call__(self, keys: Sequence[tuple[int, int]]) -> list[BoxMask]:
        """Masks of (number of an image, row of a proposal)."""
        assert self.sample is not None
        rows = [row for _, row in keys]
        self.rows += rows
        sample = self.sample
        return [take_segment(sample.superpixels, sample.members, row, sample.boxes_xyxy[row]) for row in rows]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="results of a run")
    parser.add_argument("--views", type=int, default=1, help="views of each image")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    parser.add_argument("--top-k", type=int, help="mining.top_k; default: that of the run")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    figures = measure_orders(Run(arguments.run), arguments.every, arguments.views, arguments.top_k)
    print_table(figures)
    write_figures(arguments.json, figures)


def measure_orders(run: Run, every: int, views: int, top_k: int | None) -> dict[str, float | None]:
    """Shares of the boxes asked for by name, see the head of this file, and their number by kind."""
    model = JtsmModel.load(run.folder / "mining" / "model.pt")
    classifier = ClassifierModel.load(run.folder / "classifier" / "model.pt")
    settings = MiningSettings.model_validate(model.settings)
    things, stuff, rng = Recorder(), Recorder(), np.random.default_rng(0)
    evidence = Evidence(find_masks=things, find_stuff=stuff)
    step = MiningStep(model.network, evidence, top_k=top_k or settings.top_k, mask_limit=settings.mask_limit)
    augmentation, multiple = settings.fill(MiningAugmentation), model.network.backbone.multiple
    found: Counter[str] = Counter()
    for sample in read_samples(run, every):
        orders = rank(sample, classifier)
        for recorder in (things, stuff):
            recorder.sample, recorder.rows = sample, []
        for _ in range(views):
            view = draw_view(sample, augmentation, model.max_proposals, rng)
            with torch.no_grad():
                step(collate([sample], [0], [view], multiple))
        for kind, recorder in (("things", things), ("stuff", stuff)):
            asked = set(recorder.rows)
            found[kind] += len(asked)
            for name, order in orders.items():
                for first in FIRST:
                    found[f"{kind}_{name}_{first}"] += len(asked & set(order[:first].tolist()))
    shares = {name: count / max(found[name.split("_")[0]], 1) for name, count in found.items() if "_" in name}
    return {"asked_things": float(found["things"]), "asked_stuff": float(found["stuff"]), **shares}


def rank(sample: MiningImage, classifier: ClassifierModel) -> dict[str, NDArray[np.int64]]:
    """Proposals in each order."""
    sides = (sample.boxes_xyxy[:, 2:] - sample.boxes_xyxy[:, :2]).astype(float)
    sized = sample.scores * np.sqrt(sides.prod(1))
    return {
        "file": np.arange(len(sized)),
        "size": np.argsort(-sized, kind="stable"),
        "overlap": rank_by_classifier(sample, classifier, stuff=True),
        "overlap-things": rank_by_classifier(sample, classifier, stuff=False),
    }


def read_samples(run: Run, every: int) -> Iterator[MiningImage]:
    """Every n-th training image with its proposals."""
    weak_labels = run.list_files("weak_labels", "train", ".json")
    shard = Shard.open(run.list_files("index", "train", ".json"), weak_labels=weak_labels)
    files = read_proposal_files(run.list_files("proposals", "train", ".h5"))
    for number in range(0, len(shard), every):
        image = shard[number]
        proposals = files[image.image_id].read(image.image_id)
        yield prepare_mining_sample(image.read(), proposals, image.weak, None, shard.classes, name=image.image_id)


if __name__ == "__main__":
    main()
