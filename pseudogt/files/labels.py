"""Label files: COCO panoptic, one folder per shard.

A folder holds ``<image_id>.png`` (RGB, ``id = R + 256 G + 65536 B``, 0 = no label) and
``panoptic.json`` with ``images``, ``categories`` and ``annotations[].segments_info``. Any COCO
panoptic tool opens it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NotRequired

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy.ndimage import find_objects
from typing_extensions import TypedDict

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.files.by_image import map_images
from pseudogt.files.id_maps import UNFILTERED, read_unfiltered
from pseudogt.files.images import decode_image, write_encoded
from pseudogt.files.io import read_json, replace_atomically, write_json
from pseudogt.parsing.values import Flag

PANOPTIC_JSON = "panoptic.json"


class SegmentInfo(TypedDict):
    """The part of an entry of ``segments_info`` that is read."""

    id: int
    category_id: int
    iscrowd: NotRequired[Flag]


class SegmentedImage(TypedDict):
    """The part of an entry of ``annotations`` that is read; its segments are checked one by one."""

    file_name: str
    segments_info: list[Any]


SEGMENT_INFO, SEGMENTED_IMAGE = TypeAdapter(SegmentInfo), TypeAdapter(SegmentedImage)


class LabelWriter:
    """Collects the labels of one shard; made by :func:`write_labels`."""

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        self._folder = folder
        self._classes = classes
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(
        self,
        image_id: str,
        panoptic_id: NDArray[np.int32],
        *,
        crowd_ids: Iterable[int] = (),
        scores: Mapping[int, float] | None = None,
        unknown_ids: Iterable[int] = (),
    ) -> None:
        """Write the label of one image.

        Parameters
        ----------
        image_id : str
        panoptic_id : (H, W) int32
            ``category_id * 1000 + k``, ``VOID`` where nothing is known.
        crowd_ids
            Panoptic ids of segments to mark ``iscrowd``.
        scores
            Confidence in [0, 1] by panoptic id, stored as ``score`` in ``segments_info``.
        unknown_ids
            Train ids of classes that may be where nothing is known, stored as ``unknown_categories`` if there are any.
        """
        write_encoded(self._folder / f"{image_id}.png", panoptic_to_rgb(panoptic_id)[..., ::-1], UNFILTERED)
        height, width = panoptic_id.shape
        self._images.append({"id": image_id, "file_name": f"{image_id}.jpg", "height": height, "width": width})
        segments = describe_segments(panoptic_id, set(crowd_ids), scores or {})
        annotation = {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": segments}
        unknown = [self._classes.category_ids[train_id] for train_id in unknown_ids]
        self._annotations.append(annotation | ({"unknown_categories": unknown} if unknown else {}))

    def copy(self, source: LabelFolder, image_id: str) -> None:
        """Take over the label of an image as it is, without scores."""
        self.add(image_id, source.read(image_id), crowd_ids=source.crowd_ids(image_id))

    def finish(self) -> None:
        """Write ``panoptic.json``."""
        categories = self._classes.to_categories()
        background = self._classes.background_category_id
        if any(s["category_id"] == background for a in self._annotations for s in a["segments_info"]):
            categories.append({"id": background, "name": "background", "isthing": 0, "color": [96, 96, 96]})
        document = {"images": self._images, "categories": categories, "annotations": self._annotations}
        write_json(self._folder / PANOPTIC_JSON, document, checksum=True)


def describe_segments(
    panoptic_id: NDArray[np.int32], crowd_ids: set[int], scores: Mapping[int, float]
) -> list[dict[str, Any]]:
    """COCO ``segments_info`` of panoptic ids ``(H, W) int32``, ascending by id, ``VOID`` left out."""
    ids, inverse, areas = np.unique(panoptic_id, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(panoptic_id.shape)
    segments = []
    for position, box in enumerate(_bounding_boxes(inverse, len(ids))):
        segment_id = int(ids[position])
        if segment_id == VOID:
            continue
        segment = {
            "id": segment_id,
            "category_id": segment_id // INSTANCE_DIVISOR,
            "area": int(areas[position]),
            "bbox": box,
            "iscrowd": int(segment_id in crowd_ids),
        }
        if segment_id in scores:
            segment["score"] = round(float(scores[segment_id]), 6)
        segments.append(segment)
    return segments


def _bounding_boxes(index: NDArray[np.intp], count: int) -> list[list[int]]:
    found = find_objects(index + 1, max_label=count)
    boxes = []
    for slices in found:
        rows, columns = slices
        boxes.append([columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start])
    return boxes


@contextmanager
def write_labels(folder: Path | str, classes: ClassTable) -> Iterator[LabelWriter]:
    """A :class:`LabelWriter` whose folder appears at ``folder`` only if the block ends well."""
    with replace_atomically(folder) as temporary:
        temporary.mkdir()
        writer = LabelWriter(temporary, classes)
        yield writer
        writer.finish()


class LabelFolder:
    """The labels of one shard on disk, read image by image.

    Segments are kept as text, a fifth of the memory: evaluation holds the folders of all shards.
    """

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder)
        annotations = read_json(self.path / PANOPTIC_JSON)["annotations"]
        self._unknown = {str(a["image_id"]): a.get("unknown_categories", []) for a in annotations}
        self._file_names = {str(a["image_id"]): a["file_name"] for a in annotations}
        self._segments = {str(a["image_id"]): json.dumps(a["segments_info"]) for a in annotations}

    @property
    def image_ids(self) -> list[str]:
        """Images in file order."""
        return list(self._file_names)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._file_names

    def read(self, image_id: str) -> NDArray[np.int32]:
        """Panoptic ids ``(H, W) int32`` of one image."""
        if image_id not in self._file_names:
            raise ValueError(f"{self.path / PANOPTIC_JSON}: no annotation of image {image_id!r}")
        png = self.path / self._file_names[image_id]
        panoptic_id = read_unfiltered(png)
        try:
            return bgr_to_panoptic(decode_image(png, cv2.IMREAD_COLOR)) if panoptic_id is None else panoptic_id
        except ValueError as error:
            raise ValueError(f"{error}; if a run made it, delete the folder {self.path} and run again") from error

    def segments(self, image_id: str) -> list[dict[str, Any]]:
        """``segments_info`` of one image."""
        return json.loads(self._segments[image_id])

    def crowd_ids(self, image_id: str) -> set[int]:
        """Panoptic ids of the segments of one image that are crowds."""
        return {segment["id"] for segment in self.segments(image_id) if segment["iscrowd"]}

    def unknown_categories(self, image_id: str) -> list[int]:
        """Ids of the categories whose presence in an image is unknown."""
        return list(self._unknown[image_id])

    def scores(self, image_id: str) -> dict[int, float]:
        """Scores of the segments of one image that have one, by panoptic id."""
        return {segment["id"]: segment["score"] for segment in self.segments(image_id) if "score" in segment}


def read_label_folders(folders: Iterable[Path | str]) -> dict[str, LabelFolder]:
    """Map each image id to the folder that holds its label; an id in two folders is an error."""
    return map_images(map(LabelFolder, folders))


def panoptic_to_rgb(panoptic_id: NDArray[np.int32]) -> NDArray[np.uint8]:
    """COCO colour coding ``(H, W, 3)``: ``id = R + 256 G + 65536 B``."""
    if panoptic_id.size and not 0 <= int(panoptic_id.min()) <= int(panoptic_id.max()) < 256**3:
        raise ValueError("panoptic ids must lie in 0..2**24-1")
    # Of the four bytes of a little-endian id the first three are red, green and blue.
    little_endian = np.ascontiguousarray(panoptic_id, dtype="<i4")
    return little_endian.view(np.uint8).reshape(*panoptic_id.shape, 4)[..., :3].copy()


def rgb_to_panoptic(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Panoptic ids ``(H, W)`` of colours ``(H, W, 3)``: the inverse of :func:`panoptic_to_rgb`."""
    return _join_bytes(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA))


def bgr_to_panoptic(bgr: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Do the same with channels in the order in which OpenCV reads them."""
    return _join_bytes(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGBA))


def _join_bytes(rgba: NDArray[Any]) -> NDArray[np.int32]:
    """Read four bytes as one number and drop the last, in place: large arrays cost more to get than to fill."""
    panoptic_id = rgba.view("<i4")[..., 0]
    panoptic_id &= 0xFFFFFF
    return panoptic_id
