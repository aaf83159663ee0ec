"""Score the detections of all shards of a split against the true objects.

``ap`` computes COCO's AP of boxes and masks, and that of VOC 2007. ``corloc`` computes the share of images with a class
in which its best detection is correct. Detections must have been made without tags.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pseudogt.config.evaluation import EvaluationSettings
from pseudogt.files.detections import TrueObjectsOfShard, read_detections, read_true_objects
from pseudogt.files.io import write_json
from pseudogt.metrics.detection_scores import (
    MEASURE_KEYS,
    keep_best,
    score_detections,
    score_localisation,
    score_nothing,
)
from pseudogt.workflow.cli import parse_settings, run_stage


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=tuple(MEASURE_KEYS))
    parser.add_argument("--objects", nargs="*", default=[], type=Path, help="true objects, one file per shard")
    parser.add_argument("--detections", nargs="*", default=[], type=Path, help="of the same shards")
    parser.add_argument("--settings", default="{}", help="the config section `evaluation` as JSON")
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args(argv)
    settings = parse_settings(EvaluationSettings, arguments.settings)
    scores = read_and_measure(arguments.command, arguments.objects, arguments.detections, settings.max_detections)
    write_json(arguments.out, {"measure": arguments.command, **scores})


def read_and_measure(
    measure: str, objects: Sequence[Path], detections: Sequence[Path], max_detections: int
) -> dict[str, Any]:
    """Scores of the detections of all shards by one of ``MEASURE_KEYS``."""
    if not objects:
        return score_nothing(MEASURE_KEYS[measure])
    truth = read_all_objects(objects)
    # CorLoc asks for the best of each image alone, and train may be large.
    keep = keep_best if measure == "corloc" else list
    found = {image_id: keep(each) for path in detections for image_id, each in read_detections(path).items()}
    if measure == "corloc":
        return score_localisation(truth.objects, found, truth.classes)
    return score_detections(truth.sizes, truth.objects, found, truth.classes, max_detections=max_detections)


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
