"""JSON of the VGG Image Annotator, versions 1 to 3: projects and exported annotations, in pixels.

Versions 1 and 2 keep regions with named coordinates and attributes under each file; version 3 keeps lists of numbers,
whose first says what they are, apart from the files, and the values of attributes as numbers of options.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading, Source, UnusableObject
from pseudogt.annotations.geometry import bound_ellipse, bound_points, flatten_points
from pseudogt.annotations.records import UnsupportedKindError, list_labels, read_exports, read_objects
from pseudogt.parsing.documents import parse_json
from pseudogt.parsing.values import parse_flag, parse_name, parse_number

PER_IMAGE = False

PROJECT_KEY = "_via_img_metadata"
"""Key under which a project of version 2 keeps the content of an export."""

CLASS_ATTRIBUTES = ("class", "label", "category", "name", "type")
"""Names that the attribute with the class usually has."""

ONLY_CLASS = "object"
"""Class of all regions of a file in which none has an attribute: a person who marks one kind of object needs none."""

KINDS = {1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "line", 6: "polyline", 7: "polygon", 8: "extreme_rect"}
"""Names of version 2 for the numbers by which version 3 tells shapes; an extreme rectangle has a point on each side."""

NAMES = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r"), "ellipse": ("cx", "cy", "rx", "ry")}
"""Coordinates of the shapes that have a fixed number of them, in the order of version 3."""

IMAGE_TYPE = 2
"""Version 3: a file is an image."""


class _Region(NamedTuple):
    """A region, and what it is called in messages."""

    shape: Any
    attributes: Mapping[str, Any]
    where: str


class _Mark(NamedTuple):
    """One class of a region."""

    label: str | None
    region: _Region


@dataclass
class _File:
    """A file with its regions and the attributes of the whole."""

    name: str
    regions: list[_Region] = field(default_factory=list)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class _Project:
    """Content of a document: files, declared classes by attribute, and entries that belong to no file.

    ``warnings`` names entries that say nothing.
    """

    files: list[_File]
    options: Mapping[str, Iterable[str]]
    broken: list[str]
    warnings: list[str] = field(default_factory=list)


def recognise(content: Any) -> bool:
    """Whether a JSON is a project or an export of one."""
    if not isinstance(content, dict) or not content:
        return False
    if PROJECT_KEY in content or _is_third(content):
        return True
    return all(isinstance(entry, dict) and {"filename", "regions"} <= entry.keys() for entry in content.values())


def _is_third(content: Mapping[str, Any]) -> bool:
    """Whether a document is a project of version 3."""
    return {"project", "file", "metadata"} <= content.keys()


def read(source: Source) -> Reading:
    """As :func:`read_via`, of a file or of a folder of such files, called by the name of the format."""
    return read_exports(source.path, ".json", partial(read_via, attribute=source.attribute), declared=True)


def read_via(path: Path, attribute: str | None = None) -> Reading:
    """Read a project or an export of one; every image in it was looked at.

    An image without regions holds nothing. Points, lines and polylines have no box: their class is unknown. The class
    of an image, in an attribute of the same name, is a tag.

    Parameters
    ----------
    path : Path
    attribute : str, optional
        Attribute of regions that holds the class; by default the only one, or one of a usual name.

    Raises
    ------
    ValueError
        If the file is not JSON of this form, or it is open which attribute holds the class.
    """
    content = parse_json(path, TypeAdapter(dict[str, Any]))
    if not recognise(content):
        raise ValueError(f"{path}: not a project or export of VIA; save the project, or export annotations as JSON")
    project = _open_third(content, path) if _is_third(content) else _open_second(content, path)
    name = attribute or _find_class_attribute(project, path)
    is_nameless = not _list_used(project) and any(file.regions for file in project.files)
    images, remarks = [], Counter[str]()
    for file in project.files:
        marks = [
            _Mark(label, region)
            for region in file.regions
            for label in ([ONLY_CLASS] if is_nameless else _list_classes(region, name))
        ]
        boxes, unusable = read_objects(marks, lambda mark: mark.label, lambda mark: [_read_mark(mark)])
        named = _read_value(file.attributes.get(name))
        unclear = [UnusableObject(None, "tag that is not a name")] if None in named else []
        tags = {label: True for label in named if label is not None}
        images.append(ImageAnnotations(file.name, boxes, tags=tags, unusable=[*unusable, *unclear]))
        remarks.update(key for key, value in file.attributes.items() if key != name and _read_value(value))
    declared = {label for option in project.options.get(name, ()) for label in _read_value(option)}
    labels = list_labels(images) | frozenset(label for label in declared if label is not None)
    warnings = project.warnings + [
        f"{path}: {count} images have {key!r}, which says nothing of classes" for key, count in remarks.items()
    ]
    if is_nameless:
        warnings.append(
            f"{path}: no region has an attribute, so all of them are of one class, which is called {ONLY_CLASS!r}; to "
            f"call it something else, set annotations.rename: {{{ONLY_CLASS}: its name}}"
        )
    tagged = frozenset(label for image in images for label in image.tags)
    return Reading(images, labels, tagged, broken=project.broken, warnings=warnings)


def _open_second(content: Mapping[str, Any], path: Path) -> _Project:
    """Files of a project or export of version 1 or 2."""
    entries = content.get(PROJECT_KEY, content)
    files, broken = [], []
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        where = f"{path}: {key!r}"
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            broken.append(f"{where} names no file")
            continue
        # Version 1 numbers regions by keys.
        regions = entry.get("regions") or []
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        if not isinstance(regions, list):
            broken.append(f"{where}: its regions {regions!r:.80} are not a list")
            continue
        found = [_name_region(region, f"{where}, region {number}") for number, region in enumerate(regions)]
        files.append(_File(name, found, _as_mapping(entry.get("file_attributes"))))
    declared = _as_mapping(_as_mapping(content.get("_via_attributes")).get("region"))
    options = {name: _as_mapping(_as_mapping(form).get("options")).keys() for name, form in declared.items()}
    return _Project(files, options, broken)


def _name_region(region: Any, where: str) -> _Region:
    region = _as_mapping(region)
    return _Region(region.get("shape_attributes"), _as_mapping(region.get("region_attributes")), where)


def _open_third(content: Mapping[str, Any], path: Path) -> _Project:
    """Files of a project of version 3, whose views hold one image each."""
    attributes, files = _as_mapping(content.get("attribute")), dict[str, _File]()
    broken: list[str] = []
    warnings: list[str] = []
    views = {key: _list_files(view) for key, view in _as_mapping(content.get("view")).items()}
    for key, entry in _as_mapping(content["file"]).items():
        name = _as_mapping(entry).get("fname")
        if not isinstance(name, str) or not name or str(_as_mapping(entry).get("type", IMAGE_TYPE)) != str(IMAGE_TYPE):
            broken.append(f"{path}: file {key!r} is not an image")
            continue
        files[str(key)] = _File(name)
    for key, entry in _as_mapping(content["metadata"]).items():
        entry, where = _as_mapping(entry), f"{path}: metadata {key!r}"
        file = next((files[f] for f in views.get(str(entry.get("vid")), ()) if f in files), None)
        if file is None:
            broken.append(f"{where} is of no image of the project")
            continue
        values = _resolve_options(_as_mapping(entry.get("av")), attributes)
        if entry.get("xy"):
            file.regions.append(_Region(_name_coordinates(entry["xy"]), values, where))
        elif any(map(_read_value, values.values())):
            file.attributes = {**file.attributes, **values}
        else:
            warnings.append(f"{where} has neither coordinates nor values, so it says nothing of {file.name}")
    options = {name: list(_as_mapping(form.get("options")).values()) for name, form in _name_attributes(attributes)}
    return _Project(list(files.values()), options, broken, warnings)


def _list_files(view: Any) -> list[str]:
    found = _as_mapping(view).get("fid_list")
    return [str(key) for key in found] if isinstance(found, list) else []


def _name_attributes(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and definition of each attribute of version 3."""
    return ((str(_as_mapping(form).get("aname", key)), _as_mapping(form)) for key, form in attributes.items())


def _resolve_options(values: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name of the attribute; options are given by name, several of them separated by commas."""
    resolved = {}
    for key, value in values.items():
        form = _as_mapping(attributes.get(key))
        options = _as_mapping(form.get("options"))
        chosen = [part.strip() for part in str(value).split(",") if part.strip()] if options else []
        named = {str(options.get(part, part)): True for part in chosen}
        resolved[str(form.get("aname", key))] = named if options else value
    return resolved


def _name_coordinates(numbers: Any) -> Any:
    """Shape as version 2 writes it from the numbers of version 3; unchanged if that is impossible."""
    if not isinstance(numbers, list) or not isinstance(numbers[0], int) or numbers[0] not in KINDS:
        kind = numbers[0] if isinstance(numbers, list) else numbers
        return {"name": f"shape {kind!r:.20}"}
    kind, values = KINDS[numbers[0]], numbers[1:]
    if kind in ("polygon", "extreme_rect"):
        return {"name": kind, "all_points_x": values[::2], "all_points_y": values[1::2]}
    return {"name": kind, **dict(zip(NAMES.get(kind, ()), values, strict=False))}


def _find_class_attribute(project: _Project, path: Path) -> str:
    """Attribute of the regions that holds their class; without regions, one that has options."""
    used = _list_used(project)
    usual = [name for name in used if name.strip().lower() in CLASS_ATTRIBUTES]
    if len(used) > 1 and len(usual) != 1:
        raise ValueError(
            f"{path}: regions have the attributes {', '.join(sorted(used))}; name the one that holds the class in "
            "annotations.attribute"
        )
    return (usual or sorted(used) or [CLASS_ATTRIBUTES[0]])[0]


def _list_used(project: _Project) -> set[str]:
    """Attributes that have a value in some region; if none has, those that have options."""
    regions = [region for file in project.files for region in file.regions]
    used = {name for region in regions for name, value in region.attributes.items() if _read_value(value)}
    return used or {name for name, options in project.options.items() if options}


def _list_classes(region: _Region, name: str) -> list[str | None]:
    """Classes of a region, which may have several; None if it has none."""
    return _read_value(region.attributes.get(name)) or [None]


def _read_value(value: Any) -> list[str | None]:
    """Names in the value of an attribute: a text, or a mapping from names to whether they are chosen."""
    try:
        if isinstance(value, dict):
            return [parse_name(name) for name, chosen in value.items() if parse_flag(chosen, "")]
        name = parse_name("" if value is None else value)
    except ValueError:
        return [None]
    return [name] if name else []


def _read_mark(mark: _Mark) -> AnnotatedBox:
    """Object of a region."""
    shape, where = mark.region.shape, mark.region.where
    if not isinstance(shape, dict):
        raise ValueError(f"{where}: {shape!r:.80} is not a shape")
    kind = str(shape.get("name"))
    if kind not in (*NAMES, "polygon", "extreme_rect"):
        raise UnsupportedKindError(kind)
    if mark.label is None:
        raise UnsupportedKindError("region without class")
    if kind in NAMES:
        numbers = [parse_number(shape.get(key), f"{where}, {key}") for key in NAMES[kind]]
    if kind == "rect":
        x, y, width, height = numbers
        return AnnotatedBox(mark.label, (x, y, x + width, y + height))
    if kind in ("circle", "ellipse"):
        turned = math.degrees(parse_number(shape.get("theta", 0), f"{where}, theta"))
        return AnnotatedBox(mark.label, bound_ellipse((numbers[0], numbers[1]), (numbers[2], numbers[-1]), turned))
    points = _read_points(shape, where)
    polygon = [flatten_points(points)] if kind == "polygon" else None
    return AnnotatedBox(mark.label, bound_points(points), segmentation=polygon)


def _read_points(shape: Mapping[str, Any], where: str) -> np.ndarray:
    """Points ``(P, 2)`` of a polygon."""
    xs, ys = (shape.get(key) for key in ("all_points_x", "all_points_y"))
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys) or len(xs) < 3:
        raise ValueError(f"{where}: all_points_x and all_points_y are not three numbers or more each")
    return np.array([[parse_number(v, where) for v in pair] for pair in zip(xs, ys, strict=True)])


def _as_mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
