"""A configuration for a dataset with full labels whose folders have a known layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired

import cv2
import numpy as np
import yaml
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from pseudogt.config.dataset import REPOSITORY, number_classes
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.datasets import LAYOUTS, Layout
from pseudogt.datasets.source import ImageFolders, SourceFiles
from pseudogt.files.images import read_png
from pseudogt.parsing.contents import describe_missing
from pseudogt.parsing.documents import parse_json
from pseudogt.parsing.values import Flag, Name
from pseudogt.setup.guessing import guess_by_name
from pseudogt.setup.proposal import Proposal
from pseudogt.setup.sizes import propose_sizes
from pseudogt.setup.splits import find_role

SAMPLED = 200
"""Files of a split that are looked at, to see which values and sizes occur."""

VAL_FRACTION = 0.2
"""Part of a single list to set aside for scores."""

USUAL_VOID = 255
DIVISOR = 1000
"""Class times this and a number is the usual value of an instance."""


class FoundLayout(NamedTuple):
    """A layout and the splits that are there."""

    format: str
    splits: list[str]


class _Category(TypedDict):
    """An entry of ``categories``."""

    id: int
    name: Name
    isthing: NotRequired[Flag]


class _Document(TypedDict):
    """The part of COCO's panoptic JSON that names classes."""

    categories: list[_Category]


def find_layout(root: Path) -> FoundLayout | None:
    """Layout with full labels, or official tree, that a folder has; None if it has none."""
    for name in LAYOUTS.names:
        layout: Layout = LAYOUTS.load(name)
        if splits := layout.find_splits(root):
            return FoundLayout(name, splits)
    return None


def propose_layout(root: Path, found: FoundLayout, name: str) -> tuple[Proposal, list[dict[str, Any]]]:
    """Propose a configuration, and a class table to write beside it, empty if the repository has one."""
    roles = {role: next((s for s in found.splits if find_role(s) == role), None) for role in ("train", "val", "test")}
    train = roles["train"] or found.splits[0]
    val = next((s for s in (roles["val"], roles["test"]) if s not in (None, train)), None)
    dataset: dict[str, Any] = {"format": found.format, "train_split": train, "val_split": val}
    reasons = {
        "dataset.format": "known by its folders",
        "dataset.train_split": f"there are {', '.join(found.splits)}",
    }
    others: dict[str, Any] = {}
    if val is None:
        dataset["val_fraction"] = VAL_FRACTION
        reasons["dataset.val_fraction"] = "there is one list only"
    recipe = REPOSITORY / "configs" / f"{found.format}.yaml"
    table: list[dict[str, Any]] = []
    if recipe.is_file():
        shipped = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        dataset = {**shipped["dataset"], **dataset}
        others = {key: shipped[key] for key in ("annotations",) if key in shipped}
        reasons["dataset.classes"] = f"configs/{recipe.name} is a complete recipe for this dataset"
    elif found.format == "coco":
        table = list_coco_classes(root / "annotations" / f"panoptic_{train}.json")
    else:
        table, values = list_value_classes(root, found, train)
        dataset |= values
        reasons["dataset.classes"] = "values found in the label files; replace them by the names of the classes"
    sections = {"name": name, "data_root": str(root), "dataset": dataset, **others}
    layout: Layout = LAYOUTS.load(found.format)
    folders = ImageFolders()
    images = layout.list_split(root, train).images
    spread = images[:: -(-len(images) // SAMPLED)] if images else []
    paths = [str(layout.locate(root, image, folders).image) for image in spread]
    weak = WeakLabelsSettings()
    tagged = None if "annotations" in others else (weak.crop_height_fraction, weak.crop_width_fraction)
    return Proposal(sections, reasons).with_sizes(propose_sizes(paths, None, tagged)), table


def list_coco_classes(path: Path) -> list[dict[str, Any]]:
    """Class table of a COCO panoptic JSON; where it lacks ``isthing``, the name decides."""
    categories = parse_json(path, TypeAdapter(_Document))["categories"]
    kinds = {c["name"]: c.get("isthing", guess_by_name(c["name"])) for c in categories}
    rows = number_classes({name: "thing" if isthing else "stuff" for name, isthing in kinds.items()})
    return [row | {"source_id": category["id"]} for row, category in zip(rows, categories, strict=True)]


def list_value_classes(
    root: Path, found: FoundLayout, split: str
) -> tuple[list[dict[str, Any]], dict[str, list[int] | None]]:
    """Class table of the values in label files, and the settings of these: what has instance numbers is a thing.

    Raises
    ------
    ValueError
        If there are no label files, or most of their values occur only along borders, as smoothing leaves them.
    """
    layout: Layout = LAYOUTS.load(found.format)
    folders = ImageFolders()
    files = [layout.locate(root, image, folders) for image in layout.list_split(root, split).images[:SAMPLED]]
    if all(f.semantic is None for f in files):
        wanted = [f.wanted["semantic"] for f in files[:1] if "semantic" in f.wanted]
        missing = "".join(f": {path}: {describe_missing(path)}" for path in wanted)
        raise ValueError(f"{root}: none of the {len(files)} images of split {split!r} has a label file{missing}")
    maps = [f.semantic for f in files if f.semantic is not None]
    values, thin = _find_values(maps)
    if len(thin) > len(values) / 2:
        raise ValueError(
            f"{maps[0].parent}: {len(thin)} of {len(values)} values occur only along borders, as in label maps that "
            "were resized or saved with smoothing; resize the original labels with nearest neighbour"
        )
    things = {v // DIVISOR for v in _find_values([f.instances for f in files if f.instances is not None])[0]} - {0}
    plain = set() if things else _find_plainly_numbered(files)
    # In a mask of two values, 255 is what was drawn.
    void = [USUAL_VOID] if len(values) > 2 or USUAL_VOID not in values else []
    kept = [value for value in values if value not in void]
    rows = number_classes({f"value {v}": "thing" if v in things | plain else "stuff" for v in kept})
    settings: dict[str, list[int] | None] = {"void_values": void, **({"instance_divisor": None} if plain else {})}
    return [row | {"source_id": value} for row, value in zip(rows, kept, strict=True)], settings


def _find_plainly_numbered(files: Sequence[SourceFiles]) -> set[int]:
    """Classes with instance values that are neither theirs nor made of theirs, so that they just count objects."""
    found: set[int] = set()
    for semantic_file, instances_file in ((f.semantic, f.instances) for f in files):
        if semantic_file is not None and instances_file is not None:
            semantic, instances = read_png(semantic_file), read_png(instances_file)
            if semantic.shape == instances.shape:
                found.update(semantic[(instances > 0) & (instances != semantic)].tolist())
    return found


def _find_values(paths: Sequence[Path]) -> tuple[list[int], set[int]]:
    """Values of maps, and those of them that nowhere fill a block of 3x3 pixels."""
    found: set[int] = set()
    solid: set[int] = set()
    block = np.ones((3, 3), np.uint8)
    for values in map(read_png, paths):
        found.update(np.unique(values).tolist())
        is_solid = cv2.erode(values, block) == cv2.dilate(values, block)
        solid.update(np.unique(values[is_solid]).tolist())
    return sorted(found), found - solid
