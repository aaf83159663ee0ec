"""Input and output of box segmenters: each is loaded once, prepared once per image, then called for every box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pseudogt.proposals.contours import FindContours
from pseudogt.proposals.generation import Proposals
from pseudogt.weak_labels.labelled import LabelledPixels
from pseudogt.weak_labels.marks import NO_OBJECT

IS_THING, IS_OTHER, UNCERTAIN = 1, 0, -1


@dataclass(frozen=True)
class BoxScene:
    """An image with its boxes, and what earlier stages know of it.

    Attributes
    ----------
    image : (H, W, 3) uint8 RGB
    boxes_xyxy : (N, 4) int32
        Half-open, inside the image.
    classes : (N,) integer
        Train ids.
    proposals : Proposals, optional
        Read by ``proposal``.
    cams : {train id: (h, w) float32}, optional
        Score maps of classes, of any size; read by ``grabcut`` with ``cam_prior``.
    labelled : LabelledPixels, optional
        Pixels whose class, and maybe box, is certain.
    """

    image: NDArray[np.uint8]
    boxes_xyxy: NDArray[np.int32]
    classes: NDArray[np.integer]
    proposals: Proposals | None = None
    cams: dict[int, NDArray[np.float32]] | None = None
    labelled: LabelledPixels | None = None

    def find_certain(self, index: int) -> NDArray[np.int8] | None:
        """Labelled pixels of a box: ``(H, W)``, ``IS_THING``, ``IS_OTHER`` or ``UNCERTAIN``; None without any."""
        if not self.labelled:
            return None
        rows, columns, is_thing = self.find_labels(index)
        certain = np.full(self.image.shape[:2], UNCERTAIN, np.int8)
        certain[rows, columns] = np.where(is_thing, IS_THING, IS_OTHER)
        return certain

    def find_labels(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Rows and columns ``(P,)`` of labelled pixels of the image, and whether each belongs to the thing of a box.

        Pixels of another class, or of another object of its class, do not. Pixels whose object is not known are left
        out if they have its class.
        """
        if not self.labelled:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool)
        rows, columns, classes, owners = self.labelled
        is_certain = (classes != self.classes[index]) | (owners != NO_OBJECT)
        return rows[is_certain], columns[is_certain], owners[is_certain] == index

    def other_boxes(self, index: int) -> NDArray[np.int32]:
        """Boxes ``(N - 1, 4)`` of the other things."""
        return np.delete(self.boxes_xyxy, index, 0)


MaskOrProbability = NDArray[np.bool_] | NDArray[np.float32]
"""A mask ``(h, w)`` in a box, or the probability of one."""

BoxSegmenter = Callable[[int], MaskOrProbability]
"""From the position of a box to a mask ``(h, w)`` in it, or the probability of one."""

PrepareScene = Callable[[BoxScene], BoxSegmenter]


@dataclass(frozen=True)
class SegmenterOptions:
    """Settings with which segmenters are loaded; each uses those it needs.

    Attributes
    ----------
    smoothness : {"colour", "gradient", "learned"}
        Where GrabCut likes to cut: along differences of colour, or of regions by these contours.
    restarts : int
        Number of GrabCut runs, of which the majority counts.
    cam_prior : bool
        Whether GrabCut starts from the score maps of the scene.
    sam_model : str or None
        Folder or name of a Segment Anything model.
    device : {"auto", "cpu", "cuda"}
        Where it computes.
    precision : {"auto", "fp32", "bf16"}
        In which numbers it looks at the image.
    torch_threads : int
        On how many threads it does on the CPU.
    load_contours : callable
        From "gradient" or "learned" to what finds the contours of an image.
    """

    smoothness: str
    restarts: int
    cam_prior: bool
    sam_model: str | None
    device: str
    precision: str
    torch_threads: int
    load_contours: Callable[[str], FindContours]


LoadSegmenter = Callable[[SegmenterOptions], PrepareScene]
"""Entry in the table of box segmenters: a function that loads one and reads its weights once."""
