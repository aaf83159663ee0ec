"""Networks of a run: those that have to be looked up before they are trained, and those that come with weights.

Whoever calls labels weakly supervised must say which labels of other images such weights have seen; the manifest of an
export and the report list them.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.config.mining import DENSE_LEVELS
from pseudogt.config.registry import list_entries
from pseudogt.config.run import RunConfig
from pseudogt.config.segmenter import QUERY_NETWORKS
from pseudogt.config.training import BACKBONE_TABLE, InitialNetwork
from pseudogt.pseudo_labels.concept_folder import KINDS, find_concept_model
from pseudogt.workflow.weights import BOX_MASKS, CONTOURS, RANKER, list_weights

HAS_SEEN = {
    BOX_MASKS: "segments of BSDS500, and masks of 100 images of COCO train, without their classes",
    CONTOURS: "borders of BSDS500 that people drew",
    RANKER: "masks of things of 100 images of COCO train, without their classes",
}
"""By weight file."""

SAM_HAS_SEEN = "masks that people drew or checked"

FASTEST_RATE = 1e-3
"""Learning rate of AdamW above which pretrained weights are in danger; published ones are 0.0001 to 0.0005."""


def list_initial_networks(config: RunConfig) -> dict[str, InitialNetwork]:
    """Backbones that have to be looked up before they can be trained, by section.

    So have networks that need a library which may be missing.
    """
    segmenter, classifier, mining = config.segmenter, config.classifier, config.mining
    optional = segmenter.network if segmenter.network in QUERY_NETWORKS else ""
    networks = {"segmenter": InitialNetwork(**segmenter.model_dump(include={"backbone", "weights"}), network=optional)}
    if "classifier" in config.list_trainings():
        networks["classifier"] = InitialNetwork(**classifier.model_dump(include=set(InitialNetwork.model_fields)))
    if config.method == "jtsm" and not mining.decoder:
        levels = (classifier if mining.init == "classifier" else mining).levels
        networks["mining"] = InitialNetwork(
            backbone=mining.backbone, weights=mining.weights, levels=levels, dense=levels > DENSE_LEVELS
        )
    return {
        section: network
        for section, network in networks.items()
        if "/" in network.backbone
        or (network.weights and network.backbone in list_entries(BACKBONE_TABLE))
        or network.network
    }


def find_fast_rates(config: RunConfig) -> list[str]:
    """One line for each training whose learning rate is that of random weights, although its weights are pretrained."""
    return [
        f"{section}.weights: with learning_rate {settings.learning_rate:g} and backbone_rate "
        f"{settings.backbone_rate:g}, pretrained weights may be lost in the first steps; set {section}.backbone_rate "
        "to 0.1, or lower learning_rate"
        for section, settings in config.list_trainings().items()
        if settings.weights is not None
        and settings.optimiser == "adamw"
        and settings.learning_rate * settings.backbone_rate > FASTEST_RATE
    ]


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
