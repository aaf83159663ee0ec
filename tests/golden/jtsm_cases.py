"""The JTSM authors' numbers, the weights that belong to them, and their inputs as ours.

The whole set lies in the shared folder. Where that is absent, the cases in ``tests/golden/jtsm`` are read: copies of
some of its files.
"""

from __future__ import annotations

import json
import re
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_files import SHARED
from numpy.typing import NDArray

from models.jtsm.backbones import ResNetWS
from models.jtsm.neck import Neck
from models.jtsm.network import JtsmNetwork
from models.jtsm.samples import MiningImage, Placement, View, collate, make_view
from models.jtsm.step import Evidence, MiningStep
from pseudogt.evidence.grabcut import BoxMask
from pseudogt.proposals.members import Members

WHOLE = SHARED / "golden" / "jtsm"
FOLDER = WHOLE if WHOLE.is_dir() else Path(__file__).with_name("jtsm")
INDEX = json.loads((FOLDER / "index.json").read_text())
CASES = {case["case"]: case for case in INDEX["cases"]}

OURS = (
    (r"^roi_heads\.box_head\.", "neck."),
    (r"^roi_heads\.box_predictor\.cls\.", "mining.classify."),
    (r"^roi_heads\.box_predictor\.det\.", "mining.detect."),
    (r"^roi_heads\.box_refinery_(\d)\.cls_score\.", r"refinements.\1.classify."),
    (r"^roi_heads\.box_refinery_(\d)\.bbox_pred\.", r"refinements.\1.move."),
    (r"^roi_heads\.mask_head\.", "mask_heads.0."),
    (r"^roi_heads\.mask_refinery_0\.", "mask_heads.1."),
    (r"\.mask_fcn(\d)\.", lambda found: f".convs.{int(found[1]) - 1}."),
    (r"^(mask_heads\.\d)\.deconv\.", r"\1.upsample."),
    (r"^(mask_heads\.\d)\.predictor\.", r"\1.predict."),
    (r"^sem_seg_head\.res5\.0\.norm\.", "semantic.norm."),
    (r"^sem_seg_head\.res5\.0\.", "semantic.conv."),
    (r"^sem_seg_head\.predictor\.", "semantic.predict."),
)
"""Parts of their parameters' names and of ours."""

LOSSES = {
    "loss_cls": "mining",
    "loss_mask": "masks",
    "loss_mask_r0": "masks_refined",
    "loss_sem_seg": "semantic",
    **{f"loss_cls_r{k}": f"classes_{k}" for k in range(4)},
    **{f"loss_box_reg_r{k}": f"boxes_{k}" for k in range(4)},
}

CLASSES = {"voc07": (20, 0), "voc12": (20, 1), "coco": (80, 53)}
"""Things and stuff of each layout."""


def needs(case: str) -> pytest.MarkDecorator:
    """Skip a test whose case is in the shared folder only."""
    return pytest.mark.skipif(case not in CASES, reason=f"{WHOLE} is absent; set PSEUDOGT_SHARED")


def read(case: str) -> dict[str, NDArray[Any]]:
    """Arrays of a case."""
    with np.load(FOLDER / CASES[case]["file"]) as file:
        return dict(file)


def unpack(bits: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Masks ``(..., width)`` of packed bits."""
    return np.unpackbits(bits, axis=-1, count=width).astype(bool)


def rename(key: str) -> str:
    """Our name of one of their parameters."""
    for pattern, ours in OURS:
        key = re.sub(pattern, ours, key)
    return key


def draw(key: str, seed: int, recipe: str, shape: list[int]) -> NDArray[np.float32]:
    """Values of one of their parameters, as the recipe says."""
    rules = [rule for name in dict.fromkeys((recipe, "standard")) for rule in INDEX["weights"]["recipes"][name]]
    rule = next(rule for rule in rules if re.search(rule["key_matches"], key))
    scale = rule["gain"] if rule["scale"] == "gain" else rule["gain"] / np.sqrt(np.prod(shape[1:]))
    noise = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(shape)
    return (rule["offset"] + scale * noise).astype(np.float32)


def draw_weights(case: str) -> dict[str, NDArray[np.float32]]:
    """All parameters of a case under their names."""
    weights = CASES[case]["weights"]
    shapes = {key: shape for part in weights["parts"] for key, shape in INDEX["weights"]["parts"][part].items()}
    return {key: draw(key, weights["seed"], weights["recipe"], shape) for key, shape in shapes.items()}


def load(network: torch.nn.Module, weights: dict[str, NDArray[np.float32]]) -> None:
    """Give a network that was built without values the weights; none may be missing."""
    state = {rename(key): torch.from_numpy(value) for key, value in weights.items()}
    counters = [key for key in network.state_dict() if key.endswith("num_batches_tracked")]
    network.load_state_dict(state | {key: torch.tensor(0) for key in counters}, assign=True)


def build_backbone(case: str, name: str = "resnet_ws18") -> ResNetWS:
    """The backbone of a case."""
    with torch.device("meta"):
        backbone = ResNetWS(name)
    weights = draw_weights(case)
    load(backbone, {key[9:]: value for key, value in weights.items() if key.startswith("backbone.")})
    return backbone.eval()


def build_network(layout: str) -> JtsmNetwork:
    """A network as wide as that of the golden numbers, its backbone frozen; it has no values yet."""
    things, stuff = CLASSES[layout]
    with torch.device("meta"):
        backbone = ResNetWS("resnet_ws18")
        backbone.set_freeze("all")
        return JtsmNetwork(
            backbone=backbone,
            neck=Neck(channels=512, widths=(64, 48), dropout=0),
            things=things,
            stuff=stuff,
            mask_channels=0 if layout == "voc07" else 32,
            semantic_channels=64 if layout == "coco" else 0,
        )


def build_case(case: str) -> JtsmNetwork:
    """The whole network of a case."""
    network = build_network(next(part[6:] for part in CASES[case]["weights"]["parts"] if part.startswith("heads_")))
    frozen = {key: parameter.requires_grad for key, parameter in network.named_parameters()}
    load(network, draw_weights(case))
    for key, parameter in network.named_parameters():
        parameter.requires_grad_(frozen[key])
    return network


def make_sample(arrays: dict[str, NDArray[Any]], end: str, rows: NDArray[Any] | None = None) -> MiningImage:
    """An image of a case, or those of its proposals that ``rows`` names; boxes are theirs, unchanged."""
    rows = np.arange(len(arrays[f"boxes{end}"])) if rows is None else rows.astype(np.int64)
    tags = arrays.get(f"tags{end}", np.zeros(0, bool))
    return MiningImage(
        image=arrays[f"image_rgb{end}"],
        superpixels=arrays[f"superpixels{end}"].astype(np.int32),
        members=Members.from_dense(arrays[f"members{end}"][rows]),
        boxes_xyxy=arrays[f"boxes{end}"][rows].astype(np.int32),
        scores=arrays[f"scores{end}"][rows],
        tags=tags,
        known=np.ones_like(tags),
    )


def view_whole(sample: MiningImage) -> View:
    """The image itself as a view, with all its proposals."""
    height, width = sample.image.shape[:2]
    view = make_view(sample, Placement((0, 0, width, height), (height, width), False), len(sample.boxes_xyxy))
    assert len(view.rows) == len(sample.boxes_xyxy)
    return view


def make_batch(samples: list[MiningImage]) -> dict[str, torch.Tensor]:
    """A batch of whole images whose padding is superpixel 0, as it is in theirs."""
    batch = collate(samples, list(range(len(samples))), [view_whole(sample) for sample in samples])
    return batch | {"superpixels": batch["superpixels"].clamp(min=0)}


def make_step(network: JtsmNetwork, arrays: dict[str, NDArray[Any]], ends: list[str]) -> MiningStep:
    """A step whose evidence is that of the case."""
    masks = [
        unpack(arrays[f"evidence_bits{end}"], arrays[f"image_rgb{end}"].shape[1])
        for end in ends
        if f"evidence_bits{end}" in arrays
    ]

    def find(keys):
        return [BoxMask((0, 0), masks[image][row]) for image, row in keys]

    return MiningStep(network, Evidence(find, find), top_k=10, mask_limit=None)


def probe(key: str, values: torch.Tensor) -> float:
    """A weighted sum that a permutation changes."""
    return float((values.double().numpy() * draw_noise(key, tuple(values.shape))).sum())


@lru_cache(24)
def draw_noise(key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The weights of the sum."""
    return np.random.default_rng([20240, zlib.crc32(key.encode())]).standard_normal(shape)


def assert_near(ours: Any, theirs: Any, *, share: float) -> None:
    """Equal up to a share of the largest value."""
    theirs = np.asarray(theirs, np.float64)
    np.testing.assert_allclose(np.asarray(ours, np.float64), theirs, rtol=0, atol=share * np.abs(theirs).max())


def take(values: torch.Tensor, arrays: dict[str, NDArray[Any]], name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ours and theirs at the positions that a case stores."""
    assert tuple(values.shape) == tuple(arrays[f"{name}_shape"])
    return values.detach().contiguous().numpy().ravel()[arrays[f"{name}_index"]], arrays[f"{name}_values"]
