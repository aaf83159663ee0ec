"""Check a whole dataset and collect its problems, instead of stopping at the first."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pseudogt.annotations import convert_annotations
from pseudogt.annotations.masks import read_masks
from pseudogt.classes import ClassTable
from pseudogt.config.dataset import DatasetSettings, read_class_csv
from pseudogt.config.run import RunConfig
from pseudogt.costs.estimate import describe_estimate
from pseudogt.datasets import DatasetImages, class_table, list_images
from pseudogt.datasets.coco_segments import compare_categories
from pseudogt.files.flatness import describe_label_maps
from pseudogt.files.parsing import SHOWN, shorten_list
from pseudogt.weak_labels.acts import count_acts, count_full_acts, find_kinds
from pseudogt.weak_labels.files import read_weak_label_file
from pseudogt.weak_labels.gaps import describe_nothing, describe_unlocated, find_gaps
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.weak_labels.windows import Windows, find_unlearned
from pseudogt.workflow.assignment import find_odd_shards, plan_shards
from pseudogt.workflow.given_files import find_missing_results
from pseudogt.workflow.image_checking import ImageFindings, check_image
from pseudogt.workflow.labelling import describe_labelling
from pseudogt.workflow.stage import Shard

DEMO_CLASSES = "configs/classes/streets.csv"
"""Default of ``dataset.classes`` in config.yaml."""

SMALL_BYTES = 2**26
"""Size of a file that is parsed in about a second."""

COUNTED = ("name", "isthing", "images", "unknown", "boxes")
"""What is always said of a class."""


@dataclass
class DatasetFindings:
    """What was found about a dataset.

    Attributes
    ----------
    images : dict
        Number by split.
    problems : list of dict
        ``split``, ``image_id`` (both may be empty) and ``problem``.
    warnings : list of str
    classes : list of dict
        ``name``, ``isthing``, ``images`` (that have it), ``unknown`` (for which the tags do not say) and
        ``boxes``; empty if neither weak labels nor pixels were read.
    estimate : str
        Time and disk space of a run.
    labelling : str
        What the labels have cost in hours of a person, and what the next hour buys; empty if nothing was counted.
    """

    images: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    estimate: str = ""
    labelling: str = ""

    def add_problems(self, problems: Iterable[str], split: str = "", image_id: str = "") -> None:
        """Append problems of an image, or of the dataset as a whole."""
        self.problems += [{"split": split, "image_id": image_id, "problem": problem} for problem in problems]


def check_dataset(config: RunConfig, data_root: Path, *, threads: int = 1) -> DatasetFindings:
    """Check every image of every split, the boxes and tags that were given, and what a run will take.

    Parameters
    ----------
    config : RunConfig
        With ``decode`` every pixel is read, which finds truncated files and values outside the class
        table; otherwise headers only, which finds missing files and differing sizes.
    data_root : path
    threads : int
        Images checked at the same time.
    """
    findings = DatasetFindings()
    settings, classes = config.dataset, class_table(config.dataset)
    try:
        images = list_images(settings, data_root)
    except ValueError as error:
        findings.add_problems([str(error)])
        return findings
    ids_by_split = images.ids
    findings.images = {split: len(image_ids) for split, image_ids in ids_by_split.items()}
    findings.warnings += images.passed_over
    members = [(split, image_id) for split, image_ids in ids_by_split.items() for image_id in image_ids]

    # The classifier's windows are compared with what it will learn from.
    learns = "classifier" in config.list_trainings()
    derives = learns and settings.has_ground_truth and not config.has_given_weak_labels

    def check(member: tuple[str, str]) -> ImageFindings:
        derived = config.weak_labels if derives and member[0] == "train" else None
        return check_image(images, settings, *member, classes, decode=config.decode, derived=derived)

    with ThreadPoolExecutor(threads) as pool:
        checked = list(tqdm(pool.map(check, members), total=len(members), desc="check", unit="image"))
    for image in checked:
        findings.add_problems(image.problems, image.split, image.image_id)
        findings.warnings += image.warnings
    if settings.format == "images":
        paths = {image.image_id: image.record.image for image in checked if image.record is not None}
        findings.add_problems(describe_label_maps(paths))
    findings.warnings += [*find_duplicates(checked), *find_classes_of_the_demo(settings)]
    describe_categories(images, settings, findings, decode=config.decode)
    findings.warnings += find_odd_shards(plan_shards(None, ids_by_split, config.shard_size), config.shard_size)
    check_weak_labels(config, data_root, checked, classes, findings)
    findings.add_problems(find_missing_results(config.provided))
    if config.decode and settings.has_ground_truth:
        findings.classes = count_ground_truth(checked, classes)
        findings.warnings += describe_gaps(checked, findings.classes)
        findings.labelling = findings.labelling or describe_full_labelling(checked, classes)
    findings.estimate = describe_estimate(config, ids_by_split, average_pixels(checked))
    return findings


def find_classes_of_the_demo(settings: DatasetSettings) -> list[str]:
    """Warn of the class table that config.yaml gives to a dataset of the user's: values of the two may be equal."""
    demo = read_class_csv(DEMO_CLASSES)
    is_same = [entry.name for entry in settings.classes] == [row["name"] for row in demo]
    if settings.format == "streets" or not is_same:
        return []
    return [f"dataset.classes is {DEMO_CLASSES}, the table of the demo; if your classes are others, set it to theirs"]


def find_duplicates(checked: Iterable[ImageFindings]) -> list[str]:
    """Warn of images whose files are equal, in one line; only files of one length are read."""
    by_length: dict[int, list[ImageFindings]] = {}
    for image in checked:
        if image.record is not None:
            by_length.setdefault(image.file_bytes, []).append(image)
    by_content: dict[str, list[ImageFindings]] = {}
    for group in by_length.values():
        for image in group if len(group) > 1 else []:
            assert image.record is not None
            digest = hashlib.sha1(Path(image.record.image).read_bytes(), usedforsecurity=False).hexdigest()
            by_content.setdefault(digest, []).append(image)
    groups = [group for group in by_content.values() if len(group) > 1]
    if not groups:
        return []
    examples = "; ".join(" = ".join(f"{i.image_id!r} ({i.split})" for i in group[:SHOWN]) for group in groups[:SHOWN])
    both = sum(len({image.split for image in group}) > 1 for group in groups)
    leaked = f". {both} of these files are both in train and in val, which makes the scores too good" if both else ""
    return [f"{sum(map(len, groups))} images are {len(groups)} different files ({examples}); keep one of each{leaked}"]


def check_weak_labels(
    config: RunConfig,
    data_root: Path,
    checked: Sequence[ImageFindings],
    classes: ClassTable,
    findings: DatasetFindings,
) -> None:
    """Read the boxes and tags that were given, if any, and count them."""
    records = [image.record for image in checked if image.split == "train" and image.record is not None]
    images: Sequence[ImageWeakLabels] = []
    try:
        if config.annotations.given:
            result = convert_annotations(config.annotations, data_root, records, classes)
            findings.add_problems(result.problems)
            findings.warnings += result.warnings
            images = result.images
            if config.full_labels.polygons:
                drawn = read_masks(config.annotations, data_root, records, classes)
                findings.add_problems(drawn.problems)
                findings.warnings += drawn.warnings
                describe_masks(len(drawn.full.images), len(drawn.things.images), findings)
        elif config.provided.weak_labels:
            images = check_provided(config, Shard("train", data_root, records, classes), findings)
            findings.add_problems(describe_nothing(images))
    except ValueError as error:
        findings.add_problems([str(error)])
    if images:
        findings.classes = count_weak_labels(images, classes)
        findings.add_problems(describe_unlocated(images, classes) if config.needs_located_things else [])
        findings.warnings += find_gaps(images, classes)
        acts = sum((count_acts(image) for image in images), Counter())
        findings.labelling = describe_labelling(acts, find_kinds(images, classes), len(images))
    derived = [image.derived for image in checked if image.derived is not None]
    check_learnable(config, images or derived, classes, findings)


def check_provided(config: RunConfig, train: Shard, findings: DatasetFindings) -> list[ImageWeakLabels]:
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


def check_learnable(
    config: RunConfig, images: Sequence[ImageWeakLabels], classes: ClassTable, findings: DatasetFindings
) -> None:
    """Find classes of weak labels, given or derived, from which the classifier would learn nothing."""
    if images and "classifier" in config.list_trainings():
        unlearned = find_unlearned(images, classes, config.classifier.fill(Windows))
        findings.add_problems(unlearned.problems)
        findings.warnings += unlearned.warnings


def describe_categories(
    images: DatasetImages, settings: DatasetSettings, findings: DatasetFindings, *, decode: bool
) -> None:
    """Warn of panoptic files whose categories are not those of the class table; large ones are read with ``decode``."""
    try:
        paths = {images.locate(image_ids[0]).segments for image_ids in images.ids.values() if image_ids}
    except ValueError:  # reported with the image
        return
    read = [path for path in paths if path is not None and (decode or path.stat().st_size <= SMALL_BYTES)]
    try:
        findings.warnings += [line for path in sorted(read) for line in compare_categories(path, settings)]
    except ValueError as error:
        # Where pixels are read, problems of a file are reported with its images.
        findings.add_problems([] if decode else [str(error)])


def describe_masks(full: int, things: int, findings: DatasetFindings) -> None:
    """Report for how many images polygons and masks are used; it is a problem if there are none."""
    if full or things:
        findings.warnings.append(
            f"polygons and masks are full labels of {full} training images, and box masks of {things} others, of which "
            "stuff has none"
        )
        return
    findings.add_problems(
        [
            "full_labels.polygons: there is no training image in which each thing has a polygon or a mask; draw them, "
            "or set it to false"
        ]
    )


def count_weak_labels(images: Sequence[ImageWeakLabels], classes: ClassTable) -> list[dict[str, Any]]:
    """Images, boxes and marks of each class in weak labels; kinds of marks that do not occur are left out."""
    tagged = np.sum([image.tags for image in images], 0)
    unknown = np.sum([~image.known for image in images], 0)
    boxes = np.sum([np.bincount(image.box_classes, minlength=len(classes)) for image in images], 0)
    rows = tabulate_classes(classes, tagged.tolist(), boxes.tolist(), unknown.tolist())
    counts = Counter((mark.train_id, f"{mark.kind}s") for image in images for mark in image.marks)
    found = {kind for _, kind in counts}
    for kind in (kind for kind in ("points", "scribbles", "masks") if kind in found):
        rows = [row | {kind: counts[train_id, kind]} for train_id, row in enumerate(rows)]
    return rows


def count_ground_truth(checked: Iterable[ImageFindings], classes: ClassTable) -> list[dict[str, Any]]:
    """Images and instances of each class in the ground truth."""
    images = Counter(train_id for image in checked for train_id in image.present)
    boxes = Counter(train_id for image in checked for train_id in image.instances)
    everywhere = range(len(classes))
    return tabulate_classes(
        classes, [images[i] for i in everywhere], [boxes[i] for i in everywhere], [0] * len(classes)
    )


def describe_full_labelling(checked: Iterable[ImageFindings], classes: ClassTable) -> str:
    """What full labels of the training images cost: an outline for each object and each class of stuff."""
    train = [image for image in checked if image.split == "train" and image.present]
    stuff = set(classes.stuff_ids)
    acts = sum(
        (count_full_acts([*(image.present & stuff), *image.instances], len(classes)) for image in train), Counter()
    )
    return describe_labelling(acts, ["full labels"], len(train)) if train else ""


def tabulate_classes(
    classes: ClassTable, images: Sequence[int], boxes: Sequence[int], unknown: Sequence[int]
) -> list[dict[str, Any]]:
    """One row per class."""
    columns = zip(classes.names, classes.isthing, images, unknown, boxes, strict=True)
    return [dict(zip(COUNTED, row, strict=True)) for row in columns]


def describe_gaps(checked: Iterable[ImageFindings], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Classes that never occur in the ground truth and images without any class."""
    warnings = [
        f"class {row['name']!r} occurs in no image; take it out of dataset.classes" for row in rows if not row["images"]
    ]
    warnings += [
        f"class {row['name']!r} is a thing, but no pixel of it has an instance number, so it gives no boxes; if the "
        "instance files hold plain numbers, set dataset.instance_divisor to null"
        for row in rows
        if row["isthing"] and row["images"] and not row["boxes"]
    ]
    return warnings + [
        f"image {image.image_id!r} holds no class, so it gets no box and no tag; take it off the list"
        for image in checked
        if not image.problems and not image.present
    ]


def average_pixels(checked: Sequence[ImageFindings]) -> int:
    """Pixels of an average image, at least 1."""
    sizes = [image.record.height * image.record.width for image in checked if image.record is not None]
    return max(1, sum(sizes) // max(len(sizes), 1))


def format_findings(findings: DatasetFindings, *, most: int = 40) -> str:
    """Make a table for the terminal; of many problems the first ``most``."""
    troubled = Counter(problem["split"] for problem in findings.problems)
    lines = [f"{'split':<10}{'images':>8}{'problems':>10}"]
    lines += [f"{split:<10}{count:>8}{troubled[split]:>10}" for split, count in findings.images.items()]
    lines += [f"{'the rest':<10}{'':>8}{troubled['']:>10}"] if troubled[""] else []
    if findings.classes:
        marks = [kind for kind in findings.classes[0] if kind not in COUNTED]
        lines += [
            "",
            f"{'class':<24}{'':<8}{'images':>8}{'unknown':>9}{'boxes':>9}" + "".join(f"{m:>11}" for m in marks),
        ]
        lines += [
            f"{row['name']:<24}{'thing' if row['isthing'] else 'stuff':<8}{row['images']:>8}{row['unknown']:>9}"
            f"{row['boxes'] if row['isthing'] else '-':>9}" + "".join(f"{row[kind]:>11}" for kind in marks)
            for row in findings.classes
        ]
    lines += ["", findings.estimate] if findings.estimate else []
    lines += ["", findings.labelling] if findings.labelling else []
    lines += ["", *(f"warning: {warning}" for warning in findings.warnings[:most])]
    lines += [f"problem: {problem['problem']}" for problem in findings.problems[:most]]
    hidden = max(len(findings.problems) - most, 0) + max(len(findings.warnings) - most, 0)
    lines += [f"... and {hidden} more in the report"] if hidden else []
    return "\n".join(lines)
