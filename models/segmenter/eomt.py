"""EoMT: a plain vision transformer whose last blocks work on queries and patches together.

Kerssies et al., "Your ViT is Secretly an Image Segmentation Model" (CVPR 2025). The transformer is one of timm's, the
heads are those of Hugging Face transformers. Attention is masked in training and evaluation alike; the paper phases the
masks out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from models.backbones import build_backbone
from models.backbones.timm_networks import PlainBackbone
from models.segmenter.mask_loss import MaskLoss as Loss
from models.segmenter.mask_output import MaskOutput, add_up_scores, decode_singly
from models.segmenter.model import SegmenterNetwork, check_image_size
from pseudogt.files.model_folders import require_transformers

require_transformers("segmenter.network: eomt")

from transformers import EomtConfig  # noqa: E402 - the message above goes first
from transformers.models.eomt.modeling_eomt import EomtMaskHead, EomtScaleBlock  # noqa: E402

__all__ = ["Loss", "NetworkShape", "build_network"]

DOUBLINGS = {8: 1, 16: 2, 32: 3}
"""By the side of a patch in pixels: how often features are doubled to reach stride 4."""


@dataclass(frozen=True)
class NetworkShape:
    """How large the network is, apart from its vision transformer.

    Attributes
    ----------
    queries : int
        Segments that can be found in an image.
    query_layers : int
        Last blocks of the transformer, which queries pass as well.
    """

    queries: int
    query_layers: int


def build_network(*, backbone: str, class_count: int, weights: str | None = None, **shape: int) -> Eomt:
    """Build the network.

    Parameters
    ----------
    backbone : str
        A plain vision transformer of timm, such as ``timm/vit_small_patch16_224``.
    class_count : int
    weights : str, optional
        As in :func:`models.backbones.build_backbone`.
    **shape : int
        Fields of :class:`NetworkShape`.

    Raises
    ------
    ValueError
        For another kind of backbone, and for one with fewer blocks than ``query_layers``.
    """
    built = build_backbone(backbone, weights=weights)
    if (
        not isinstance(built, PlainBackbone)
        or not isinstance(built.network, VisionTransformer)
        or built.stride not in DOUBLINGS
    ):
        raise ValueError(
            f"segmenter.backbone {backbone}: network eomt takes plain vision transformers of timm with patches of 8, "
            "16 or 32 pixels and learned positions; choose one such as timm/vit_small_patch16_224"
        )
    return Eomt(built, class_count, NetworkShape(**shape))


class Eomt(SegmenterNetwork):
    """A vision transformer with queries.

    Parameters
    ----------
    backbone : PlainBackbone
        Must hold a ``VisionTransformer``; its pyramid is not used.
    class_count : int
    shape : NetworkShape
    """

    backbone: PlainBackbone

    def __init__(self, backbone: PlainBackbone, class_count: int, shape: NetworkShape) -> None:
        super().__init__()
        blocks = len(backbone.network.blocks)  # type: ignore[arg-type]
        if shape.query_layers > blocks:
            raise ValueError(f"segmenter.query_layers {shape.query_layers}: the backbone has {blocks} blocks")
        del backbone.pyramid
        self.backbone = backbone
        self.query_layers = shape.query_layers
        width: int = backbone.network.num_features  # type: ignore[assignment]
        config = EomtConfig(hidden_size=width, num_upscale_blocks=DOUBLINGS[backbone.stride])
        self.queries = nn.Embedding(shape.queries, width)
        self.enlarge = EomtScaleBlock(config)
        self.embed_masks = EomtMaskHead(config)
        self.classify = nn.Linear(width, class_count + 1)

    def forward(self, images: Tensor) -> MaskOutput:
        """Predict for images ``(B, 3, H, W)``, RGB in 0..255; H and W are multiples of 32."""
        check_image_size(images)
        normalised = self.backbone.normalise(images)
        return self._predict(normalised) if self.training else decode_singly(self._predict, normalised)

    def _predict(self, normalised: Tensor) -> MaskOutput:
        """Classes and masks of normalised images, before each of the last blocks and after them."""
        network = self.backbone.network
        patches = network.patch_embed(normalised)  # type: ignore[operator]
        size = patches.shape[1:3]
        tokens = network.norm_pre(network._pos_embed(patches))  # type: ignore[operator]
        blocks = list(network.blocks.children())  # type: ignore[union-attr]
        for block in blocks[: -self.query_layers]:
            tokens = block(tokens)
        tokens = torch.cat([self.queries.weight.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        found = []
        for block in blocks[-self.query_layers :]:
            classes, masks = self._read(tokens, size)
            found.append((classes, masks))
            tokens = block(tokens, attn_mask=choose_attention(masks, size, tokens.shape[1]))
        found.append(self._read(tokens, size))
        kept = found if self.training else found[-1:]
        every_class, every_mask = (torch.stack(parts, dim=1) for parts in zip(*kept, strict=True))
        return MaskOutput(add_up_scores(*found[-1]), every_class, every_mask)

    def _read(self, tokens: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Logits of classes ``(B, Q, C + 1)`` and masks ``(B, Q, H / 4, W / 4)``, from tokens of ``size`` patches."""
        tokens = self.backbone.network.norm(tokens)  # type: ignore[operator]
        queries = tokens[:, : self.queries.num_embeddings]
        features = tokens[:, -size[0] * size[1] :].transpose(1, 2).unflatten(2, size)
        masks = torch.einsum("bqc,bchw->bqhw", self.embed_masks(queries), self.enlarge(features))
        return self.classify(queries), masks


def choose_attention(masks: Tensor, size: tuple[int, ...], tokens: int) -> Tensor:
    """Which tokens see which: a query sees the patches in its mask, or all if its mask is empty.

    Parameters
    ----------
    masks : (B, Q, h, w)
        Logits.
    size : (h, w)
        Rows and columns of patches.
    tokens : int
        N: Q queries first, patches last.

    Returns
    -------
    (B, 1, N, N) bool
    """
    inside = F.interpolate(masks.detach().float(), size=size, mode="bilinear", align_corners=False).flatten(2) > 0
    inside |= ~inside.any(-1, keepdim=True)
    seen = torch.ones(masks.shape[0], 1, tokens, tokens, dtype=torch.bool, device=masks.device)
    seen[:, 0, : inside.shape[1], -inside.shape[2] :] = inside
    return seen
