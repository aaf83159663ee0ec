"""The box segmenters by name: each is loaded once, prepared once per image, then asked for every box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pseudogt.box_masks.grabcut import segment_by_grabcut, smooth_regions
from pseudogt.box_masks.hierarchy import build_hierarchy, segment_by_hierarchy
from pseudogt.boxes import box_iou, box_slices, measure_thing_radius
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.maps import resize_maps
from pseudogt.proposals.engine import prepare_regions
from pseudogt.proposals.generation import Proposals
from pseudogt.workflow import weights

MIN_PROPOSAL_IOU = 0.4
"""A box that no proposal's box overlaps more is not covered by the proposals."""


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
    """

    image: NDArray[np.uint8]
    boxes_xyxy: NDArray[np.int32]
    classes: NDArray[np.integer]
    proposals: Proposals | None = None
    cams: dict[int, NDArray[np.float32]] | None = None

    def other_boxes(self, index: int) -> NDArray[np.int32]:
        """Boxes ``(N - 1, 4)`` of the other things."""
        return np.delete(self.boxes_xyxy, index, 0)


BoxSegmenter = Callable[[int], NDArray[np.bool_] | NDArray[np.float32]]
"""From the position of a box to a mask ``(h, w)`` in it, or the probability of one."""

PrepareScene = Callable[[BoxScene], BoxSegmenter]


def load_grabcut(settings: BoxMasksSettings) -> PrepareScene:
    """GrabCut, see :func:`pseudogt.box_masks.grabcut.segment_by_grabcut`."""
    find_regions = None if settings.smoothness == "colour" else prepare_regions(settings.smoothness)

    def prepare(scene: BoxScene) -> BoxSegmenter:
        image = scene.image if find_regions is None else smooth_regions(scene.image, find_regions(scene.image))
        priors = _find_priors(scene) if settings.cam_prior else {}
        return lambda index: segment_by_grabcut(
            image,
            scene.boxes_xyxy[index],
            scene.other_boxes(index),
            prior=priors.get(int(scene.classes[index])),
            restarts=settings.restarts,
            seed=settings.seed,
        )

    return prepare


def _find_priors(scene: BoxScene) -> dict[int, NDArray[np.float32]]:
    if scene.cams is None:
        raise ValueError("cam_prior needs the CAMs of the shard; give --cams, or set box_masks.cam_prior to false")
    ids = [train_id for train_id in np.unique(scene.classes).tolist() if train_id in scene.cams]
    height, width = scene.image.shape[:2]
    return {train_id: resize_maps(scene.cams[train_id][None], (height, width))[0] for train_id in ids}


def load_hierarchy(settings: BoxMasksSettings) -> PrepareScene:
    """Regions of a contour hierarchy, see :func:`pseudogt.box_masks.hierarchy.segment_by_hierarchy`; not random."""

    def prepare(scene: BoxScene) -> BoxSegmenter:
        if min(scene.image.shape[:2]) < 2:  # no border to rank
            return load_ellipse(settings)(scene)
        hierarchy = build_hierarchy(scene.image)
        return lambda index: segment_by_hierarchy(hierarchy, scene.boxes_xyxy[index])

    return prepare


def load_proposal(settings: BoxMasksSettings) -> PrepareScene:
    """The proposal whose box fits best, of like ones that of the higher score; cut at the box.

    A box that no proposal fits (IoU of boxes under 0.4) gets the ellipse.
    """

    def prepare(scene: BoxScene) -> BoxSegmenter:
        if scene.proposals is None:
            raise ValueError("segmenter `proposal` needs the proposals of the shard; give --proposals")
        superpixels, members, scores, boxes = scene.proposals
        fits = box_iou(scene.boxes_xyxy, boxes)
        trust = 0.5 + 0.5 * np.asarray(scores) / max(np.max(scores, initial=0), 1e-9)

        def segment(index: int) -> NDArray[np.bool_]:
            box = scene.boxes_xyxy[index]
            if fits[index].max(initial=0) < MIN_PROPOSAL_IOU:
                return measure_thing_radius(box, superpixels.shape) <= 1
            return members.mask((fits[index] * trust).argmax(), superpixels[box_slices(box)])

        return segment

    return prepare


def load_network(settings: BoxMasksSettings) -> PrepareScene:
    """The network of :mod:`models.pretrained.box_masks`: probabilities."""
    import torch

    from models.pretrained.box_masks import BoxMaskModel

    torch.set_num_threads(1)
    model = BoxMaskModel.load(weights.BOX_MASKS)

    def prepare(scene: BoxScene) -> BoxSegmenter:
        found = model.segment_boxes(scene.image, scene.boxes_xyxy, scene.classes)
        return lambda index: found[index]

    return prepare


def load_sam(settings: BoxMasksSettings) -> PrepareScene:
    """A Segment Anything model of the user's: probabilities."""
    from models.pretrained.sam import SamModel

    model = SamModel.load(settings.sam_model or "")

    def prepare(scene: BoxScene) -> BoxSegmenter:
        embedding = model.embed_image(scene.image)
        return lambda index: model.segment_box(embedding, scene.boxes_xyxy[index])

    return prepare


def load_ellipse(settings: BoxMasksSettings) -> PrepareScene:
    """Fill the ellipse that touches the sides of the box, whatever the image; not random."""
    return lambda scene: (
        lambda index: measure_thing_radius(scene.boxes_xyxy[index], (scene.image.shape[0], scene.image.shape[1])) <= 1
    )


def load_fill(settings: BoxMasksSettings) -> PrepareScene:
    """The whole box."""
    return lambda scene: lambda index: np.ones(scene.image[box_slices(scene.boxes_xyxy[index])].shape[:2], bool)


BOX_SEGMENTERS: dict[str, Callable[[BoxMasksSettings], PrepareScene]] = {
    "network": load_network,
    "grabcut": load_grabcut,
    "hierarchy": load_hierarchy,
    "proposal": load_proposal,
    "sam": load_sam,
    "ellipse": load_ellipse,
    "fill": load_fill,
}
"""From settings to what prepares a scene; whatever is learnt is read here, once."""


def load_segmenters(settings: BoxMasksSettings) -> list[PrepareScene]:
    """The segmenters that the settings name, in their order."""
    return [BOX_SEGMENTERS[name](settings) for name in settings.segmenters]
