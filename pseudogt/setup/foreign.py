"""Files of other tools that no reader reads: what they are, and what to export instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pseudogt.annotations import PARSERS

MAPS = "turn colours into numbers and name the folders as docs/datasets.md says"
DOTA = "convert it to YOLO's oriented boxes"

SUFFIXES = {
    **dict.fromkeys((".jsonl", ".ndjson", ".odgt"), "holds one JSON for each line; convert it to COCO or CSV"),
    **dict.fromkeys((".parquet", ".arrow", ".tfrecord", ".record"), "is a table of binary data; export it as COCO"),
    ".mat": "is of MATLAB; convert it to COCO, CSV or label maps",
    ".npy": "is an array of NumPy; save label maps as PNG (docs/datasets.md)",
}
"""Suffixes of annotations that no reader opens, and what to do with such a file."""


def _has(*keys: str) -> Callable[[Any], bool]:
    """Whether a mapping, the columns of a table, or the first entry of a list has some names."""

    def has_all(content: Any) -> bool:
        first = content[0] if isinstance(content, list) and content else content
        return isinstance(first, dict | tuple) and set(keys) <= set(first)

    return has_all


def _starts(pattern: str) -> Callable[[Any], bool]:
    """Whether the first line of a text that is no comment matches."""

    def matches(content: Any) -> bool:
        return isinstance(content, str) and re.match(rf"(#.*\n|\s)*{pattern}\s*$", content, re.MULTILINE) is not None

    return matches


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
    (_has("annotation"), "is ADE20K's JSON; take the label maps of ADEChallengeData2016 instead"),
    (_has("name", "labels"), "is BDD100K's JSON (Scalabel); convert it to COCO with bdd100k.label.to_coco"),
    (_has("ImageID", "LabelName"), "is a CSV of Open Images, with fractions and codes of classes; export as COCO"),
    (_has("EncodedPixels"), "holds run lengths of masks, as of Kaggle; write label maps as docs/datasets.md says"),
    (_has("Pixel Value"), "names the values of label maps; name their folders as docs/datasets.md says"),
    (_has("r", "g", "b"), f"lists the colours of classes in label maps; {MAPS}"),
    (_starts(r"(\d+[ \t]+){3}[A-Za-z].*"), f"lists the colours of classes in label maps; {MAPS}"),
    (_has("bbox"), "holds a box in one value 'bbox'; write image,class,x0,y0,x1,y1 (docs/your-data.md)"),
    (_starts(r"[A-Za-z_-]+( -?[\d.]+){14,15}"), "is KITTI's; convert it to COCO or YOLO"),
    (_starts(r"(imagesource|gsd):.*"), f"is DOTA's; {DOTA}"),
    (_starts(r"(-?[\d.]+ ){8}\S+ [0-2]"), f"is DOTA's; {DOTA}"),
    (_starts(r"-?\d+(,-?[\d.]+){7,9},?"), "holds boxes of VisDrone or MOT; convert it to COCO or YOLO"),
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
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return f"{path}: {SUFFIXES[suffix]}"
    try:
        return f"{path}: {describe_foreign(PARSERS[suffix](path))}"
    except ValueError as error:
        return str(error)
