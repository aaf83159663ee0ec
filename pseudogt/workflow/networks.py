"""Networks that make masks and come with weights, and which labels of other images these have seen.

Whoever calls labels weakly supervised must say so; the manifest of an export and the report list them.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.config.run import RunConfig
from pseudogt.pseudo_labels.concept_folder import KINDS, find_concept_model
from pseudogt.workflow.weights import BOX_MASKS, CONTOURS, RANKER, list_weights

HAS_SEEN = {
    BOX_MASKS: "segments of BSDS500, and masks of 100 images of COCO train, without their classes",
    CONTOURS: "borders of BSDS500 that people drew",
    RANKER: "masks of things of 100 images of COCO train, without their classes",
}
"""By weight file."""

SAM_HAS_SEEN = "masks that people drew or checked"


def describe_networks(config: RunConfig) -> list[dict[str, str]]:
    """Networks that take part in the labels of round 0.

    Returns
    -------
    list of dict
        For each ``section``, the section of the configuration that names it; ``model``, its file or name; ``has_seen``,
        what its weights were trained on, as far as known of those that are published.
    """
    found = []
    if config.uses_concepts:
        name = config.cams.concept_model or ""
        has_seen = KINDS[find_concept_model(name).kind].has_seen
        found.append({"section": "cams", "model": name, "has_seen": has_seen})
    makes_box_masks = config.method == "wsps" and config.provided.box_masks is None and _may_have_boxes(config)
    if makes_box_masks:
        found += [_describe("box_masks", path) for path in list_weights(config.box_masks)]
    if makes_box_masks and config.uses_sam:
        found.append({"section": "box_masks", "model": config.box_masks.sam_model or "", "has_seen": SAM_HAS_SEEN})
    if config.method == "jtsm" or (makes_box_masks and "proposal" in config.box_masks.segmenters):
        found += [_describe("proposals", path) for path in list_weights(config.proposals)]
    return found


def _may_have_boxes(config: RunConfig) -> bool:
    """Whether any image may have a box; without boxes, the networks that segment them take no part."""
    if config.provided.weak_labels or any(config.full_labels.model_dump().values()):
        return True
    annotations = config.annotations
    return annotations.path is not None and annotations.boxes if annotations.given else config.weak_labels.boxes


def _describe(section: str, path: Path) -> dict[str, str]:
    return {"section": section, "model": path.name, "has_seen": HAS_SEEN[path]}
