"""Check a whole dataset and collect its problems, instead of stopping at the first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from pseudogt.checking.counts import count_ground_truth, describe_full_labelling, describe_gaps
from pseudogt.checking.findings import DatasetFindings
from pseudogt.checking.images import ImageFindings, check_image
from pseudogt.checking.missing_files import find_missing_files
from pseudogt.checking.weak_labels import check_weak_labels
from pseudogt.classes import ClassTable
from pseudogt.config.dataset import DatasetSettings, read_class_csv
from pseudogt.config.run import RunConfig
from pseudogt.costs.estimate import describe_estimate
from pseudogt.datasets import DatasetImages, class_table, list_images
from pseudogt.datasets.coco_segments import compare_categories
from pseudogt.files.flatness import describe_label_maps
from pseudogt.parsing.problems import SHOWN
from pseudogt.workflow.assignment import find_odd_shards, plan_shards

DEMO_CLASSES = "configs/classes/streets.csv"
"""Default of ``dataset.classes`` in config.yaml."""

SMALL_BYTES = 2**26
"""Size of a file that is parsed in about a second."""


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
    findings.add_problems(find_missing_files(config))
    settings, classes = config.dataset, class_table(config.dataset)
    try:
        images = list_images(settings, data_root)
    except ValueError as error:
        findings.add_problems([str(error)])
        return findings
    findings.images = {split: len(image_ids) for split, image_ids in images.ids.items()}
    findings.warnings += images.passed_over
    checked = check_images(images, config, classes, threads)
    for image in checked:
        findings.add_problems(image.problems, image.split, image.image_id)
        findings.warnings += image.warnings
    if settings.format == "images":
        paths = {image.image_id: image.record.image for image in checked if image.record is not None}
        findings.add_problems(describe_label_maps(paths))
    findings.warnings += [*find_duplicates(checked), *find_classes_of_the_demo(settings)]
    describe_categories(images, settings, findings, decode=config.decode)
    findings.warnings += find_odd_shards(plan_shards(None, images.ids, config.shard_size), config.shard_size)
    check_weak_labels(config, data_root, checked, classes, findings)
    if config.decode and settings.has_ground_truth:
        findings.classes = count_ground_truth(checked, classes)
        findings.warnings += describe_gaps(checked, findings.classes)
        findings.labelling = findings.labelling or describe_full_labelling(checked, classes)
    findings.estimate = describe_estimate(config, images.ids, average_pixels(checked))
    return findings


def check_images(images: DatasetImages, config: RunConfig, classes: ClassTable, threads: int) -> list[ImageFindings]:
    """Check all images of all splits; where the classifier will learn from derived weak labels, derive them, too."""
    settings = config.dataset
    learns = "classifier" in config.list_trainings()
    derives = learns and settings.has_ground_truth and not config.has_given_weak_labels

    def check(member: tuple[str, str]) -> ImageFindings:
        derived = config.weak_labels if derives and member[0] == "train" else None
        return check_image(images, settings, *member, classes, decode=config.decode, derived=derived)

    members = [(split, image_id) for split, image_ids in images.ids.items() for image_id in image_ids]
    with ThreadPoolExecutor(threads) as pool:
        return list(tqdm(pool.map(check, members), total=len(members), desc="check", unit="image"))


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


def average_pixels(checked: Sequence[ImageFindings]) -> int:
    """Pixels of an average image, at least 1."""
    sizes = [image.record.height * image.record.width for image in checked if image.record is not None]
    return max(1, sum(sizes) // max(len(sizes), 1))
