"""Files of other tools that no reader reads: what they are, and what to export instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pseudogt.annotations import PARSERS


def _has(*keys: str) -> Callable[[Any], bool]:
    """Whether a mapping, the columns of a table, or the first entry of a list has some names."""

    def has_all(content: Any) -> bool:
        first = content[0] if isinstance(content, list) and content else content
        return isinstance(first, dict | tuple) and set(keys) <= set(first)

    return has_all


def _is_panoptic(content: Any) -> bool:
    entries = content.get("annotations") if isinstance(content, dict) else None
    return isinstance(entries, list) and _has("segments_info")(entries)


FOREIGN: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_has("region_shape_attributes"), "is VIA's CSV; save the project, or export the annotations as JSON"),
    (_has("image_id", "category_id"), "holds results of a model, without names of images and classes"),
    (_has("image_tags", "annotations"), "holds weak labels; name it in provided.weak_labels"),
    (_is_panoptic, "is COCO panoptic; put it beside its PNGs as docs/datasets.md says"),
    (_has("image", "annotations"), "is CreateML's JSON; export as COCO"),
    (_has("annotator", "lead_time"), "is a CSV of Label Studio; export as JSON"),
    (_has("Labeled Data", "Label"), "is Labelbox's JSON; convert it to COCO"),
    (_has("metadata", "instances"), "is SuperAnnotate's JSON; export as COCO"),
    (_has("item", "annotations"), "is V7's JSON; export as COCO"),
    (_has("items", "categories"), "is Datumaro's JSON; export as COCO"),
    (_has("objects", "size"), "is Supervisely's JSON; export as COCO or Pascal VOC"),
    (_has("imgHeight", "objects"), "holds polygons of Cityscapes; its label images are read, see docs/datasets.md"),
    (_has("asset", "regions"), "is VoTT's JSON; export as Pascal VOC or CSV"),
    (_has("assets"), "is VoTT's JSON; export as Pascal VOC or CSV"),
)
"""Pairs of a check on the parsed content of a file and the message about it; the first check that passes decides."""


def describe_foreign(content: Any) -> str:
    """Say what a file is that no reader recognises.

    Examples
    --------
    >>> describe_foreign({"categories": {}, "items": []})
    "is Datumaro's JSON; export as COCO"
    """
    if isinstance(content, tuple):
        known = "is a table whose first line does not name the columns image,class,x0,y0,x1,y1 (docs/your-data.md)"
    elif content == "":
        known = "is empty, as YOLO's files of images without objects are"
    else:
        known = "is of no format that is read"
    return next((text for fits, text in FOREIGN if fits(content)), known)


def describe_unrecognised(path: Path) -> str:
    """Say why no reader recognises a file: what is wrong with it, or what it is instead."""
    try:
        return f"{path}: {describe_foreign(PARSERS[path.suffix.lower()](path))}"
    except ValueError as error:
        return str(error)
