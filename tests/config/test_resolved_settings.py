"""What every stage is given is what it was given before sections inherited from one another."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from models.classifier import batches
from models.jtsm import network
from models.segmenter import training
from pseudogt.box_masks import grabcut
from pseudogt.config.inheritance import SHARED
from pseudogt.config.old_names import REMOVED, RENAMED
from pseudogt.config.run import RunConfig
from pseudogt.pseudo_labels.cleaning import fill_low_coverage
from pseudogt.reporting.overlays import draw_panoptic
from pseudogt.reporting.review_page import PICTURE_WIDTH_PX

REPOSITORY = Path(__file__).resolve().parents[2]

BEFORE: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("resolved_before.json").read_text())
"""Resolved settings by dotted name: all of ``config.yaml``, and of each file of ``configs/`` what differs from these.

Names are old ones where they have changed, the class table is a digest. Whoever changes a default on purpose changes
it here, too.
"""


def get_default(function: Any, parameter: str) -> Any:
    return inspect.signature(function).parameters[parameter].default


CONSTANTS = {
    "box_masks.seed": grabcut.SEED,
    "cams.region_min_area_px": batches.MIN_REGION_PX,
    "classifier.region_weight": 1,  # the loss is taken as it is
    "labels.fill_keeps_things": get_default(fill_low_coverage, "keep_things"),
    "labels.merge_box_masks": True,  # rounds.box_mask_rounds alone decides
    "mining.semantic_channels": network.SEMANTIC_CHANNELS,
    "report.opacity": get_default(draw_panoptic, "opacity"),
    "review.picture_width_px": PICTURE_WIDTH_PX,
    "segmenter.fixed_images": training.FIXED_IMAGES,
}
"""What removed settings are in the code now."""

TRAININGS = ("classifier", "mining", "segmenter")
NO_LONGER_NEEDED = {key for key in REMOVED if key.endswith(("_gb", ".accumulation"))} | {"mining.workers"}
ADDED = {"mined.images_per_pass", *(f"{name}.loader_workers" for name in TRAININGS)}

ADDED_UNSET = {
    "annotations.attribute",
    "boxes_from",
    "cams.concept_model",
    "mining.overlap_power",
    "export.stuff",
    "full_labels.polygons",
    "weak_labels.scribbles",
}
"""Settings that change nothing unless they are set."""

ADDED_NETWORK = {
    "segmenter.network": "bottom_up",
    "segmenter.queries": 50,
    "segmenter.query_channels": 128,
    "segmenter.encoder_layers": 1,
    "segmenter.query_layers": 3,
    "segmenter.query_weight": 2.0,
    "segmenter.mask_weight": 5.0,
    "segmenter.dice_weight": 5.0,
    "segmenter.nothing_weight": 0.1,
    "segmenter.mask_points": 1024,
    "predictions.min_query_score": 0.5,
    "predictions.min_mask_share": 0.5,
}
"""The choice of the segmenter's network, and settings that the first one does not read."""

READ_BY_SAM = {"box_masks.device", "box_masks.precision", "box_masks.torch_threads"}
"""Inherited settings that no segmenter of boxes read before."""


def resolve_file(name: str) -> dict[str, Any]:
    """Settings by dotted name, as Snakemake merges the file into the embedded default."""
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    if name != "config":
        update_config(config, yaml.safe_load((REPOSITORY / "configs" / f"{name}.yaml").read_text()))
    return flatten(RunConfig.model_validate(config | {"data_root": "somewhere"}).model_dump(mode="json"))


def flatten(config: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in config.items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    classes = json.dumps(flat["dataset.classes"], sort_keys=True).encode()
    return flat | {"dataset.classes": hashlib.sha256(classes).hexdigest()[:16]}


@pytest.mark.parametrize("name", BEFORE)
def test_settings_are_those_of_before(name):
    before = BEFORE["config"] | BEFORE[name]
    now = {key: value for key, value in resolve_file(name).items() if key.partition(".")[0] not in SHARED}
    assert {now.pop(key) for key in ADDED} == {"auto", 1}
    assert not any(now.pop(key) for key in ADDED_UNSET)
    assert now.pop("classifier.point_region_scale") == 50
    assert now.pop("classifier.ring_weight") == 3  # changes nothing without marks
    assert now.pop("cams.width_exponent") == 1.5  # changes nothing without marks
    assert now.pop("segmenter.full_share") == 0.33  # changes nothing without full labels
    assert {key: now.pop(key) for key in ADDED_NETWORK} == ADDED_NETWORK
    assert {now.pop(key) for key in READ_BY_SAM} == {"auto", 2}
    assert now.pop("cams.min_probability") == 0.5  # read by cams.method: concepts only
    assert {now.pop(key) for key in ("masks_to", "export.shapes")} == {"masks"}
    assert (now.pop("model_to"), now.pop("predictions.tile_px")) == ("model.onnx", "auto")
    assert now == {RENAMED.get(key, key): value for key, value in before.items() if key not in REMOVED}
    assert {key: before[key] for key in REMOVED.keys() - NO_LONGER_NEEDED} == CONSTANTS


def test_no_config_of_before_is_gone():
    assert {path.stem for path in (REPOSITORY / "configs").glob("*.yaml")} >= set(BEFORE) - {"config"}
