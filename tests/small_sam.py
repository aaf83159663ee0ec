"""Small Segment Anything models of every kind, with random weights, as folders on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SIDE = {"sam": 64, "sam_hq": 64, "sam2": 64, "sam2_video": 64, "sam3_tracker": 56, "sam3_video": 56}
"""Side of the square that the encoder sees."""

WIDTH = {"hidden_size": 16, "num_attention_heads": 2}
DECODER = {**WIDTH, "mlp_dim": 16, "iou_head_hidden_dim": 16}
LEVELS = {"fpn_hidden_size": 16, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}

HIERA = {
    "model_type": "sam2_hiera_det_model",
    "hidden_size": 16,
    "num_attention_heads": 1,
    "image_size": [64, 64],
    "blocks_per_stage": [1, 2, 1, 1],
    "embed_dim_per_stage": [16, 32, 64, 128],
    "num_attention_heads_per_stage": [1, 2, 2, 2],
    "window_size_per_stage": [8, 4, 8, 4],
    "global_attention_blocks": [2],
    "window_positional_embedding_background_size": [2, 2],
}

VIT = {
    **WIDTH,
    "model_type": "sam3_vit_model",
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "image_size": 56,
    "pretrain_image_size": 56,
    "window_size": 2,
    "global_attn_indexes": [0],
}

MEMORY = {
    **{f"memory_attention_{name}": 1 for name in ("num_layers", "num_attention_heads", "downsample_rate")},
    **{f"memory_attention_{name}": 16 for name in ("hidden_size", "feed_forward_hidden_size")},
    **{f"memory_fuser_{name}": 16 for name in ("embed_dim", "intermediate_dim")},
    "memory_attention_rope_feat_sizes": [4, 4],
    "memory_encoder_hidden_size": 16,
    "memory_encoder_output_channels": 8,
    "mask_downsampler_embed_dim": 16,
    "memory_fuser_num_layers": 1,
}
"""What a video model has beside its model of images."""


def write_sam(folder: Path, kind: str) -> Path:
    """Write a model of a kind; weights are large enough for masks that differ."""
    pytest.importorskip("transformers")
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network, processor = _make(kind)
    for name, weight in network.named_parameters():
        if weight.ndim > 1 and "positional" not in name:
            torch.nn.init.normal_(weight, std=0.25)
    network.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    # As published: saving a SAM 3 of videos by transformers 5.24 writes a prefix twice.
    state = {key: value.clone() for key, value in network.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _make(kind: str) -> tuple[Any, Any]:
    import transformers

    side, patch = SIDE[kind], 14 if kind.startswith("sam3") else 16
    size = {"height": side, "width": side}
    square = {"image_size": side, "patch_size": patch}
    prompts = {"hidden_size": 16, "mask_input_channels": 4, **square}
    if kind in ("sam", "sam_hq"):
        vision = {**WIDTH, **square, "num_hidden_layers": 1, "mlp_dim": 16, "output_channels": 16, "num_pos_feats": 8}
        vision |= {"window_size": 2, "global_attn_indexes": [0]}
        decoder = DECODER | ({"vit_dim": 16} if kind == "sam_hq" else {})
        name = "SamHQ" if kind == "sam_hq" else "Sam"
        config = getattr(transformers, f"{name}Config")(
            vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
        )
        processor = transformers.SamImageProcessor(size={"longest_edge": side}, pad_size=size)
        return getattr(transformers, f"{name}Model")(config), processor
    if kind.startswith("sam2"):
        vision = {"model_type": "sam2_vision_model", "backbone_config": HIERA, **LEVELS}
        parts = {
            "vision_config": vision | {"backbone_channel_list": [128, 64, 32, 16]},
            "prompt_encoder_config": prompts,
            "mask_decoder_config": DECODER,
        }
        processor = transformers.Sam2ImageProcessor(size=size)
        if kind == "sam2":
            return transformers.Sam2Model(transformers.Sam2Config(**parts)), processor
        config = transformers.Sam2VideoConfig(**parts, **MEMORY, image_size=side)
        return transformers.Sam2VideoModel(config), processor
    vision = make_sam3_vision()
    parts = {"vision_config": vision, "prompt_encoder_config": prompts, "mask_decoder_config": DECODER}
    processor = transformers.Sam3ImageProcessor(size=size)
    if kind == "sam3_tracker":
        return transformers.Sam3TrackerModel(transformers.Sam3TrackerConfig(**parts)), processor
    tracker = {**parts, **MEMORY, "image_size": side}
    config = transformers.Sam3VideoConfig(detector_config=make_detector(), tracker_config=tracker)
    return transformers.Sam3VideoModel(config), processor


def make_sam3_vision() -> dict[str, Any]:
    """Configuration of the encoder of a SAM 3."""
    return {"model_type": "sam3_vision_model", "backbone_config": VIT | {"patch_size": 14}, **LEVELS}


def make_detector() -> dict[str, Any]:
    """Configuration of the part of SAM 3 that finds what words name."""
    layer = {**WIDTH, "num_layers": 1, "intermediate_size": 16}
    text = {**WIDTH, "model_type": "clip_text_model", "vocab_size": 99, "intermediate_size": 16, "projection_dim": 16}
    return {
        "vision_config": make_sam3_vision(),
        "text_config": text | {"num_hidden_layers": 1, "max_position_embeddings": 8},
        **{f"{part}_config": layer for part in ("geometry_encoder", "detr_encoder")},
        "detr_decoder_config": layer | {"num_queries": 4},
        "mask_decoder_config": WIDTH,
    }
