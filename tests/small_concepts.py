"""Small models that find what words name, of every kind, with random weights, as folders on the disk."""

from __future__ import annotations

from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
from small_sam import VIT, WIDTH, make_detector, write_sam

from pseudogt.files.io import write_json

START, END = "<|startoftext|>", "<|endoftext|>"
TEXT = {**WIDTH, "vocab_size": 99, "intermediate_size": 16, "projection_dim": 16}
TEXT |= {"num_hidden_layers": 1, "max_position_embeddings": 8, "bos_token_id": 97, "eos_token_id": 98}


def write_concept_model(folder: Path, kind: str) -> Path:
    """Write a model of a kind; its tokenizer spells, and has room for six letters."""
    pytest.importorskip("transformers")
    if kind == "sam3_video":
        write_sam(folder, kind)
    else:
        import torch

        torch.manual_seed(0)
        network, processor = _make(kind)
        for weight in network.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.25)
        network.save_pretrained(folder)
        processor.save_pretrained(folder)
    tokens = [*ascii_lowercase, *(f"{letter}</w>" for letter in ascii_lowercase)]
    vocabulary = {token: number for number, token in enumerate(tokens)} | {START: 97, END: 98}
    write_json(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    write_json(folder / "tokenizer_config.json", special | {"tokenizer_class": "CLIPTokenizer"})
    return folder


def _make(kind: str) -> tuple[Any, Any]:
    import transformers

    if kind == "sam3":
        size = {"height": VIT["image_size"], "width": VIT["image_size"]}
        network = transformers.Sam3Model(transformers.Sam3Config(**make_detector()))
        return network, transformers.Sam3ImageProcessor(size=size)
    vision = {**WIDTH, "num_hidden_layers": 3, "intermediate_size": 16, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPSegConfig(
        text_config=TEXT,
        vision_config=vision,
        projection_dim=16,
        extract_layers=[0, 1, 2],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    processor = transformers.ViTImageProcessor(size={"height": 48, "width": 48})
    return transformers.CLIPSegForImageSegmentation(config), processor
