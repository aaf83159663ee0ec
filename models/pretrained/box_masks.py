"""A small class-agnostic network that turns a box into the mask of its object.

It has the architecture of the contour network and starts from its weights; :mod:`models.pretraining.box_masks`
trains it on segments that people drew. The box is looked at in a window in which its longer side
always has the same length, so that small and large things look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from models.backbones import normalise_images
from models.backbones.layers import fuse_norms
from models.checkpoints import load_checkpoint, save_checkpoint
from models.pretrained.contours import WIDTHS, ContourNetwork
from pseudogt.box_masks.scene import BoxScene, BoxSegmenter, PrepareScene, SegmenterOptions
from pseudogt.boxes import box_areas, box_slices, check_boxes
from pseudogt.workflow import weights

MODEL_KIND = "box masks"
WINDOW_PX = 160
"""Side of the window that the network sees."""

BOX_PX = 104
"""Length of the box's longer side in the window."""

VIEWS = (0.8, 1.2)
"""Sizes at which a box is seen; their mean is better than either, by 0.005 of IoU on coco_panoptic val_dev."""

BOXES_AT_ONCE = 8
"""Boxes of an image that the network sees in one batch, which takes a fifth less time than one by one."""

CHANNELS_IN = 6
"""RGB; the box; other boxes; outside the image."""


class Window(NamedTuple):
    """Where a window lies in the image: ``window = scale * (image - origin)``, both in pixels.

    Attributes
    ----------
    origin : (2,) float
        x and y of the window's upper left corner.
    scale : float
    """

    origin: NDArray[np.float64]
    scale: float


def load_network(options: SegmenterOptions) -> PrepareScene:
    """The box segmenter of this network: probabilities. It runs on one thread."""
    torch.set_num_threads(1)
    model = BoxMaskModel.load(weights.BOX_MASKS)

    def prepare(scene: BoxScene) -> BoxSegmenter:
        found = model.segment_boxes(scene.image, scene.boxes_xyxy, scene.classes)
        return lambda index: found[index]

    return prepare


class BoxMaskModel:
    """The network with its weights, applied to the boxes of one image at a time.

    Parameters
    ----------
    network : ContourNetwork
        With ``CHANNELS_IN`` channels.
    """

    def __init__(self, network: ContourNetwork) -> None:
        self.network = fuse_norms(network).to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, path: Path | str) -> BoxMaskModel:
        """Read a model file.

        Raises
        ------
        ValueError
            If the file is missing, broken or holds something else.
        """
        state = load_checkpoint(path, kind=MODEL_KIND)
        network = ContourNetwork(widths=state["widths"], channels_in=CHANNELS_IN)
        network.load_state_dict({name: value.float() for name, value in state["network"].items()})
        return cls(network)

    def segment_boxes(
        self, image: NDArray[np.uint8], boxes_xyxy: ArrayLike, classes: ArrayLike
    ) -> list[NDArray[np.float32]]:
        """How sure it is that a pixel of each box belongs to its thing.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
        boxes_xyxy : (N, 4) int
            Half-open, inside the image.
        classes : (N,) int

        Returns
        -------
        list of (h, w) float32
            In the boxes, in [0, 1]: probabilities, each weighed against those of other boxes
            (:func:`share_pixels`), and shifted so that above 0.5 lies the mask of the highest
            expected IoU.

        Raises
        ------
        ValueError
            For a box that is inverted, empty or outside the image.
        """
        boxes = check_boxes(boxes_xyxy, image.shape[:2])
        alone = [seen for start in range(0, len(boxes), BOXES_AT_ONCE) for seen in self._see_boxes(image, boxes, start)]
        return [shift_to_best_mask(each) for each in share_pixels(alone, boxes, np.asarray(classes))]

    def _see_boxes(self, image: NDArray[np.uint8], boxes: NDArray[np.int32], start: int) -> list[NDArray[np.float32]]:
        """Probabilities ``(h, w)`` of the things in ``BOXES_AT_ONCE`` boxes from ``start`` on.

        Each is the mean over the sizes of the window and their mirror images.
        """
        views = [
            (index, place_window(boxes[index], enlarge=factor))
            for index in range(start, min(start + BOXES_AT_ONCE, len(boxes)))
            for factor in VIEWS
        ]
        inputs = [cut_inputs(image, boxes[i], np.delete(boxes, i, 0), window) for i, window in views]
        probabilities = self._run_network(np.stack(inputs))
        sampled = [_sample_box(p, boxes[i], w) for p, (i, w) in zip(probabilities, views, strict=True)]
        by_box = (sampled[k : k + len(VIEWS)] for k in range(0, len(sampled), len(VIEWS)))
        return [np.mean(of_box, axis=0, dtype=np.float32) for of_box in by_box]

    @torch.inference_mode()
    def _run_network(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities ``(B, S, S)`` in windows ``(B, 6, S, S)``, the mean over them and their mirror images."""
        tensors = torch.from_numpy(inputs)
        views = torch.cat([tensors, tensors.flip(-1)]).contiguous(memory_format=torch.channels_last)
        straight, mirrored = self.network(normalise_inputs(views)).chunk(2)
        return torch.sigmoid((straight + mirrored.flip(-1)) / 2).numpy()


def share_pixels(
    probabilities: Sequence[NDArray[np.float32]], boxes_xyxy: NDArray[np.int32], classes: NDArray[Any]
) -> list[NDArray[np.float32]]:
    """Probabilities of things whose boxes overlap, weighed against each other: a pixel belongs to one thing.

    If at most one of several things with odds ``o`` has a pixel, it is thing i with probability
    ``o_i / (1 + sum of o)``. The odds of others count by how likely they are in front:

    ========================================  ======
    other box                                 weight
    ========================================  ======
    less than half the size                   1
    smaller, or of the same class             0.3
    larger, of another class                  0
    ========================================  ======

    Mean IoU on cityscapes_aachen8 rises by 0.009, on voc2007_seg by 0.001, on coco_panoptic val_dev
    by 0.003; with all weights 1 the last one falls by 0.019.

    Parameters
    ----------
    probabilities : sequence of (h, w) float32
        In the boxes.
    boxes_xyxy : (N, 4) int32
    classes : (N,)
    """
    # Odds of each pixel, kept finite at probability 1.
    odds = [(p / np.maximum(1 - p, np.float32(1e-4))).astype(np.float32) for p in probabilities]
    # Weight of the odds of box j for box i, by the table above; 0 for itself and for boxes that do not meet: (N, N).
    areas = np.maximum(box_areas(boxes_xyxy), 1)
    ratio = areas[None] / areas[:, None]
    weights = np.where(ratio < 0.5, 1, np.where((ratio < 1) | (classes[:, None] == classes[None]), 0.3, 0))
    np.fill_diagonal(weights, 0)
    low = np.maximum(boxes_xyxy[:, None, :2], boxes_xyxy[None, :, :2])
    high = np.minimum(boxes_xyxy[:, None, 2:], boxes_xyxy[None, :, 2:])
    weights[(high <= low).any(-1)] = 0
    totals = [np.float32(1) + each for each in odds]
    for own, other in np.argwhere(weights):
        # The intersection in the coordinates of each of the two boxes.
        corners = np.concatenate([low[own, other], high[own, other]])
        in_own, in_other = (box_slices(corners - np.tile(boxes_xyxy[k, :2], 2)) for k in (own, other))
        totals[own][in_own] += np.float32(weights[own, other]) * odds[other][in_other]
    return [(each / total).astype(np.float32) for each, total in zip(odds, totals, strict=True)]


def shift_to_best_mask(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities ``(h, w)`` whose logits are shifted so that those above 0.5 make the mask of best expected IoU.

    With pixels taken as independent, the mask of the k most probable pixels has an expected overlap
    of about ``sum of their p / (k + sum of the others' p)``; the best k ends below 0.5, since an
    unsure pixel costs less inside than it costs if it is missed.
    """
    ordered = np.sort(probability.ravel())[::-1].astype(np.float64)
    # Expected IoU of the k most probable pixels, for every k.
    inside = np.cumsum(ordered)
    best = (inside / (np.arange(1, len(ordered) + 1) + inside[-1] - inside)).argmax()
    # Divide the odds by those of the last pixel taken, which then lies just above 0.5.
    last = np.clip(ordered[best] - 1e-6, 1e-6, 1 - 1e-6)
    odds = probability * (1 - last)
    return (odds / np.maximum(odds + (1 - probability) * last, 1e-12)).astype(np.float32)


def place_window(box_xyxy: ArrayLike, *, enlarge: float = 1.0, shift: ArrayLike = (0.0, 0.0)) -> Window:
    """Window around a box.

    Parameters
    ----------
    box_xyxy : (4,)
    enlarge : float
        Factor on the size at which the box is seen.
    shift : (2,) float
        By how many box lengths the window's middle lies off that of the box, in x and y.
    """
    box = np.asarray(box_xyxy, np.float64)
    longer = (box[2:] - box[:2]).max()
    scale = enlarge * BOX_PX / longer
    middle = (box[:2] + box[2:]) / 2 + longer * np.asarray(shift, np.float64)
    return Window(middle - WINDOW_PX / 2 / scale, scale)


def cut_inputs(
    image: NDArray[np.uint8], box: NDArray[np.int32], others: NDArray[np.int32], window: Window
) -> NDArray[np.uint8]:
    """Input of the network for a box: ``(6, WINDOW_PX, WINDOW_PX) uint8``, its last three channels 0 or 255."""
    everything = np.array([0, 0, image.shape[1], image.shape[0]])
    inputs = np.zeros((CHANNELS_IN, WINDOW_PX, WINDOW_PX), np.uint8)
    inputs[:3] = cut_map(image, window).transpose(2, 0, 1)
    inputs[3] = 255 * _cover(box[None], window)
    inputs[4] = 255 * _cover(others, window)
    inputs[5] = 255 * ~_cover(everything[None], window)
    return inputs


def cut_map(values: NDArray[Any], window: Window) -> NDArray[Any]:
    """Part of a map ``(H, W[, C])`` in a window, ``(WINDOW_PX, WINDOW_PX[, C])``; the ends are continued outside.

    What is made smaller is averaged.
    """
    height, width = values.shape[:2]
    origin, scale = window
    # Pixels of the image under the window, and one more on each side to interpolate with.
    x0, y0 = np.clip(np.floor(origin).astype(int) - 1, 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(origin + WINDOW_PX / scale).astype(int) + 1, 1, [width, height])
    part = np.ascontiguousarray(values[y0:y1, x0:x1])
    ratio_x = ratio_y = 1.0
    if scale < 1:
        size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
        ratio_x, ratio_y = size[0] / (x1 - x0), size[1] / (y1 - y0)
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    # Positions of pixel centres: window -> image -> part.
    step_x, step_y = ratio_x / scale, ratio_y / scale
    offset_x = (origin[0] + 0.5 / scale - x0) * ratio_x - 0.5
    offset_y = (origin[1] + 0.5 / scale - y0) * ratio_y - 0.5
    matrix = np.array([[step_x, 0, offset_x], [0, step_y, offset_y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(part, matrix, (WINDOW_PX, WINDOW_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def normalise_inputs(inputs: Tensor) -> Tensor:
    """Inputs ``(B, 6, S, S) uint8`` as float32: colours normalised, the rest 0 or 1."""
    return torch.cat([normalise_images(inputs[:, :3]), inputs[:, 3:].float() / 255], dim=1)


def compute_box_mask_loss(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Losses in the box.

    Parameters
    ----------
    logits, targets : (B, S, S)
        ``targets`` in [0, 1]; negative outside the box and where nothing is known.

    Returns
    -------
    dict
        ``pixels``: cross-entropy, in which all boxes weigh the same; ``overlap``: 1 - soft IoU.
    """
    logits = logits.float()
    known = (targets >= 0).float()
    target = targets.clamp(min=0)
    area = known.sum((1, 2)).clamp(min=1)
    pixels = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * known).sum((1, 2)) / area
    # Soft IoU of each box; adding 1 above and below makes that of an empty mask finite.
    probability = torch.sigmoid(logits) * known
    both = (probability * target).sum((1, 2))
    either = (probability + target * known).sum((1, 2)) - both
    return {"pixels": pixels.mean(), "overlap": 1 - ((both + 1) / (either + 1)).mean()}


def save_box_masks(path: Path | str, network: ContourNetwork, widths: Sequence[int] = WIDTHS) -> None:
    """Write a model file: float16 weights, about 5 MB."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    save_checkpoint(path, {"kind": MODEL_KIND, "widths": list(widths), "network": state})


def build_from_contours(contours: ContourNetwork, widths: Sequence[int] = WIDTHS) -> ContourNetwork:
    """A network of box masks that starts as the contour network: further channels count nothing at first."""
    network = ContourNetwork(widths=widths, channels_in=CHANNELS_IN)
    state = contours.state_dict()
    first = next(name for name, value in state.items() if value.ndim == 4)
    extra = state[first].new_zeros(len(state[first]), CHANNELS_IN - 3, *state[first].shape[2:])
    network.load_state_dict({**state, first: torch.cat([state[first], extra], dim=1)})
    return network


def _cover(boxes: NDArray[Any], window: Window) -> NDArray[np.bool_]:
    """Window pixels whose centre lies in one of the boxes."""
    # Centres of the window's pixels in coordinates of the image.
    x, y = (window.origin[axis] + (np.arange(WINDOW_PX) + 0.5) / window.scale for axis in (0, 1))
    covered = np.zeros((WINDOW_PX, WINDOW_PX), bool)
    for x0, y0, x1, y1 in boxes:
        covered |= ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))
    return covered


def _sample_box(values: NDArray[np.float32], box: NDArray[np.int32], window: Window) -> NDArray[np.float32]:
    """Window values at the pixels of the box, ``(h, w)``; means where the box is smaller than its window."""
    width, height = (int(v) for v in box[2:] - box[:2])
    origin, scale = window
    if scale > 1:  # the box is smaller in the image: average first
        size = max(1, round(WINDOW_PX / scale))
        values = np.asarray(cv2.resize(values, (size, size), interpolation=cv2.INTER_AREA), np.float32)
        scale *= size / WINDOW_PX
    # Centres of the box's pixels in coordinates of the window.
    x = ((np.arange(box[0], box[0] + width) + 0.5 - origin[0]) * scale - 0.5).astype(np.float32)
    y = ((np.arange(box[1], box[1] + height) + 0.5 - origin[1]) * scale - 0.5).astype(np.float32)
    map_x, map_y = np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))
    sampled = cv2.remap(
        values,
        np.ascontiguousarray(map_x),
        np.ascontiguousarray(map_y),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(sampled, np.float32)
