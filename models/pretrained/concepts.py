"""Models that find what words name: SAM 3 and CLIPSeg, as Hugging Face transformers has them.

Carion et al., 2025 (SAM 3); Lüddecke and Ecker, CVPR 2022 (CLIPSeg). They need the extra ``transformers``. The model
is a folder, or a name in the local cache; nothing is downloaded. Prompts are encoded once for all images, and an image
once for all prompts; the encoder of images, which takes nearly all the time, may compute in bfloat16.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.pretrained.transformers_models import load_part, load_transformers_network
from models.training import autocast
from pseudogt.pseudo_labels.concept_folder import CLIPSEG, KINDS, SAM3, USE, ConceptKind, find_concept_model
from pseudogt.pseudo_labels.concepts import ConceptAnswer


def load_concept_model(
    name: str, prompts: Sequence[str], device: torch.device, dtype: torch.dtype, *, min_score: float = 0.0
) -> ConceptModel:
    """Read a folder as ``save_pretrained`` writes it, or a model of the local cache, and encode the prompts.

    Raises
    ------
    ValueError
        If transformers is not installed, there is no such model, it can't be read or lacks weights, or a prompt is too
        long for it.
    """
    folder, kind, _ = find_concept_model(name)
    reader = KINDS[kind]
    network = load_transformers_network(folder, reader.network, USE).to(device)
    processor = load_part(folder, reader.image_processor, USE)
    tokenizer = load_part(folder, "CLIPTokenizer", USE)
    tokens = _encode_text(tokenizer, prompts, network.config.text_config.max_position_embeddings)
    return MODELS[reader](network, processor, {k: v.to(device) for k, v in tokens.items()}, device, dtype, min_score)


def _encode_text(tokenizer: Any, prompts: Sequence[str], limit: int) -> dict[str, Tensor]:
    """Numbers of the words of prompts, and where there are words, ``(P, limit)`` each."""
    for prompt in prompts:
        if len(tokenizer(prompt)["input_ids"]) > limit:
            remedy = "give its class a shorter prompt in dataset.classes"
            raise ValueError(f"the prompt {prompt!r} is too long: the model reads {limit} tokens; {remedy}")
    tokens = tokenizer(list(prompts), padding="max_length", max_length=limit, return_tensors="pt")
    return {key: tokens[key] for key in ("input_ids", "attention_mask")}


class ConceptModel(ABC):
    """A model with its preprocessing and prompts.

    Parameters
    ----------
    network
        Instance of the class that ``KINDS`` names, on ``device``.
    processor
        Image processor of transformers.
    tokens : dict
        ``input_ids`` and ``attention_mask`` of the prompts, ``(P, L)`` each.
    device : torch.device
    dtype : torch.dtype
        Number type of the image encoder.
    min_score : float
        Instances that are less sure are left out.
    """

    def __init__(
        self,
        network: Any,
        processor: Any,
        tokens: dict[str, Tensor],
        device: torch.device,
        dtype: torch.dtype,
        min_score: float,
    ) -> None:
        self.network = network
        self.processor = processor
        self.tokens = tokens
        self.device = device
        self.dtype = dtype
        self.min_score = min_score
        with torch.inference_mode():
            self.texts = self._embed_texts()

    @torch.inference_mode()
    def ask(self, image: NDArray[np.uint8], positions: Iterable[int]) -> dict[int, ConceptAnswer]:
        """Find in an image ``(H, W, 3) uint8 RGB`` what the prompts at these positions name."""
        asked = list(positions)
        if not asked:
            return {}
        pixels = self.processor(image, return_tensors="pt")["pixel_values"].to(self.device)
        return dict(zip(asked, self._answer(pixels, asked), strict=True))

    @abstractmethod
    def _embed_texts(self) -> Tensor:
        """Features of all prompts, ``(P, ...)``."""

    @abstractmethod
    def _answer(self, pixels: Tensor, asked: Sequence[int]) -> list[ConceptAnswer]:
        """Answers to prompts about an image ``(1, 3, h, w)``."""


class Sam3Concepts(ConceptModel):
    """SAM 3: what a prompt names as a whole, its instances, and whether it is there."""

    def _embed_texts(self) -> Tensor:
        features: Tensor = self.network.get_text_features(**self.tokens, return_dict=True).pooler_output
        return features

    def _answer(self, pixels: Tensor, asked: Sequence[int]) -> list[ConceptAnswer]:
        with autocast(self.dtype, self.device):
            seen = self.network.get_vision_features(pixels)
        maps, places = (tuple(m.float() for m in seen[k]) for k in ("fpn_hidden_states", "fpn_position_encoding"))
        image = type(seen)(fpn_hidden_states=maps, fpn_position_encoding=places)
        return [self._answer_one(image, position) for position in asked]

    def _answer_one(self, image: Any, position: int) -> ConceptAnswer:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        one = slice(position, position + 1)
        text = BaseModelOutputWithPooling(pooler_output=self.texts[one])
        mask = self.tokens["attention_mask"][one]
        output = self.network(vision_embeds=image, text_embeds=text, attention_mask=mask)
        scores = torch.sigmoid(output.pred_logits[0])
        kept = scores >= self.min_score
        return ConceptAnswer(
            probability=torch.sigmoid(output.semantic_seg[0, 0]).cpu().numpy(),
            presence=float(torch.sigmoid(output.presence_logits).item()),
            masks=(output.pred_masks[0, kept] > 0).cpu().numpy(),
            scores=scores[kept].cpu().numpy(),
            tells_instances=True,
        )


class ClipSegConcepts(ConceptModel):
    """CLIPSeg: which pixels a prompt names, and nothing of instances or presence."""

    def _embed_texts(self) -> Tensor:
        count = len(self.tokens["input_ids"])
        features: Tensor = self.network.get_conditional_embeddings(batch_size=count, **self.tokens)
        return features

    def _answer(self, pixels: Tensor, asked: Sequence[int]) -> list[ConceptAnswer]:
        with autocast(self.dtype, self.device):
            seen = self.network.clip.get_image_features(
                pixel_values=pixels, interpolate_pos_encoding=True, output_hidden_states=True
            )
        # The decoder reads some layers of the encoder, the input of the first counted, too.
        layers = [seen.hidden_states[layer + 1].float() for layer in self.network.extract_layers]
        texts = self.texts[list(asked)]
        logits = self.network.decoder([x.expand(len(texts), -1, -1) for x in layers], texts).logits
        maps = torch.sigmoid(logits.reshape(len(texts), *logits.shape[-2:])).cpu().numpy()
        nothing, scores = np.zeros((0, *maps.shape[1:]), bool), np.zeros(0, np.float32)
        return [ConceptAnswer(one, 1.0, nothing, scores, tells_instances=False) for one in maps]


MODELS: dict[ConceptKind, type[ConceptModel]] = {SAM3: Sam3Concepts, CLIPSEG: ClipSegConcepts}
