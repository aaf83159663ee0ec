"""Detections (COCO's results JSON) and the true objects that they are scored against (COCO's instances JSON).

A file is of one shard, and masks are compressed run lengths. Ids of images and categories are those of the label files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pseudogt.classes import ClassTable
from pseudogt.files.io import read_json, write_json

Annotation = dict[str, Any]
"""``category_id``, ``bbox`` (x, y, width, height), ``score`` or ``iscrowd``, and ``segmentation`` if it has a mask."""

DECIMALS = 3
"""Decimals to which the sides of boxes are rounded, in pixels."""


class DetectionWriter:
    """Collects the detections of one shard; made by :func:`write_detections`."""

    def __init__(self) -> None:
        self.results: list[Annotation] = []

    def add(self, image_id: str, found: Sequence[Annotation]) -> None:
        """Add the detections of an image, each with a ``score``."""
        self.results += [{"image_id": image_id, **_to_json(each)} for each in found]


@contextmanager
def write_detections(path: Path | str) -> Iterator[DetectionWriter]:
    """A :class:`DetectionWriter` whose file is written if the block ends well."""
    writer = DetectionWriter()
    yield writer
    write_json(path, writer.results, indent=None)


def read_detections(path: Path | str) -> dict[str, list[Annotation]]:
    """Detections by image id; an image without any is not in the file.

    Raises
    ------
    ValueError
        If the file is missing, is not a list, or an entry lacks a key; the message names it.
    """
    results = read_json(path)
    if not isinstance(results, list):
        raise ValueError(f"{path}: expected a list of detections (COCO's results), found {type(results).__name__}")
    found: dict[str, list[Annotation]] = {}
    for number, result in enumerate(results):
        missing = {"image_id", "category_id", "bbox", "score"} - set(result)
        if missing:
            raise ValueError(f"{path}: detection {number} has no {sorted(missing)[0]}; recompute the file")
        found.setdefault(result["image_id"], []).append(_from_json(result))
    return found


class TrueObjectsOfShard(NamedTuple):
    """Content of a file of true objects.

    Attributes
    ----------
    sizes : mapping
        ``(H, W)`` of each image.
    objects : mapping
        Annotations of each image, ``iscrowd`` among them; none for an image without objects.
    classes : ClassTable
    """

    sizes: dict[str, tuple[int, int]]
    objects: dict[str, list[Annotation]]
    classes: ClassTable


def write_true_objects(
    path: Path | str,
    sizes: Mapping[str, tuple[int, int]],
    objects: Mapping[str, Sequence[Annotation]],
    classes: ClassTable,
) -> None:
    """Write the true objects of a shard; see :class:`TrueObjectsOfShard`."""
    images = [{"id": image_id, "height": height, "width": width} for image_id, (height, width) in sizes.items()]
    annotations = [{"image_id": image_id, **_to_json(each)} for image_id in sizes for each in objects[image_id]]
    document = {
        "images": images,
        "categories": classes.to_categories(),
        # pycocotools reads the id 0 of a matched annotation as "no match".
        "annotations": [{"id": number, **each} for number, each in enumerate(annotations, start=1)],
    }
    write_json(path, document, indent=None, checksum=True)


def read_true_objects(path: Path | str) -> TrueObjectsOfShard:
    """Read the true objects of a shard."""
    document = read_json(path)
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    objects: dict[str, list[Annotation]] = {image_id: [] for image_id in sizes}
    for annotation in document["annotations"]:
        objects[annotation["image_id"]].append(_from_json(annotation))
    return TrueObjectsOfShard(sizes, objects, ClassTable.from_categories(document["categories"]))


def _to_json(annotation: Annotation) -> Annotation:
    """Text in place of the bytes of run lengths, and short numbers."""
    written = annotation | {"bbox": [round(float(side), DECIMALS) for side in annotation["bbox"]]}
    if "score" in annotation:
        written["score"] = float(f"{annotation['score']:.9g}")  # what tells 32-bit numbers apart
    if "segmentation" in annotation:
        mask = annotation["segmentation"]
        written["segmentation"] = {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
    return written


def _from_json(annotation: Annotation) -> Annotation:
    if "segmentation" not in annotation:
        return annotation
    mask = annotation["segmentation"]
    return annotation | {"segmentation": {"size": mask["size"], "counts": mask["counts"].encode("ascii")}}
