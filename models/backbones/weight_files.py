"""Read the files that users have weights in: state dicts, alone or inside the checkpoint of a training."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError
from timm.models import load_state_dict
from torch import Tensor

from pseudogt.parsing.contents import START, describe_content

PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")
"""What trainings put in front of all keys of a network."""

PARTS = ("backbone.", "teacher.", "encoder_q.", "base_encoder.")
"""Prefixes of the part of a larger network that is the backbone: of detectors and segmenters, DINO, MoCo 1, 2 and 3."""

ZIP = b"PK"
"""First bytes of a zip archive."""

PRETEXT_HEADS = (
    "decoder_blocks.",
    "decoder_embed.",
    "decoder_norm.",
    "decoder_pos_embed",
    "decoder_pred.",
    "dino_head.",
    "head.last_layer.",
    "head.mlp.",
    "ibot_head.",
)
"""Starts of the keys of what only a self-supervised training needs (MAE, DINO, iBOT)."""


def read_state_dict(path: str) -> dict[str, Any]:
    """Read a state dict from a ``.pth`` or ``.safetensors`` file, without pretext heads, other parts and prefixes.

    Raises
    ------
    ValueError
        If the file is damaged, has values that are not finite, or holds something else or Python objects, which are
        never unpickled.
    """
    try:
        state: Any = load_state_dict(path, weights_only=True)
    except (
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        LookupError,
        UnpicklingError,
        AttributeError,
        SafetensorError,
    ) as error:
        raise ValueError(f"{path}: not readable weights ({_find_reason(path, error)}); give a state dict") from error
    # timm looks into `state_dict`, `model` and their averages itself.
    state = state["teacher"] if isinstance(state.get("teacher"), dict) else state
    state = _strip_prefixes(_drop_pretext_heads(_strip_prefixes(state)))
    if not state:
        raise ValueError(f"{path}: not a state dict; save one with torch.save(network.state_dict(), path)")
    for key, value in state.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all():
            raise ValueError(
                f"{path}: {key} has values that are NaN or infinite; give weights from before they diverged"
            )
    return state


def _strip_prefixes(state: dict[str, Any]) -> dict[str, Any]:
    """Keys without the prefixes that all of them have, and only those of the backbone if it is a part."""
    while prefix := _find_prefix(state):
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return state


def _find_prefix(state: dict[str, Any]) -> str:
    shared = (p for p in PREFIXES if state and all(key.startswith(p) for key in state))
    return next(shared, "") or next((p for p in PARTS if any(key.startswith(p) for key in state)), "")


def _drop_pretext_heads(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith(PRETEXT_HEADS)}


def _find_reason(path: str, error: Exception) -> str:
    """What is wrong with a file that can't be read."""
    with Path(path).open("rb") as file:
        start = file.read(START)
    # A state dict is a zip archive itself, which would be taken for a spreadsheet.
    found = "" if start.startswith(ZIP) else describe_content(start)
    if found:
        return f"it {found}"
    if isinstance(error, UnpicklingError) or "weights_only" in str(error):
        return (
            "it holds Python objects, which are not run; save the tensors alone, torch.save(network.state_dict(), path)"
        )
    return f"damaged or of another kind: {str(error).partition(chr(10))[0] or type(error).__name__}"
