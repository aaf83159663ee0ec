"""Give a shard its part of provided results, in place of the stage that would compute them.

The settings name one file or folder of each kind for all images; images that are not in the shard are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pseudogt.classes import ClassTable, panoptic_to_semantic
from pseudogt.config.provided import ProvidedSettings
from pseudogt.files.io import read_json
from pseudogt.files.labels import PANOPTIC_JSON, LabelFolder, write_labels
from pseudogt.files.scores import ScoreFile, find_score_flaw, write_scores
from pseudogt.parsing.problems import shorten_list
from pseudogt.weak_labels.files import read_weak_label_file, write_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Write one file or folder of a shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--kind", choices=["weak_labels", *PROVIDERS], required=True)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--may-miss", action="store_true", help="images without weak labels have full ones")
    arguments = parser.parse_args(argv)
    settings = parse_settings(ProvidedSettings, arguments.settings)
    path = getattr(settings, arguments.kind)
    if path is None:
        raise ValueError(f"provided.{arguments.kind} is not set")
    shard = Shard.open(arguments.shard)
    if arguments.kind == "weak_labels":
        skip = settings.bad_boxes == "skip"
        provide_weak_labels(Path(path), shard, arguments.out, skip=skip, may_miss=arguments.may_miss)
    else:
        PROVIDERS[arguments.kind](Path(path), shard, arguments.out)


def provide_weak_labels(path: Path, shard: Shard, out: Path, *, skip: bool, may_miss: bool) -> None:
    """Write the shard's part of a weak-label file, whose broken records are an error or, with ``skip``, left out."""
    weak_labels, found, broken = read_weak_label_file(path)
    if broken and not skip:
        raise ValueError("\n".join([*shorten_list(broken), "correct them, or set provided.bad_boxes: skip"]))
    if broken:
        print(f"warning: {len(broken)} records are left out: {'; '.join(shorten_list(broken))}", file=sys.stderr)
    shard.check_meanings(found, path)
    shard = shard.take(weak_labels) if may_miss else shard
    shard.check_images(weak_labels, path)
    for image in shard:
        weak = weak_labels[image.image_id]
        image.check_size((weak.height, weak.width), f"its entry in {path}")
    write_weak_labels(out, [weak_labels[image.image_id] for image in shard], shard.classes)


def provide_cams(path: Path, shard: Shard, out: Path) -> None:
    """Write the shard's part of a score file."""
    scores = ScoreFile(path)
    for warning in shard.check_names(scores.class_names, path):
        print(f"warning: {warning}", file=sys.stderr)
    shard.check_images(scores.image_ids, path)
    with write_scores(out, shard.classes) as part:
        for image in shard:
            label, confidence = scores.read_label(image.image_id)
            for what, found in (("label", label), ("confidence", confidence)):
                image.check_size(found.shape, f"its {what} in {path}")
            if flaw := find_score_flaw(label, confidence, *scores.read(image.image_id), len(shard.classes)):
                raise ValueError(f"{path}: image {image.image_id!r} {flaw}")
            part.copy(scores, image.image_id)


def provide_box_masks(path: Path, shard: Shard, out: Path) -> None:
    """Write the shard's part of a folder of box masks."""
    masks, classes = LabelFolder(path), shard.classes
    categories = read_json(path / PANOPTIC_JSON)["categories"]
    own = [c for c in categories if c["id"] != classes.background_category_id]
    shard.check_meanings(ClassTable.from_categories(own), path)
    shard.check_images(masks.image_ids, path)
    with write_labels(out, classes) as labels:
        for image in shard:
            panoptic_id = masks.read(image.image_id)
            image.check_size(panoptic_id.shape, f"its mask in {path}")
            try:
                semantic = panoptic_to_semantic(panoptic_id, classes)
            except ValueError as error:
                raise ValueError(f"{path}: image {image.image_id!r}: {error}") from error
            stuff = np.intersect1d(semantic, classes.stuff_ids)
            if len(stuff):
                name = classes.names[stuff[0]]
                raise ValueError(f"{path}: the box masks of {image.image_id!r} hold the stuff class {name!r}")
            labels.add(image.image_id, panoptic_id, scores=masks.scores(image.image_id))


PROVIDERS = {"cams": provide_cams, "box_masks": provide_box_masks}


if __name__ == "__main__":
    run_stage(main)
