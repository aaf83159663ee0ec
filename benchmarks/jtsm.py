"""JTSM from tags alone: what mining learns, what each part adds, and what the rounds make of it.

    python benchmarks/jtsm.py --run streets-jtsm --json OUT [--steps]
    python benchmarks/jtsm.py --run camvid-jtsm --data DIR --json OUT
    python benchmarks/jtsm.py --run msrc-jtsm --data DIR --seeds 0 1 2 --steps --cam-segmenter --json OUT

Runs the workflow with `configs/<run>.yaml` in the current folder (a finished run is only read) and prints, on val:

* class mAP of the mined network and of the tag classifier, over all classes and over those that 20 to 80% of the images
  have, beside that of a score that is the same for all images (the prevalence);
* PQ (all, things, stuff) and mIoU of the mined network, of each round, of the same network on full labels, and
  of three baselines: the commonest stuff class everywhere; for each tag that the classifier predicts, the best
  proposals by their own score; the classifier's CAM labels with connected components as things.

On train, of mined labels and of CAM labels with connected components, both with the true tags. ``--steps`` adds
what each part adds: the mining head alone, which is trained once more, with the segments of proposals for masks and for
stuff; the refinement heads; masks of the mask branch; stuff of the semantic branch. ``--cam-segmenter`` trains the
segmenter on the CAM labels of train, too, for as many steps as all rounds have.

``--seeds`` trains every network with these seeds, one run each, and prints means and standard deviations. ``--config``
replaces settings of the config file, for instance by random weights, as the head of `configs/msrc-jtsm.yaml` says.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loop import plan_runs
from measurement import REPOSITORY, print_table, write_figures
from numpy.typing import NDArray
from snakemake.utils import update_config
from trained_points import Run as RunFiles
from trained_points import read_labels, train_and_score, write_training_set
from workflow_runs import resolve_config, run_workflow

from models.classifier.apply import CamPlan, label_by_cams, run_network, score_whole
from models.classifier.model import ClassifierModel
from models.classifier.network import resize_for_classifier
from pseudogt.classes import IGNORE_LABEL, ClassTable, combine_semantic_and_instances
from pseudogt.config.run import RunConfig
from pseudogt.files.images import read_image
from pseudogt.files.index import read_shard
from pseudogt.files.io import read_json
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import ScoreFile
from pseudogt.proposals.files import ProposalFile
from pseudogt.pseudo_labels.panoptic_merge import fill_things, merge_panoptic
from pseudogt.stages import evaluation
from pseudogt.weak_labels.files import read_weak_labels
from pseudogt.weak_labels.records import ImageWeakLabels

SCORES = ("pq", "pq_th", "pq_st", "miou")
PREVALENCE = (0.2, 0.8)
"""Classes in a smaller or larger share of the images are too rare to measure, or there anyway."""

SEGMENTS = {"masks": "segments", "stuff": "segments"}

STEPS = {
    "mil": {"mining": {"refinements": 0, "masks": False}, "mined": SEGMENTS},
    "refinement": {"mined": SEGMENTS},
    "mask_branch": {"mined": SEGMENTS | {"masks": "branch"}},
    "semantic_branch": {"mined": SEGMENTS | {"masks": "branch", "stuff": "branch"}},
}
"""Settings of the runs of ``--steps``, each with one part more. All but the first take the network of the whole run."""

BEFORE_MINING = (
    *("streets", "backbones", "ground_truth", "weak_labels", "proposals", "classifier"),
    *("index", "index.json"),
)
"""Results that a run of ``--steps`` shares with the whole one, the index last."""


Figures = dict[str, float | None]


@dataclass(frozen=True)
class Run:
    """Results of a run, and what the baselines need of it."""

    results: Path
    config: RunConfig
    classes: ClassTable
    classifier: ClassifierModel
    cams: CamPlan

    @classmethod
    def open(cls, results: Path, config: RunConfig) -> Run:
        """Read the classifier of a run."""
        classifier = ClassifierModel.load(results / "classifier" / "model.pt")
        return cls(results, config, classifier.classes, classifier, config.cams.fill(CamPlan))

    def shards(self, split: str) -> list[str]:
        """Names of the shards of a split."""
        return sorted(path.stem for path in (self.results / "index").glob(f"{split}-*.json"))


def main() -> None:
    """Run the benchmark."""
    arguments = parse_arguments()
    name = "tiny-jtsm" if arguments.quick else arguments.run
    config = REPOSITORY / ("tests/workflow" if arguments.quick else "configs") / f"{name}.yaml"
    given = {"run": name, "quick": False, "tags": None, "split_seeds": [None]}
    runs = plan_runs(argparse.Namespace(**vars(arguments) | given))
    figures = summarise_runs([measure_run(config, settings, arguments) for settings in runs])
    print_table(figures)
    write_figures(arguments.json, figures)


def parse_arguments(command: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="streets-jtsm", help="name of a file in configs/")
    parser.add_argument("--data", type=Path, help="the dataset's folder, for all but streets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[None], help="seeds of all trainings, one run each")
    parser.add_argument("--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="more settings")
    parser.add_argument("--steps", action="store_true", help="also what each part adds; one more mining")
    parser.add_argument("--cam-segmenter", action="store_true", help="also the segmenter on CAM labels")
    parser.add_argument("--quick", action="store_true", help="the tiny chain of the tests; shows that it runs")
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args(command)


def measure_run(config: Path, settings: dict[str, Any], arguments: argparse.Namespace) -> Figures:
    """Run the workflow with settings over a config file, and measure it beside the baselines."""
    results = Path("results", settings["name"])
    summary, cams = (results / "evaluation" / f"{subject}.json" for subject in ("summary", "cams"))
    run_workflow([config], settings, [summary, cams])
    run = Run.open(results, resolve_config([config], settings))
    figures = collect_class_figures(results) | collect_run_figures(results)
    for baseline, predict in make_baselines(run).items():
        figures |= score_baseline(run, baseline, predict)
    figures |= score_train_components(run)
    if arguments.cam_segmenter:
        figures |= train_on_components(run)
    if arguments.steps:
        for step in STEPS:
            figures |= run_step(config, settings, step)
    return figures


def summarise_runs(runs: Sequence[Figures]) -> Figures:
    """Mean of each figure over the runs and, from two runs on, its standard deviation."""
    figures: Figures = {"runs": float(len(runs))}
    for name in runs[0]:
        values = [value for run in runs if (value := run[name]) is not None]
        figures[name] = statistics.mean(values) if values else None
        if len(values) > 1:
            figures[f"{name}_stdev"] = statistics.stdev(values)
    return figures


def collect_class_figures(results: Path) -> Figures:
    """Class mAP of the mined network and of the tag classifier, over all classes and over those of medium prevalence.

    Beside the latter that of a constant score: the prevalence itself.
    """
    weak, classes = read_weak_labels(sorted((results / "weak_labels").glob("val-*.json")))
    share = np.mean([image.tags for image in weak.values()], axis=0)
    medium = [i for i in range(len(classes)) if PREVALENCE[0] <= share[i] <= PREVALENCE[1]]
    figures: Figures = {"classes": float(len(medium))}
    if medium:
        figures["class_map_prevalence"] = float(np.mean(share[medium]))
    for stage, suffix in (("mining", ""), ("classifier", "_classifier")):
        measured = read_json(results / stage / "record.json")["val"]
        figures[f"class_map_all{suffix}"] = measured["map"]
        if medium:
            figures[f"class_map{suffix}"] = float(np.mean([measured["ap"][classes.names[i]] for i in medium]))
    return figures


def collect_run_figures(results: Path) -> Figures:
    """Scores of mining, of each round and of the reference on val, of the mined labels on train, and times."""
    summary = read_json(results / "evaluation" / "summary.json")
    subjects = {"mining": summary["stages"]["mining"], "mined_train": summary["stages"]["mined"]}
    subjects |= {f"round_{r['round']}": r["model"]["val"] for r in summary["rounds"]}
    subjects["reference"] = summary["reference"]["val"]
    figures = {f"{score}_{name}": scores[score] for name, scores in subjects.items() for score in SCORES}
    figures |= {f"{score}_ratio": summary["ratio"][score] for score in SCORES}
    for stage in ("proposals", "classifier", "mining", "mined", "segmenter"):
        figures[f"seconds_{stage}"] = summary["seconds"].get(stage)
    return figures


Predict = Callable[[str], Iterable[tuple[str, NDArray[np.int32]]]]
"""From a shard to its image ids and panoptic ids ``(H, W) int32``."""


def make_baselines(run: Run) -> dict[str, Predict]:
    """The baselines by name."""
    return {
        "baseline_background": lambda shard: predict_background(run, shard),
        "baseline_proposals": lambda shard: predict_proposals(run, shard),
        "baseline_components": lambda shard: predict_components(run, shard),
    }


def score_baseline(run: Run, name: str, predict: Predict, split: str = "val") -> Figures:
    """Write a baseline's labels and score them."""
    folders = []
    for shard in run.shards(split):
        folders.append(run.results / "baselines" / name / shard)
        with write_labels(folders[-1], run.classes) as writer:
            for image_id, panoptic_id in predict(shard):
                writer.add(image_id, panoptic_id)
    out = run.results / "evaluation" / f"{name}.json"
    truth = [str(run.results / "ground_truth" / shard) for shard in run.shards(split)]
    files = ["--ground-truth", *truth, "--labels", *map(str, folders), "--out", str(out)]
    evaluation.main(["score", "--subject", name, *files])
    scores = read_json(out)
    return {f"{score}_{name}": scores[score] for score in SCORES}


def predict_background(run: Run, shard: str) -> Iterable[tuple[str, NDArray[np.int32]]]:
    """The stuff class that most training images have, everywhere."""
    weak, _ = read_weak_labels(sorted((run.results / "weak_labels").glob("train-*.json")))
    counts = np.sum([image.tags for image in weak.values()], axis=0)
    counts[run.classes.thing_ids] = -1
    panoptic_id = int(run.classes.category_ids[int(counts.argmax())]) * 1000
    for record in read_shard(run.results / "index" / f"{shard}.json")[0]:
        yield record.image_id, np.full((record.height, record.width), panoptic_id, np.int32)


def predict_tags(run: Run, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores ``(C,)`` of the classifier for the tags of an image; those above 0 are predicted."""
    model = run.classifier
    scaled = resize_for_classifier(image, model.scale)[None]
    logits = torch.from_numpy(run_network(scaled, torch.ones(1, len(run.classes), dtype=torch.bool), model, run.cams))
    return score_whole(logits, model.sharpness)[0].numpy()


def predict_proposals(run: Run, shard: str) -> Iterable[tuple[str, NDArray[np.int32]]]:
    """The best proposals by their own score, one for each predicted tag, the surest tag first."""
    proposals = ProposalFile(run.results / "proposals" / f"{shard}.h5")
    for record in read_shard(run.results / "index" / f"{shard}.json")[0]:
        found = proposals.read(record.image_id)
        scores = predict_tags(run, read_image(record.image))
        tags = [t for t in np.argsort(-scores) if scores[t] > 0]
        best = np.argsort(-found.scores, kind="stable")[: len(tags)]
        chosen = list(zip(tags, best, strict=False))
        things = [(t, r) for t, r in chosen if run.classes.isthing[t]]
        semantic = np.full(found.superpixels.shape, IGNORE_LABEL, np.uint8)
        for train_id, row in reversed(chosen):
            semantic[found.mask(row)] = train_id
        masks = np.array([found.mask(r) for _, r in things]).reshape(-1, *semantic.shape)
        merged = merge_panoptic(
            masks, np.ones(len(things)), [t for t, _ in things], semantic, run.classes, min_stuff_area_px=0
        )
        yield record.image_id, merged.panoptic_id


def predict_components(run: Run, shard: str) -> Iterable[tuple[str, NDArray[np.int32]]]:
    """CAM labels among the predicted tags; connected parts of a thing class are its instances."""
    for record in read_shard(run.results / "index" / f"{shard}.json")[0]:
        image = read_image(record.image)
        scores = predict_tags(run, image)
        tags = (scores > 0) | (scores == scores.max())
        weak = without_crops(record.image_id, (record.height, record.width), tags)
        label = label_by_cams(image, weak, run.classifier, run.cams).label
        yield record.image_id, find_components(label, run.classes)


def without_crops(image_id: str, size: tuple[int, int], tags: NDArray[np.bool_]) -> ImageWeakLabels:
    """Weak labels that are tags of an image, and nothing else."""
    none = np.zeros((0, 4), np.int32)
    no_class = np.zeros(0, np.uint8)
    return ImageWeakLabels(
        image_id, *size, none, no_class, no_class.astype(bool), tags, none, np.zeros((0, len(tags)), bool)
    )


def find_components(label: NDArray[np.uint8], classes: ClassTable) -> NDArray[np.int32]:
    """Panoptic ids of a label ``(H, W) uint8``, connected parts of things as instances."""
    panoptic_id = combine_semantic_and_instances(label, np.zeros(label.shape, np.int32), classes)
    fill_things(panoptic_id, label, classes, with_instances=True)
    return panoptic_id


def score_train_components(run: Run) -> Figures:
    """CAM labels of train, made with the true tags, with connected components."""

    def read(shard: str) -> Iterable[tuple[str, NDArray[np.int32]]]:
        scores = ScoreFile(run.results / "cams" / f"{shard}.h5")
        for image_id in scores.image_ids:
            yield image_id, find_components(scores.read_label(image_id)[0], run.classes)

    return score_baseline(run, "components_train", read, "train")


def train_on_components(run: Run) -> Figures:
    """The segmenter on the labels of :func:`score_train_components`, for as many steps as all rounds have together."""
    folder = run.results / "baselines" / "segmenter_on_cams"
    if not (folder / "scores.json").is_file():
        files, segmenter = RunFiles(run.results), run.config.segmenter.model_dump(mode="json")
        labels = read_labels(files, "baselines/components_train")
        folder.mkdir(parents=True, exist_ok=True)
        options = write_training_set(files, labels, list(labels), folder)
        segmenter["steps"] *= run.config.rounds.max
        train_and_score(files, options, segmenter, folder, run.config)
    scores = read_json(folder / "scores.json")
    return {f"{score}_segmenter_on_cams": scores[score] for score in SCORES}


def run_step(config: Path, settings: Mapping[str, Any], step: str) -> Figures:
    """Score a step on val; what does not depend on its settings is that of the whole run."""
    own: dict[str, Any] = copy.deepcopy(dict(settings))
    update_config(own, {"name": f"{settings['name']}-{step}", **STEPS[step]})
    shared = BEFORE_MINING if "mining" in STEPS[step] else (*BEFORE_MINING, "mining")
    for stage in shared:
        source, copied = (Path("results", each["name"], stage) for each in (settings, own))
        if source.is_dir() and not copied.exists():
            shutil.copytree(source, copied, copy_function=os.link)
        elif source.is_file() and not copied.exists():
            copied.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, copied)
    scored = Path("results", own["name"], "evaluation", "mining.json")
    run_workflow([config], own, [scored])
    scores = read_json(scored)
    return {f"{score}_step_{step}": scores[score] for score in SCORES}


if __name__ == "__main__":
    main()
