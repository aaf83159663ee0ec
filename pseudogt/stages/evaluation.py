"""Score labels or predictions against the ground truth, or collect all scores of a run.

``score`` takes the label folders or score files of one subject. With ``--scored`` they are a model's predictions: AP is
computed from the scores of their segments, coverage and precision are not. With ``--things-only`` they are box masks:
background counts as unlabelled, and stuff is not scored. ``--first-scores`` takes score files, whose
labels have no instances: of PQ only that of stuff is computed. ``summary`` writes the public result of a run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.classes import BACKGROUND, INSTANCE_DIVISOR, ClassTable
from pseudogt.config.evaluation import EvaluationSettings
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import PANOPTIC_JSON, LabelFolder, read_label_folders
from pseudogt.files.scores import ScoreFile, read_score_files
from pseudogt.metrics.subjects import (
    Kind,
    ScoredImage,
    check_same_images,
    score_image,
    summarise_images,
    summarise_nothing,
)
from pseudogt.metrics.summary import build_summary, sum_seconds
from pseudogt.workflow.cli import parse_settings, run_stage


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    score = commands.add_parser("score", help="score one subject")
    score.add_argument("--subject", required=True, help="what is scored; written into the result")
    score.add_argument("--ground-truth", required=True, nargs="*", type=Path, metavar="DIR")
    files = score.add_mutually_exclusive_group(required=True)
    files.add_argument("--labels", nargs="*", type=Path, metavar="DIR", help="label folders or predictions")
    files.add_argument("--first-scores", nargs="*", type=Path, metavar="X.h5", help="score files with labels")
    kind = score.add_mutually_exclusive_group()
    kind.add_argument("--scored", action="store_true", help="the labels are a model's predictions")
    kind.add_argument("--things-only", action="store_true", help="the labels are box masks")
    score.add_argument("--threads", type=int, default=1, help="images read and counted at the same time")
    score.add_argument("--settings", default="{}", help="the config section `evaluation` as JSON")
    score.set_defaults(run=score_subject)
    summary = commands.add_parser("summary", help="put the scores of a run together")
    summary.add_argument("--dataset", required=True)
    summary.add_argument("--supervision", required=True, help="parts joined by +, for example crop_tags+boxes")
    summary.add_argument("--label-scores", nargs="*", default=[], type=Path, help="labels on train, one per round")
    summary.add_argument("--model-scores", nargs="*", default=[], type=Path, help="model on val, one per round")
    summary.add_argument("--records", nargs="*", type=Path, help="the segmenter's record.json, one per round")
    summary.add_argument("--stage-scores", nargs="*", default=[], type=Path, help="earlier stages, named by subject")
    summary.add_argument("--reference-scores", type=Path, help="the model trained on full labels, on val")
    summary.add_argument("--detection-scores", nargs="*", default=[], type=Path, help="AP on val, CorLoc on train")
    summary.add_argument("--benchmarks", type=Path, help="folder of <stage>.tsv or <stage>/*.tsv by Snakemake")
    summary.set_defaults(run=write_summary)
    for command in (score, summary):
        command.add_argument("--out", required=True, type=Path)
    arguments = vars(parser.parse_args(argv))
    arguments.pop("run")(**arguments)


def score_subject(
    subject: str,
    ground_truth: Sequence[Path],
    labels: Sequence[Path] | None,
    first_scores: Sequence[Path] | None,
    scored: bool,
    things_only: bool,
    threads: int,
    settings: str,
    out: Path,
) -> None:
    """Score one subject and write the result."""
    if first_scores is not None and (scored or things_only):
        raise ValueError("--scored and --things-only go with --labels")
    section = parse_settings(EvaluationSettings, settings)
    kind = Kind(has_instances=first_scores is None, has_stuff=not things_only, is_prediction=scored)
    truth = read_label_folders(ground_truth)
    sources: Mapping[str, LabelFolder | ScoreFile] = (
        read_label_folders(labels or []) if first_scores is None else dict(read_score_files(first_scores))
    )
    check_same_images(truth, sources, subject)
    classes = read_class_table(ground_truth)

    def score(image_id: str) -> ScoredImage:
        assert classes is not None
        return read_and_score(image_id, truth[image_id], sources[image_id], classes, kind, section.ap_ignores_void)

    if classes is None:
        print(f"{subject}: no ground truth was given, so nothing is scored", file=sys.stderr)
        scores = summarise_nothing()
    else:
        with ThreadPoolExecutor(max(1, threads)) as pool:
            found = list(tqdm(pool.map(score, truth), total=len(truth), desc="evaluation", unit="image"))
        images = dict(zip(truth, found, strict=True))
        scores = summarise_images(images, classes, kind, max_detections=section.max_detections)
    note = {} if truth else {"note": "There are no images to score; every score is null."}
    write_json(out, {"subject": subject, **scores, **note})


def read_class_table(folders: Sequence[Path]) -> ClassTable | None:
    """Read the common class table of label folders; None without any."""
    classes: ClassTable | None = None
    for folder in folders:
        found = ClassTable.from_categories(read_json(folder / PANOPTIC_JSON)["categories"])
        if classes is not None and found != classes:
            raise ValueError(f"{folder / PANOPTIC_JSON}: its categories differ from those of {folders[0]}")
        classes = found
    return classes


def read_and_score(
    image_id: str,
    truth: LabelFolder,
    source: LabelFolder | ScoreFile,
    classes: ClassTable,
    kind: Kind,
    ap_ignores_void: bool,
) -> ScoredImage:
    """Read and compare one image; an error names the image and where it lies."""
    try:
        true_id = read_truth(truth, image_id)
        labelled_id = read_labelled(source, image_id, classes)
        scores = source.scores(image_id) if kind.is_prediction and isinstance(source, LabelFolder) else {}
        return score_image(true_id, labelled_id, scores, classes, kind, ap_ignores_void=ap_ignores_void)
    except ValueError as error:
        raise ValueError(f"image {image_id!r} in {source.path}: {error}") from error


def read_truth(folder: LabelFolder, image_id: str) -> NDArray[np.int32]:
    """Read the panoptic ids ``(H, W) int32`` of the ground truth."""
    wrong = [s["id"] for s in folder.segments(image_id) if s["iscrowd"] and s["id"] % INSTANCE_DIVISOR]
    if wrong:
        raise ValueError(f"the ground truth marks {wrong} as crowds; a crowd's id is category_id * {INSTANCE_DIVISOR}")
    return folder.read(image_id)


def read_labelled(source: LabelFolder | ScoreFile, image_id: str, classes: ClassTable) -> NDArray[np.int32]:
    """Read the panoptic ids ``(H, W) int32`` of what is scored; labels of a score file get k = 0."""
    if isinstance(source, LabelFolder):
        return source.read(image_id)
    label, _ = source.read_label(image_id)
    outside = np.unique(label[(label >= len(classes)) & (label < BACKGROUND)])
    if len(outside):
        raise ValueError(f"train ids {outside.tolist()}, but the class table has {len(classes)} classes")
    return classes.train_to_category[label] * np.int32(INSTANCE_DIVISOR)


def write_summary(
    *,
    dataset: str,
    supervision: str,
    label_scores: Sequence[Path],
    model_scores: Sequence[Path],
    records: Sequence[Path] | None,
    stage_scores: Sequence[Path],
    reference_scores: Path | None,
    detection_scores: Sequence[Path],
    benchmarks: Path | None,
    out: Path,
) -> None:
    """Write ``summary.json`` from the results of ``score``; ``records`` name the rounds that were linked."""
    linked = [bool(read_json(path).get("linked", False)) for path in records or []]
    summary = build_summary(
        dataset=dataset,
        supervision=supervision,
        label_scores=[read_json(path) for path in label_scores],
        model_scores=[read_json(path) for path in model_scores],
        linked=[False] * len(model_scores) if records is None else linked,
        stage_scores={scores["subject"]: scores for scores in map(read_json, stage_scores)},
        reference_scores=read_json(reference_scores) if reference_scores else None,
        detection_scores={scores["measure"]: scores for scores in map(read_json, detection_scores)},
        seconds=sum_seconds(benchmarks) if benchmarks else {},
    )
    write_json(out, summary)


if __name__ == "__main__":
    run_stage(main)
