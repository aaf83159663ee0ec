"""Score labels or predictions against the ground truth, or put all scores together.

    --subject NAME --ground-truth DIR.. (--labels DIR.. [--things-only | --scored] | --cams X.h5..) --out F.json
    --summary --dataset NAME --supervision TEXT --label-scores F.. --model-scores F.. ... --out summary.json

``--labels`` takes COCO panoptic folders. With ``--scored`` they are a model's predictions: AP is
computed from the scores of their segments, coverage and precision are not. With ``--things-only``
they are box masks: what they call background counts as unlabelled and stuff is not scored.
``--cams`` takes score files, whose labels have no instances: of PQ only that of stuff is computed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.classes import BACKGROUND, INSTANCE_DIVISOR, ClassTable
from pseudogt.config.evaluation import EvaluationSettings
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import PANOPTIC_JSON, LabelFolder, read_label_folders
from pseudogt.files.scores import ScoreFile, read_score_files
from pseudogt.metrics.average_precision import ImageThings, compute_average_precision, describe_things
from pseudogt.metrics.panoptic_quality import SCORE_KEYS, Counts, count_image, summarise
from pseudogt.metrics.summary import build_summary, sum_seconds
from pseudogt.workflow.cli import parse_settings, run_stage

NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Kind:
    """What a scored subject is and so which scores apply to it."""

    has_instances: bool
    has_stuff: bool
    is_prediction: bool


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    argv = sys.argv[1:] if argv is None else argv
    if "--summary" in argv:
        summarise_run(_parse_summary(argv))
    else:
        evaluate(_parse_evaluation(argv))


def _parse_evaluation(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", required=True, help="what is scored; written into the result")
    parser.add_argument("--ground-truth", required=True, nargs="*", type=Path, metavar="DIR")
    scored = parser.add_mutually_exclusive_group(required=True)
    scored.add_argument("--labels", nargs="*", type=Path, metavar="DIR", help="label folders or predictions")
    scored.add_argument("--cams", nargs="*", type=Path, metavar="X.h5", help="score files with labels")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--scored", action="store_true", help="the labels are a model's predictions")
    kind.add_argument("--things-only", action="store_true", help="the labels are box masks")
    parser.add_argument("--threads", type=int, default=1, help="images read and counted at the same time")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--settings", default="{}", help="the config section `evaluation` as JSON")
    arguments = parser.parse_args(argv)
    if arguments.cams is not None and (arguments.scored or arguments.things_only):
        parser.error("--scored and --things-only go with --labels")
    return arguments


def _parse_summary(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put the scores of a run together.")
    parser.add_argument("--summary", required=True, action="store_true")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--supervision", required=True, help="parts joined by +, for example crop_tags+boxes")
    parser.add_argument("--label-scores", nargs="*", default=[], type=Path, help="labels on train, one per round")
    parser.add_argument("--model-scores", nargs="*", default=[], type=Path, help="model on val, one per round")
    parser.add_argument("--records", nargs="*", type=Path, help="the segmenter's record.json, one per round")
    parser.add_argument("--stage-scores", nargs="*", default=[], type=Path, help="earlier stages, named by subject")
    parser.add_argument("--reference-scores", type=Path, help="the model trained on full labels, on val")
    parser.add_argument("--benchmarks", type=Path, help="folder of <stage>.tsv or <stage>/*.tsv by Snakemake")
    parser.add_argument("--out", required=True, type=Path)
    return parser.parse_args(argv)


def evaluate(arguments: argparse.Namespace) -> None:
    """Score one subject and write the result."""
    settings = parse_settings(EvaluationSettings, arguments.settings)
    kind = Kind(
        has_instances=arguments.cams is None,
        has_stuff=not arguments.things_only,
        is_prediction=arguments.scored,
    )
    truth = read_label_folders(arguments.ground_truth)
    subject: dict[str, Any] = (
        read_label_folders(arguments.labels) if arguments.cams is None else dict(read_score_files(arguments.cams))
    )
    _check_same_images(truth, subject, arguments.subject)
    classes = _read_class_table(arguments.ground_truth)
    result: dict[str, Any] = {"subject": arguments.subject}
    if classes is None:
        print(f"{arguments.subject}: no ground truth was given, so nothing is scored", file=sys.stderr)
        result |= dict.fromkeys(SCORE_KEYS) | {"per_class": {}, "images": 0, "categories": [], "per_image": {}}
    else:
        result |= _score_images(truth, subject, classes, kind, arguments.threads, settings)
    if not truth:
        result["note"] = "There are no images to score; every score is null."
    write_json(arguments.out, result)


def _check_same_images(truth: dict[str, LabelFolder], subject: dict[str, Any], name: str) -> None:
    for present, absent, where in ((truth, subject, name), (subject, truth, "the ground truth")):
        missing = [image_id for image_id in present if image_id not in absent]
        if missing:
            named = ", ".join(missing[:NAMED_AT_MOST]) + (", ..." if len(missing) > NAMED_AT_MOST else "")
            raise ValueError(f"{len(missing)} images are missing in {where}: {named}; give both the same shards")


def _read_class_table(folders: Sequence[Path]) -> ClassTable | None:
    classes: ClassTable | None = None
    for folder in folders:
        found = ClassTable.from_categories(read_json(folder / PANOPTIC_JSON)["categories"])
        if classes is not None and found != classes:
            raise ValueError(f"{folder / PANOPTIC_JSON}: its categories differ from those of {folders[0]}")
        classes = found
    return classes


def _score_images(
    truth: dict[str, LabelFolder],
    subject: dict[str, Any],
    classes: ClassTable,
    kind: Kind,
    threads: int,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    score = partial(_score_image, truth=truth, subject=subject, classes=classes, kind=kind)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        scored = list(tqdm(pool.map(score, truth), total=len(truth), desc="evaluation", unit="image"))

    def choose(counts: Counts) -> dict[str, Any]:
        return summarise(counts, classes, **vars(kind))

    result = choose(sum((counts for counts, _ in scored), Counts.zeros(len(classes))))
    if kind.is_prediction:
        things = [found for _, found in scored if found is not None]
        _add_average_precision(result, things, classes, settings.max_detections)
    result["categories"] = classes.to_categories()
    result["per_image"] = {
        image_id: _drop_class_scores(choose(counts)) for image_id, (counts, _) in zip(truth, scored, strict=True)
    }
    return result


def _score_image(
    image_id: str, *, truth: dict[str, LabelFolder], subject: dict[str, Any], classes: ClassTable, kind: Kind
) -> tuple[Counts, ImageThings | None]:
    source = subject[image_id]
    try:
        true_id = _read_truth(truth[image_id], image_id)
        labelled_id = _read_subject(source, image_id, classes)
        if kind.has_stuff and (labelled_id // INSTANCE_DIVISOR == classes.background_category_id).any():
            raise ValueError("the label holds the background category, as box masks do; give --things-only")
        counts = count_image(true_id, labelled_id, classes)
        if not kind.is_prediction:
            return counts, None
        scores = {s["id"]: s["score"] for s in source.segments(image_id) if "score" in s}
        return counts, describe_things(true_id, labelled_id, scores, classes)
    except ValueError as error:
        place = source.path if isinstance(source, ScoreFile) else source.folder
        raise ValueError(f"image {image_id!r} in {place}: {error}") from error


def _read_truth(folder: LabelFolder, image_id: str) -> NDArray[np.int32]:
    wrong = [s["id"] for s in folder.segments(image_id) if s["iscrowd"] and s["id"] % INSTANCE_DIVISOR]
    if wrong:
        raise ValueError(f"the ground truth marks {wrong} as crowds; a crowd's id is category_id * {INSTANCE_DIVISOR}")
    return folder.read(image_id)


def _read_subject(source: LabelFolder | ScoreFile, image_id: str, classes: ClassTable) -> NDArray[np.int32]:
    """Panoptic ids ``(H, W) int32``; labels of a score file get k = 0."""
    if isinstance(source, LabelFolder):
        return source.read(image_id)
    label, _ = source.read_label(image_id)
    outside = np.unique(label[(label >= len(classes)) & (label < BACKGROUND)])
    if len(outside):
        raise ValueError(f"train ids {outside.tolist()}, but the class table has {len(classes)} classes")
    return classes.train_to_category[label] * np.int32(INSTANCE_DIVISOR)


def _add_average_precision(
    result: dict[str, Any], things: list[ImageThings], classes: ClassTable, max_detections: int
) -> None:
    found = compute_average_precision(things, classes, max_detections=max_detections)
    rows = [result, *result["per_class"].values()]
    for row, ap, ap50 in zip(rows, [found.ap, *found.per_class_ap], [found.ap50, *found.per_class_ap50], strict=True):
        row["ap"] = None if np.isnan(ap) else float(ap)
        row["ap50"] = None if np.isnan(ap50) else float(ap50)


def _drop_class_scores(scores: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in scores.items() if k in ("pq", "pq_th", "pq_st", "miou", "coverage", "precision")}


def summarise_run(arguments: argparse.Namespace) -> None:
    """Write ``summary.json`` from the results of the other mode."""
    records = arguments.records
    summary = build_summary(
        dataset=arguments.dataset,
        supervision=arguments.supervision,
        label_scores=[read_json(path) for path in arguments.label_scores],
        model_scores=[read_json(path) for path in arguments.model_scores],
        linked=[False] * len(arguments.model_scores) if records is None else [_is_linked(path) for path in records],
        stage_scores={scores["subject"]: scores for scores in map(read_json, arguments.stage_scores)},
        reference_scores=read_json(arguments.reference_scores) if arguments.reference_scores else None,
        seconds=sum_seconds(arguments.benchmarks) if arguments.benchmarks else {},
    )
    write_json(arguments.out, summary)


def _is_linked(record: Path) -> bool:
    """Whether a round was not trained but linked to the one before."""
    return bool(read_json(record).get("linked", False))


if __name__ == "__main__":
    run_stage(main)
