"""Apply the tag classifier to an image: class scores, and a label with its confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.classifier.batches import MIN_REGION_PX
from models.classifier.gradcam import compute_gradcams
from models.classifier.model import ClassifierModel
from models.classifier.network import STRIDE, pool_regions, resize_for_classifier
from models.training import autocast, choose_precision, explain_lack_of_memory
from pseudogt.maps import find_colour_regions, pool_over_regions, resize_maps
from pseudogt.pseudo_labels.cams import choose_label, keep_shares, normalise_cams, normalise_logits, stitch_crops
from pseudogt.pseudo_labels.confidence import temper_levels
from pseudogt.pseudo_labels.spreading import blend, resize_spread, spread_marks
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.labelled import find_labelled_pixels
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.weak_labels.widths import find_log_prior


@dataclass(frozen=True)
class CamPlan:
    """How the classifier's maps become scores and a label.

    Attributes
    ----------
    method : {"probability", "gradcam"}
        Softmax over the possible classes of the score map, or Grad-CAM of ``layer``.
    layer : str
        Dotted name of a module of the network.
    view : {"image", "crops"}
        Whether the network sees the whole image, or each crop.
    scales : tuple of float
        Further factors of the image's size, whose maps are averaged.
    things_in_boxes : bool
        Whether a thing is possible inside its boxes only.
    region_scale : float
        Scores are averaged over regions of even colour of this scale; 0 leaves them as they are.
    min_confidence : float
        Pixels whose best score is lower get no label.
    point_spread : float
        Weight of what marks say in the rest of the regions that they lie in.
    width_exponent : float
        How fast the share of pixels of a class grows with the width of its marked segments; 0 takes no width into
        account. For ``probability``.
    min_share : float
        Share of the pixels that each class with a tag and without a box wins; 0 leaves the scores as they are. For
        ``probability``.
    precision : {"auto", "fp32", "bf16"}
    """

    method: str
    layer: str
    view: str
    scales: tuple[float, ...]
    things_in_boxes: bool
    region_scale: float
    min_confidence: float
    point_spread: float
    width_exponent: float
    min_share: float
    precision: str


class CamLabel(NamedTuple):
    """Output of the classifier for an image.

    Attributes
    ----------
    scores : (C, h, w) float32
        At the network's stride.
    label : (H, W) uint8
        Train ids and ``IGNORE_LABEL``.
    confidence : (H, W) uint8
        How likely the label is right, times 255.
    """

    scores: NDArray[np.float32]
    label: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


def label_by_cams(image: NDArray[np.uint8], weak: ImageWeakLabels, model: ClassifierModel, plan: CamPlan) -> CamLabel:
    """Score and label an image ``(H, W, 3) uint8 RGB`` as far as its weak labels allow."""

    def find_candidates(size: tuple[int, int]) -> NDArray[np.bool_]:
        return candidate_classes(weak, model.classes, things_in_boxes=plan.things_in_boxes, size=size)

    scaled = resize_for_classifier(image, model.scale)
    grid = (scaled.shape[0] // STRIDE, scaled.shape[1] // STRIDE)
    candidates = find_candidates(grid)
    raw = np.mean([compute_maps(image, weak, model, plan, factor, grid) for factor in plan.scales], axis=0)
    normalise = normalise_logits if plan.method == "probability" else normalise_cams
    if model.widths and plan.method == "probability":
        # Marks train all classes with equal weight; the odds of a class are those times its share of pixels.
        raw += find_log_prior(model.widths, plan.width_exponent)[:, None, None]
    if plan.min_share and plan.method == "probability":
        raw += keep_shares(raw, candidates, weak.tagged_only, plan.min_share)[:, None, None]
    scores = normalise(raw, candidates)

    # At the scaled image's size again, so that no border of the candidates is blurred by the stride.
    fine_candidates = find_candidates(scaled.shape[:2])
    fine = normalise(resize_maps(raw, scaled.shape[:2]), fine_candidates)
    regions = None
    if plan.region_scale:
        regions = find_colour_regions(scaled, scale=plan.region_scale, min_area_px=MIN_REGION_PX)
        fine = pool_over_regions(fine, regions)
    if len(weak.marks):
        spread = spread_marks(find_labelled_pixels(weak), image.shape[:2], scaled.shape[:2], regions, plan.point_spread)
        fine = blend(fine, spread, fine_candidates)
        scores = blend(scores, resize_spread(spread, grid), candidates)
    label, score = choose_label(
        resize_maps(fine, image.shape[:2]),
        find_candidates(image.shape[:2]),
        min_confidence=plan.min_confidence,
    )
    # Grad-CAMs are not probabilities.
    return CamLabel(scores, label, temper_levels(score) if plan.method == "probability" else score)


def compute_maps(
    image: NDArray[np.uint8],
    weak: ImageWeakLabels,
    model: ClassifierModel,
    plan: CamPlan,
    factor: float,
    grid: tuple[int, int],
) -> NDArray[np.float32]:
    """Logits or Grad-CAMs ``(C, h, w)`` of an image, the mean over the image and its mirror image."""
    scale = model.scale * factor
    if plan.view == "image" or not len(weak.crops_xyxy):
        tags = torch.from_numpy(weak.tags)[None]
        return resize_maps(run_network(resize_for_classifier(image, scale)[None], tags, model, plan)[0], grid)
    crops = np.stack([resize_for_classifier(image[y0:y1, x0:x1], scale) for x0, y0, x1, y1 in weak.crops_xyxy])
    maps = run_network(crops, torch.from_numpy(weak.crop_tags), model, plan)
    return stitch_crops(maps, weak.crops_xyxy, image.shape[:2], grid)


def run_network(images: NDArray[np.uint8], tags: Tensor, model: ClassifierModel, plan: CamPlan) -> NDArray[np.float32]:
    """Compute maps ``(B, C, h, w)`` of images ``(B, H, W, 3)`` of one size, averaged over their mirror images.

    A batch is an image with its mirror image (a crop set with its mirror images), whatever the
    shard, so that results do not depend on which images share a shard.
    """
    device = next(model.network.parameters()).device
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(device).float()
    batch = torch.cat([batch, batch.flip(-1)])
    remedy = "set cams.precision to auto, or lower cams.scales or classifier.scale"
    with explain_lack_of_memory(remedy), autocast(choose_precision(plan.precision, device), device):
        if plan.method == "gradcam":
            layer = find_layer(model.network, plan.layer)
            both = torch.cat([tags, tags]).to(device)
            maps = compute_gradcams(model.network, layer, batch, both, score=lambda z: score_whole(z, model.sharpness))
        else:
            with torch.inference_mode():
                maps = model.network(batch)
    straight, mirrored = maps.float().chunk(2)
    return ((straight + mirrored.flip(-1)) / 2).cpu().numpy()


def score_whole(logits: Tensor, sharpness: float) -> Tensor:
    """Score ``(B, C)`` of each whole image, pooled as in training."""
    # The whole image as one region: all rows and all columns.
    rows = torch.ones(len(logits), 1, logits.shape[2], device=logits.device)
    columns = torch.ones(len(logits), 1, logits.shape[3], device=logits.device)
    return pool_regions(logits, rows, columns, sharpness)[:, 0]


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Return a module of the network by its dotted name."""
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        names = ", ".join(n for n, _ in network.named_modules() if n and n.count(".") < 3)
        raise ValueError(f"layer {name!r} is not a module of the classifier; some are {names}") from error
