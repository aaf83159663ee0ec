"""Going through a whole dataset and collecting its problems instead of stopping at the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import class_table, list_image_ids, locate
from pseudogt.datasets.ground_truth import read_panoptic
from pseudogt.datasets.source import SourceFiles
from pseudogt.io import read_image
from pseudogt.labels import IGNORE_LABEL, ClassTable, panoptic_to_semantic


@dataclass(frozen=True)
class ImageFindings:
    """What was found about one image; ``present`` holds train ids and is empty unless pixels were decoded."""

    split: str
    image_id: str
    problems: tuple[str, ...]
    present: frozenset[int] = frozenset()


@dataclass
class DatasetFindings:
    """What was found about a dataset."""

    images: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    images_per_class: dict[str, int] | None = None


def check_dataset(settings: DatasetSettings, data_root: Path, *, decode: bool, threads: int = 1) -> DatasetFindings:
    """Check every image of every split.

    Parameters
    ----------
    settings : DatasetSettings
    data_root : path
    decode : bool
        Read every pixel, which finds truncated files and values outside the class table; otherwise
        headers only, which finds missing files and differing sizes.
    threads : int
        Images checked at the same time.
    """
    findings = DatasetFindings()
    try:
        ids_by_split = list_image_ids(settings, data_root)
    except ValueError as error:
        findings.problems.append({"split": "", "image_id": "", "problem": str(error)})
        return findings
    findings.images = {split: len(image_ids) for split, image_ids in ids_by_split.items()}
    classes = class_table(settings)
    members = [(split, image_id) for split, image_ids in ids_by_split.items() for image_id in image_ids]

    def check(member: tuple[str, str]) -> ImageFindings:
        split, image_id = member
        return check_image(settings, data_root, split, image_id, classes, decode=decode)

    with ThreadPoolExecutor(threads) as pool:
        checked = list(tqdm(pool.map(check, members), total=len(members), desc="check", unit="image"))
    findings.problems += [
        {"split": image.split, "image_id": image.image_id, "problem": problem}
        for image in checked
        for problem in image.problems
    ]
    if not ids_by_split["val"]:
        findings.warnings.append("no image in val; set dataset.val_split or dataset.val_fraction")
    if decode:
        findings.images_per_class = count_images(checked, classes)
        findings.warnings += describe_gaps(checked, findings.images_per_class)
    return findings


def check_image(
    settings: DatasetSettings, data_root: Path, split: str, image_id: str, classes: ClassTable, *, decode: bool
) -> ImageFindings:
    """Problems of one image and of its label files."""
    try:
        files = locate(settings, data_root, split, image_id)
    except ValueError as error:
        return ImageFindings(split, image_id, (str(error),))
    problems = [*find_missing(files, classes), *compare_sizes(files)]
    if problems or not decode:
        return ImageFindings(split, image_id, tuple(problems))
    try:
        read_image(files.image)
        panoptic_id, _ = read_panoptic(files, settings, classes)
    except ValueError as error:
        return ImageFindings(split, image_id, (str(error),))
    present = set(np.unique(panoptic_to_semantic(panoptic_id, classes)).tolist()) - {IGNORE_LABEL}
    return ImageFindings(split, image_id, (), frozenset(present))


def find_missing(files: SourceFiles, classes: ClassTable) -> list[str]:
    """Label files that should be there."""
    missing = ["semantic"] if files.semantic is None else []
    if files.instances is None and len(classes.thing_ids):
        missing.append("instances")
    return [f"{files.image}: its {kind} file is missing; add it or take the image off the list" for kind in missing]


def compare_sizes(files: SourceFiles) -> list[str]:
    """Files that can't be opened, and label files of another size than the image; reads headers only."""
    sizes: dict[Path, tuple[int, int]] = {}
    problems = []
    for path in (files.image, files.semantic, files.instances):
        if path is None:
            continue
        try:
            with Image.open(path) as image:
                sizes[path] = image.size
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            problems.append(f"{path}: can't be read as an image ({error}); replace the file")
    expected = sizes.get(files.image)
    for path, size in sizes.items():
        if expected and size != expected:
            shapes = f"{size[0]}x{size[1]}, its image {expected[0]}x{expected[1]}"
            problems.append(f"{path}: is {shapes}; make them one size")
    return problems


def count_images(checked: Iterable[ImageFindings], classes: ClassTable) -> dict[str, int]:
    """Count the images in which each class occurs."""
    counts = Counter(train_id for image in checked for train_id in image.present)
    return {name: counts[train_id] for train_id, name in enumerate(classes.names)}


def describe_gaps(checked: Iterable[ImageFindings], images_per_class: dict[str, int]) -> list[str]:
    """Classes that never occur and images without any class."""
    warnings = [
        f"class {name!r} occurs in no image; take it out of dataset.classes"
        for name, count in images_per_class.items()
        if not count
    ]
    return warnings + [
        f"image {image.image_id!r} holds no class, so it gets no box and no tag; take it off the list"
        for image in checked
        if not image.problems and not image.present
    ]


def format_findings(findings: DatasetFindings, *, most: int = 40) -> str:
    """Make a table for the terminal; of many problems the first ``most``."""
    troubled = Counter(problem["split"] for problem in findings.problems)
    lines = [f"{'split':<10}{'images':>8}{'problems':>10}"]
    lines += [f"{split:<10}{count:>8}{troubled[split]:>10}" for split, count in findings.images.items()]
    if findings.images_per_class is not None:
        lines += ["", f"{'class':<24}{'images':>8}"]
        lines += [f"{name:<24}{count:>8}" for name, count in findings.images_per_class.items()]
    lines += ["", *(f"warning: {warning}" for warning in findings.warnings[:most])]
    lines += [f"problem: {problem['problem']}" for problem in findings.problems[:most]]
    hidden = max(len(findings.problems) - most, 0) + max(len(findings.warnings) - most, 0)
    lines += [f"... and {hidden} more in the report"] if hidden else []
    return "\n".join(lines)
