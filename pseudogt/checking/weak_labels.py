"""Check the weak labels of a dataset: those that were given, and what the classifier can learn from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pseudogt.annotations import convert_annotations
from pseudogt.annotations.masks import read_masks
from pseudogt.checking.counts import count_weak_labels
from pseudogt.checking.findings import DatasetFindings
from pseudogt.checking.images import ImageFindings
from pseudogt.checking.labelling import describe_labelling
from pseudogt.classes import ClassTable
from pseudogt.config.run import RunConfig
from pseudogt.files.scores import ScoreFile
from pseudogt.parsing.problems import shorten_list
from pseudogt.weak_labels.acts import count_acts, find_kinds
from pseudogt.weak_labels.files import read_weak_label_file
from pseudogt.weak_labels.gaps import describe_nothing, describe_unlocated, find_gaps
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.weak_labels.windows import Windows, find_unlearned
from pseudogt.workflow.stage import Shard


def check_weak_labels(
    config: RunConfig,
    data_root: Path,
    checked: Sequence[ImageFindings],
    classes: ClassTable,
    findings: DatasetFindings,
) -> None:
    """Read and count the boxes and tags that were given, if any, and find what the classifier would not learn from."""
    records = [image.record for image in checked if image.split == "train" and image.record is not None]
    train = Shard("train", data_root, records, classes)
    images: Sequence[ImageWeakLabels] = []
    try:
        if config.annotations.given:
            images = _read_annotated(config, data_root, train, findings)
            if config.full_labels.polygons:
                _check_masks(config, data_root, train, findings)
        elif config.provided.weak_labels:
            images = _read_provided(config, train, findings)
            findings.add_problems(describe_nothing(images))
        if config.provided.cams and Path(config.provided.cams).is_file():
            scores = ScoreFile(config.provided.cams)
            findings.warnings += train.check_names(scores.class_names, scores.path)
            train.check_images(scores.image_ids, scores.path)
    except ValueError as error:
        findings.add_problems([str(error)])
    if images:
        findings.classes = count_weak_labels(images, classes)
        findings.add_problems(describe_unlocated(images, classes) if config.needs_located_things else [])
        findings.warnings += find_gaps(images, classes)
        acts = sum((count_acts(image) for image in images), Counter())
        findings.labelling = describe_labelling(acts, find_kinds(images, classes), len(images))
    learned = images or [image.derived for image in checked if image.derived is not None]
    if learned and "classifier" in config.list_trainings():
        unlearned = find_unlearned(learned, classes, config.classifier.fill(Windows))
        findings.add_problems(unlearned.problems)
        findings.warnings += unlearned.warnings


def _read_annotated(
    config: RunConfig, data_root: Path, train: Shard, findings: DatasetFindings
) -> list[ImageWeakLabels]:
    """Weak labels of the training images from annotations."""
    converted = convert_annotations(config.annotations, data_root, train.records, train.classes)
    findings.add_problems(converted.problems)
    findings.warnings += converted.warnings
    return converted.images


def _check_masks(config: RunConfig, data_root: Path, train: Shard, findings: DatasetFindings) -> None:
    """Report for how many images polygons and masks are used; it is a problem if there are none."""
    drawn = read_masks(config.annotations, data_root, train.records, train.classes)
    findings.add_problems(drawn.problems)
    findings.warnings += drawn.warnings
    full, things = len(drawn.full.images), len(drawn.things.images)
    if full or things:
        findings.warnings.append(
            f"polygons and masks are full labels of {full} training images, and box masks of {things} others, of which "
            "stuff has none"
        )
    else:
        findings.add_problems(
            [
                "full_labels.polygons: there is no training image in which each thing has a polygon or a mask; draw "
                "them, or set it to false"
            ]
        )


def _read_provided(config: RunConfig, train: Shard, findings: DatasetFindings) -> list[ImageWeakLabels]:
    """Read provided weak labels and compare them with the training images, as the stage ``provided`` does."""
    path = Path(config.provided.weak_labels or "")
    found, classes, broken = read_weak_label_file(path)
    if config.provided.bad_boxes == "error":
        findings.add_problems(f"{record}; correct it, or set provided.bad_boxes: skip" for record in broken)
    elif broken:
        findings.warnings.append(f"{len(broken)} records are left out: {'; '.join(shorten_list(broken))}")
    train.check_meanings(classes, path)
    if not config.has_full_labels:
        train.check_images(found, path)
    for image in train.take(found):
        weak = found[image.image_id]
        image.check_size((weak.height, weak.width), f"its entry in {path}")
    return list(found.values())
