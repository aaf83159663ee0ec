"""The configuration of ``snakemake boxes_to_masks``: the images and boxes of a folder, without any training.

Parsing imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pseudogt.parsing.problems import SHOWN
from pseudogt.setup.foreign import describe_unrecognised
from pseudogt.setup.proposal import BACKGROUND_NAMES, list_train_images, make_run_name
from pseudogt.setup.sources import SourceChoice, choose_source, count_classes
from pseudogt.setup.splits import Splits, join_folders, list_photo_folders
from pseudogt.setup.survey import FoundSource, survey_folder

WHOLE_MASKS = 0.5
"""``box_masks.sure`` with which every pixel is thing or not: what is exported must have no unlabelled rim."""

MASK_FORMATS = ("coco_instances",)
"""Formats of the masks unless ``export.formats`` is given."""

SHARD_SIZE = 128
"""``shard_size``, twice the default: boxes of an image take half a second, and a job needs five to start and end."""


class BoxesConfig(NamedTuple):
    """A configuration for the boxes of a folder.

    Attributes
    ----------
    sections : dict
        Section or setting -> value.
    summary : str
        What was found, for the user.
    """

    sections: dict[str, Any]
    summary: str


def configure_boxes(folder: Path, config: Mapping[str, Any], given: Mapping[str, Any]) -> BoxesConfig:
    """Complete a configuration with the images and boxes that lie in a folder.

    Parameters
    ----------
    folder : Path
        Images and annotations, in any order that ``python -m pseudogt init`` understands. All images are used,
        whatever their split.
    config : mapping
        The whole configuration.
    given : mapping
        The part of it that the user gave, which counts more than what is found.

    Raises
    ------
    ValueError
        If there is no image, no box, or annotations that can't be read.
    """
    survey = survey_folder(folder)
    split = join_folders(folder, list_photo_folders(folder, survey.images))
    images = list_train_images(folder, Splits(split, None))
    chosen = given.get("annotations", {})
    named = [FoundSource(chosen["format"], chosen["path"])] if chosen.get("format") and chosen.get("path") else []
    source = _choose_boxes(folder, named or survey.sources, images, survey.unknown)
    classes, annotations, count = _describe_boxes(source)
    found: dict[str, Any] = {
        "name": f"{make_run_name(folder)}-boxes",
        "data_root": str(folder),
        "dataset": {"format": "images", "train_split": split, "val_split": None, "classes": classes},
        "annotations": annotations,
        "box_masks": {"sure": WHOLE_MASKS},
        "export": {"formats": MASK_FORMATS},
        "shard_size": SHARD_SIZE,
    }
    summary = (
        f"boxes_to_masks: {count} boxes in {source.matched} of {len(images)} images of {folder}, from "
        f"{source.source.path} ({source.source.format})"
    )
    others = [f"{s.path} ({s.format})" for s in survey.sources if s != source.source]
    if others:
        summary += f"; not used: {', '.join(others[:SHOWN])}"
    replaced = {**config, "dataset": {}, "annotations": {}, "weak_labels": {}}
    # Settings for weak labels derived from ground truth contradict annotations, whoever gave them.
    kept = {section: values for section, values in given.items() if section != "weak_labels"}
    return BoxesConfig(_overlay(_overlay(replaced, found), kept), summary)


def _choose_boxes(
    folder: Path, sources: list[FoundSource], images: Mapping[str, str], unknown: list[str]
) -> SourceChoice:
    """The source that annotates most of the images, if it holds any box."""
    choice = choose_source(folder, sources, images)
    if choice is None:
        seen = f" ({'; '.join(describe_unrecognised(folder / name) for name in unknown[:SHOWN])})" if unknown else ""
        raise ValueError(
            f"boxes_from={folder}: no file with boxes was found{seen}; docs/your-data.md lists the formats"
        )
    if choice.problem:
        raise ValueError(f"boxes_from={folder}: {choice.problem}")
    if not choice.matched:
        raise ValueError(
            f"boxes_from={folder}: {choice.source.path} names none of the {len(images)} images, or each name is of "
            f"several, such as {', '.join(list(images)[:SHOWN])}; correct the names, or put annotations and images "
            "that belong together into one folder"
        )
    return choice


def _describe_boxes(source: SourceChoice) -> tuple[dict[str, str], dict[str, Any], int]:
    """Class table, section ``annotations`` and number of boxes: every class that has a box is a thing."""
    assert source.reading is not None
    counts = count_classes([source.reading])
    boxed = [label for label, count in counts.items() if count.boxes]
    if not boxed:
        raise ValueError(f"{source.source.path}: holds no box to make masks from")
    ground = next(name for name in BACKGROUND_NAMES if name not in counts)
    annotations: dict[str, Any] = {
        "format": source.source.format,
        "path": source.source.path,
        "background": "outside_boxes",
    }
    unboxed = [label for label in counts if label not in boxed]
    if unboxed:
        annotations["rename"] = dict.fromkeys(unboxed)
    return dict.fromkeys(boxed, "thing") | {ground: "stuff"}, annotations, sum(c.boxes for c in counts.values())


def _overlay(config: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of ``config``, with those of ``others`` in their place."""
    merged = dict(config)
    for key, value in others.items():
        section = merged.get(key)
        merged[key] = {**section, **value} if isinstance(section, Mapping) and isinstance(value, Mapping) else value
    return merged
