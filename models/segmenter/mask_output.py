"""What a mask transformer predicts: a class and a mask of each query, and the scores of classes that they add up to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LEAST_SCORE = 1e-6
"""Added to the scores of all classes, so that a pixel in no mask has a logarithm."""


class MaskOutput(NamedTuple):
    """Output of a mask transformer: :class:`pseudogt.prediction.maps.MaskMaps` as tensors.

    L predictions, one after each layer, of which evaluation keeps the last.

    Attributes
    ----------
    semantic : (B, C, h, w)
        Logits of the classes, see :func:`add_up_scores`.
    classes : (B, L, Q, C + 1)
        Logits of the class of each query; the last class is "nothing".
    masks : (B, L, Q, h, w)
        Logits of the mask of each query.
    """

    semantic: Tensor
    classes: Tensor
    masks: Tensor


def add_up_scores(classes: Tensor, masks: Tensor) -> Tensor:
    """Logarithm ``(B, C, h, w)`` of the sum over all queries of class probability times mask.

    Its softmax over the classes is the normalised score map. After Cheng et al., "Per-Pixel Classification is Not All
    You Need for Semantic Segmentation" (NeurIPS 2021), section 3.4.

    Parameters
    ----------
    classes : (B, Q, C + 1)
        Logits; the last class is "nothing".
    masks : (B, Q, h, w)
        Logits.
    """
    # In bfloat16, sums over many queries would lose the ones of small classes.
    with torch.autocast(classes.device.type, enabled=False):
        probabilities = classes.float().softmax(-1)[..., :-1]
        return (torch.einsum("bqc,bqhw->bchw", probabilities, masks.float().sigmoid()) + LEAST_SCORE).log()


def decode_singly(decode: Callable[..., MaskOutput], *parts: Tensor) -> MaskOutput:
    """Apply ``decode`` to the images of a batch one by one, of which each of ``parts`` has the rows.

    In products over several images, the last bit depends on the place in the batch. An exported network, whose batches
    may have any number of images, decodes them together.
    """
    if torch.compiler.is_exporting():
        return decode(*parts)
    rows = zip(*(part.split(1) for part in parts), strict=True)
    outputs = [decode(*row) for row in rows]
    return MaskOutput(*(torch.cat(each) for each in zip(*outputs, strict=True)))
