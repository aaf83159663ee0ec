"""COCO panoptic: ``panoptic.json`` and ``panoptic/<image id>.png``. Keeps everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import VOID, ClassTable, find_crowds
from pseudogt.config.export import ExportSettings
from pseudogt.export.documents import stream_object
from pseudogt.export.segments import LabelledImage, assign_panoptic_ids, list_categories
from pseudogt.files.images import read_image, write_png
from pseudogt.files.io import read_json
from pseudogt.files.labels import (
    PANOPTIC_JSON,
    SEGMENT_INFO,
    SEGMENTED_IMAGE,
    describe_segments,
    panoptic_to_rgb,
    rgb_to_panoptic,
)
from pseudogt.parsing.documents import fit_record

FOLDER = "panoptic"


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where readers look for an image."""
    return Path("images", file_name)


def write_image(
    folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings
) -> list[dict[str, Any]]:
    """Write the PNG of an image and return its ``segments_info``."""
    write_png(folder / FOLDER / f"{image.image_id}.png", panoptic_to_rgb(image.panoptic_id))
    return describe_segments(image.panoptic_id, find_crowds(image.panoptic_id, classes), image.scores)


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write ``panoptic.json``; image ids are numbers there, as in COCO, and PNG files carry our image ids."""
    stream_object(
        folder / PANOPTIC_JSON,
        {
            "images": list_exported_images(records),
            "annotations": _list_annotations(records),
            "categories": list_categories(classes),
        },
    )


def list_exported_images(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """COCO ``images`` with ids from 1."""
    for number, record in enumerate(records, 1):
        yield {key: record[key] for key in ("file_name", "height", "width")} | {"id": number}


def _list_annotations(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, record in enumerate(records, 1):
        yield {"image_id": number, "file_name": f"{record['image_id']}.png", "segments_info": record["entry"]}


class PanopticSet:
    """COCO panoptic labels of any tool; an image's id is the name of its PNG."""

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        self._folder, self._classes = folder, classes
        self._document = folder / PANOPTIC_JSON
        document = read_json(self._document)
        self._train_ids = match_categories(document["categories"], classes, self._document)
        where = f"{self._document}: annotation number"
        numbered = enumerate(document["annotations"])
        entries = [fit_record(SEGMENTED_IMAGE, entry, f"{where} {i}") for i, entry in numbered]
        self._annotations = {Path(entry["file_name"]).stem: entry for entry in entries}

    @property
    def image_ids(self) -> list[str]:
        """Images in file order."""
        return list(self._annotations)

    def read(self, image_id: str) -> NDArray[np.int32]:
        """Panoptic ids ``(H, W) int32`` of one image."""
        annotation = self._annotations[image_id]
        path = self._find_file(annotation["file_name"])
        found = rgb_to_panoptic(read_image(path))
        where = f"{self._document}: {annotation['file_name']}"
        segments = [fit_record(SEGMENT_INFO, entry, where) for entry in annotation["segments_info"]]
        for segment in segments:
            if segment["category_id"] not in self._train_ids:
                raise ValueError(
                    f"{self._document}: a segment of {image_id!r} has category_id {segment['category_id']}, which is "
                    "not in the class table; correct it or add the class to dataset.classes"
                )
        numbered = assign_panoptic_ids(
            ((self._train_ids[s["category_id"]], str(s["id"])) for s in segments), self._classes
        )
        table = {VOID: VOID} | {s["id"]: i for s, i in zip(segments, numbered, strict=True)}
        values, index = np.unique(found, return_inverse=True)
        unknown = [v for v in values.tolist() if v not in table]
        if unknown:
            raise ValueError(f"{path}: ids {unknown[:5]} are not in segments_info of {self._document}; add them there")
        return np.array([table[v] for v in values.tolist()], np.int32)[index.reshape(found.shape)]

    def _find_file(self, name: str) -> Path:
        """PNGs lie in ``panoptic/``, or beside the document as in the runs' own label folders."""
        inside = self._folder / FOLDER / name
        return inside if inside.is_file() else self._folder / name


def read_set(folder: Path, classes: ClassTable) -> PanopticSet:
    """The labels in a folder."""
    return PanopticSet(folder, classes)


def match_categories(categories: Iterable[dict[str, Any]], classes: ClassTable, path: Path) -> dict[int, int]:
    """Category id of a document -> train id, by name; unknown names are left out, unless none is known."""
    to_train = {name: train_id for train_id, name in enumerate(classes.names)}
    found = {int(c["id"]): to_train[c["name"]] for c in categories if c["name"] in to_train}
    if not found:
        raise ValueError(f"{path}: none of its categories is in the class table, which has {', '.join(classes.names)}")
    return found
