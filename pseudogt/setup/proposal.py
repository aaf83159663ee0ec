"""A configuration for a folder, with the reason for each value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pseudogt.annotations.form import Reading
from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import list_images
from pseudogt.files.flatness import describe_label_maps
from pseudogt.parsing.problems import SHOWN
from pseudogt.setup.foreign import describe_unrecognised
from pseudogt.setup.guessing import Guess, guess_kinds
from pseudogt.setup.sizes import SizeSetting, propose_sizes
from pseudogt.setup.sources import ClassCount, SourceChoice, choose_source, choose_tags, count_classes
from pseudogt.setup.splits import Splits, choose_splits
from pseudogt.setup.survey import Survey

BACKGROUND_NAMES = ("background", "ground", "elsewhere")
"""Names for the class of what no box covers: the first that no other class has."""


@dataclass(frozen=True)
class Proposal:
    """A configuration, and what is to be said about it.

    Attributes
    ----------
    sections : mapping
        Section or setting -> value, as in the file.
    reasons : mapping
        Setting as ``section.key`` or ``classes.name`` -> why it is so.
    questions : list of str
        What only a person can answer.
    """

    sections: Mapping[str, Any]
    reasons: Mapping[str, str] = field(default_factory=dict)
    questions: Sequence[str] = ()

    def with_setting(self, section: str, key: str, value: Any, reason: str) -> Proposal:
        """Return the same with one setting more."""
        changed = {**self.sections.get(section, {}), key: value}
        return replace(
            self,
            sections={**self.sections, section: changed},
            reasons={**self.reasons, f"{section}.{key}": reason},
        )

    def with_sizes(self, settings: Iterable[SizeSetting]) -> Proposal:
        """Return the same with windows and scales."""
        proposal = self
        for setting in settings:
            proposal = proposal.with_setting(*setting)
        return proposal


def make_run_name(folder: Path) -> str:
    """Name of a run after a folder, of characters that a name may have.

    Examples
    --------
    >>> make_run_name(Path("/data/Kühe 2026"))
    'K-he-2026'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._") or "run"


def propose_images(root: Path, survey: Survey, name: str) -> Proposal:
    """Propose a configuration for photos and annotations of a tool.

    Raises
    ------
    ValueError
        If there is no image.
    """
    splits = choose_splits(root, survey.images)
    images = list_train_images(root, splits)
    source = choose_source(root, survey.sources, images)
    tags = choose_tags(root, survey.tags, images)
    readings = [r for r in (source.reading if source else None, tags[1] if tags else None) if r is not None]
    counts = count_classes(readings)
    drawn = {label: count for label, count in counts.items() if count.boxes or count.tags or count.marks}
    guesses = guess_kinds(drawn)
    annotations, reasons = _describe_annotations(source, tags, counts, len(images), survey)
    classes = {label: "thing" if guess.isthing else "stuff" for label, guess in guesses.items()}
    reasons |= {f"classes.{label}": describe_class(counts[label], guess) for label, guess in guesses.items()}
    method: dict[str, Any] = {}
    located = any(count.boxes or count.marks for count in counts.values())
    if not located and (tags is not None or any(count.tags for count in counts.values())):
        method = {"method": "jtsm", "weak_labels": {"tags": "image", "boxes": False}}
        reasons["method"] = "there are tags and no boxes"
        if source is not None:
            annotations["boxes"] = False
    elif "stuff" not in classes.values() and source is not None:
        ground = next(label for label in BACKGROUND_NAMES if label not in classes)
        classes = (classes or {"object": "thing"}) | {ground: "stuff"}
        annotations["background"] = "outside_boxes"
        reasons[f"classes.{ground}"] = "no class is stuff, so this one is everything outside the boxes"
    elif "thing" not in classes.values():
        classes |= {"object": "thing"}
    dataset: dict[str, Any] = {"format": "images", "train_split": splits.train, "val_split": splits.val}
    reasons |= _describe_splits(splits, survey, len(images))
    questions = _ask(root, source, tags, survey, splits, images)
    sections = {"name": name, "data_root": str(root), **method, "dataset": {**dataset, "classes": classes}}
    proposal = Proposal({**sections, "annotations": annotations} if annotations else sections, reasons, questions)
    # Without tags of whole images, only boxes are learned from.
    tagged = None if "background" in annotations else (1.0, 1.0)
    return proposal.with_sizes(propose_sizes(list(images.values()), source.reading if source else None, tagged))


def list_train_images(root: Path, splits: Splits) -> dict[str, str]:
    """Image id -> path of the images to train on."""
    names = {"train_split": splits.train, "val_split": splits.val}
    settings = DatasetSettings.model_validate({"format": "images", **names, "classes": {"object": "thing"}})
    listed = list_images(settings, root)
    return {image_id: str(listed.locate(image_id).image) for image_id in listed.ids["train"]}


def describe_class(count: ClassCount, guess: Guess) -> str:
    """Describe how often a class occurs, and why it is a thing or stuff."""
    parts = [f"{_name(count.boxes, 'box', 'boxes')} in {_name(count.images, 'image')}"] if count.boxes else []
    parts += [_name(count.tags, "tag")] if count.tags else []
    parts += [_name(count.marks, "point or scribble", "points or scribbles")] if count.marks else []
    unusable = max(count.unusable - count.marks, 0)
    parts += [f"{_name(unusable, 'object')} without a box"] if unusable else []
    return f"{', '.join(parts)}; {guess.reason}"


def _name(count: int, one: str, several: str = "") -> str:
    """Return a number with its noun."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def _describe_splits(splits: Splits, survey: Survey, count: int) -> dict[str, str]:
    total = sum(survey.images.values())
    train = f"{count} of the {total} images"
    if splits.others:
        train += f"; not used: {', '.join(splits.others[:SHOWN])}{' ...' if len(splits.others) > SHOWN else ''}"
    val = "for pictures in the report" if splits.val else "no folder is named val, valid or test"
    return {"dataset.train_split": train, "dataset.val_split": val}


def _describe_annotations(
    source: SourceChoice | None,
    tags: tuple[str, Reading] | None,
    counts: Mapping[str, ClassCount],
    images: int,
    survey: Survey,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Section ``annotations`` and the reasons for it."""
    settings: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    if source is not None:
        settings |= {"format": source.source.format, "path": source.source.path}
        others = [f"{s.format} {s.path}" for s in survey.sources if s != source.source]
        reasons["annotations.format"] = f"annotates {source.matched} of {images} training images"
        if source.is_drawn:
            reasons["annotations.format"] += (
                "; each object has a polygon or a mask: add full_labels: {polygons: true} to use them as drawn"
            )
        if others:
            reasons["annotations.path"] = f"also found: {', '.join(others[:SHOWN])}"
    if tags is not None:
        settings["tags"] = tags[0]
    unboxed = [label for label, count in counts.items() if not count.boxes and not count.tags]
    if any(counts[label].marks for label in unboxed):
        settings["points"] = "weak"
        reasons["annotations.points"] = "some classes have points or scribbles and no box"
    undrawn = [label for label in unboxed if counts[label].unusable and not counts[label].marks]
    if undrawn and len(undrawn) < len(counts):
        settings["rename"] = dict.fromkeys(undrawn)
        reasons["annotations.rename"] = "left out, because none of their objects has a box or an area"
    return settings, reasons


def _ask(
    root: Path,
    source: SourceChoice | None,
    tags: tuple[str, Reading] | None,
    survey: Survey,
    splits: Splits,
    images: Mapping[str, str],
) -> list[str]:
    """Ask what the files don't say."""
    if source is None and tags is None:
        # One of each folder first, as a dataset may have a folder of thousands.
        first = {Path(name).parent: name for name in reversed(survey.unknown)}.values()
        shown = [*sorted(first), *(name for name in survey.unknown if name not in first)][:SHOWN]
        seen = [describe_unrecognised(Path(root, name)) for name in shown]
        hidden = len(survey.unknown) - len(seen)
        text = "Where are the boxes or tags? None were found: set annotations.path or annotations.tags"
        more = [f"and {hidden} more files that no reader recognises"] if hidden else []
        maps = (
            f"The names or colours of these folders suggest label maps: {', '.join(splits.maps[:SHOWN])}. If they are "
        )
        maps += "full labels, name them like the folder layout of docs/datasets.md, and list the images in train.txt"
        return [text, *seen, *more, *([maps] if splits.maps else []), *describe_label_maps(images)]
    if source is not None and source.problem:
        return [source.problem]
    return []
