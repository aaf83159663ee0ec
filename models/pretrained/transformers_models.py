"""Read models of Hugging Face transformers from folders; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pseudogt.files.model_folders import ModelUse, require_transformers


def load_part(folder: Path, name: str, use: ModelUse, **options: Any) -> Any:
    """Read what a class of transformers makes of a folder: a processor, a tokenizer, or with options a network.

    Raises
    ------
    ValueError
        If transformers is not installed, or the folder can't be read.
    """
    require_transformers(use.user)
    import transformers
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        return getattr(transformers, name).from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise ValueError(f"{folder}: can't be read as a {use.model} ({error})") from error


def load_transformers_network(folder: Path, name: str, use: ModelUse) -> Any:
    """Read a network in float32.

    Raises
    ------
    ValueError
        If transformers is not installed, or the folder can't be read or lacks weights.
    """
    network, report = load_part(folder, name, use, dtype=torch.float32, output_loading_info=True)
    # What is missing would be random, and its masks noise.
    if missing := sorted(report["missing_keys"]):
        raise ValueError(
            f"{folder}: its weights lack {len(missing)} tensors of a {name}, {missing[0]} among them; "
            "download the model again"
        )
    return network.eval()
