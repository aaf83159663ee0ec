"""Score the detections of all shards of a split against the true objects.

``ap`` computes COCO's AP of boxes and masks, and that of VOC 2007. ``corloc`` computes the share of images with a class
in which its best detection is correct. Detections must have been made without tags.

python -m pseudogt.stages.detection_scores (ap | corloc) --objects F.json.. --detections F.json.. --out F.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pseudogt.config.evaluation import EvaluationSettings
from pseudogt.files.detections import Annotation, TrueObjectsOfShard, read_detections, read_true_objects
from pseudogt.files.io import write_json
from pseudogt.metrics.detection_scores import (
    DETECTION_KEYS,
    LOCALISATION_KEYS,
    keep_best,
    score_detections,
    score_localisation,
    score_nothing,
)
from pseudogt.workflow.cli import parse_settings, run_stage


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("ap", "corloc"))
    parser.add_argument("--objects", required=True, nargs="*", type=Path, help="true objects, one file per shard")
    parser.add_argument("--detections", required=True, nargs="*", type=Path, help="of the same shards")
    parser.add_argument("--settings", default="{}", help="the config section `evaluation` as JSON")
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args(argv)
    settings = parse_settings(EvaluationSettings, arguments.settings)
    if arguments.command == "ap":
        scores = read_and_score_ap(arguments.objects, arguments.detections, settings.max_detections)
    else:
        scores = read_and_score_corloc(arguments.objects, arguments.detections)
    write_json(arguments.out, scores)


def read_and_score_ap(objects: Sequence[Path], detections: Sequence[Path], max_detections: int) -> dict[str, Any]:
    """AP of all shards."""
    if not objects:
        return score_nothing(DETECTION_KEYS)
    truth = read_all_objects(objects)
    found: dict[str, list[Annotation]] = {}
    for path in detections:
        found |= read_detections(path)
    return score_detections(truth.sizes, truth.objects, found, truth.classes, max_detections=max_detections)


def read_and_score_corloc(objects: Sequence[Path], detections: Sequence[Path]) -> dict[str, Any]:
    """CorLoc of all shards; of each, only the best detections are kept, as train may be large."""
    if not objects:
        return score_nothing(LOCALISATION_KEYS)
    truth = read_all_objects(objects)
    found: dict[str, list[Annotation]] = {}
    for path in detections:
        found |= {image_id: keep_best(each) for image_id, each in read_detections(path).items()}
    return score_localisation(truth.objects, found, truth.classes)


def read_all_objects(paths: Sequence[Path]) -> TrueObjectsOfShard:
    """True objects of several shards as one."""
    first, *others = [read_true_objects(path) for path in paths]
    for path, other in zip(paths[1:], others, strict=True):
        if other.classes != first.classes:
            raise ValueError(f"{path}: its categories differ from those of {paths[0]}; recompute both")
        first.sizes.update(other.sizes)
        first.objects.update(other.objects)
    return first


if __name__ == "__main__":
    run_stage(main)
