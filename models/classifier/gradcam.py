"""Grad-CAM (Selvaraju et al., ICCV 2017) for any layer of any network, all classes in one backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def compute_gradcams(
    network: nn.Module,
    layer: nn.Module,
    images: Tensor,
    tags: Tensor,
    *,
    score: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Grad-CAMs of all tagged classes of a batch.

    A map is ``relu(sum_k a_k A_k)`` with ``A`` the layer's activations and ``a`` the spatial mean of
    the score's gradient with respect to them (equations 1 and 2 of the paper). The gradients of all
    (image, class) pairs come from one batched backward pass.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; its images must not depend on each other.
    layer : nn.Module
        A part of it whose output ``(B, K, h, w)`` is explained.
    images : (B, 3, H, W)
    tags : (B, C) bool
        Classes to explain in each image.
    score : callable, optional
        Makes class scores ``(B, C)`` of the network's output, which is taken as such without it.

    Returns
    -------
    (B, C, h, w) float32
        At least 0, not normalised; 0 for classes that are not tagged.

    Raises
    ------
    ValueError
        If the layer is not used, or scores and tags differ in shape.
    """
    captured: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: captured.append(output))
    try:
        with torch.enable_grad():
            output = network(images.detach().requires_grad_())
            scores = output if score is None else score(output)
    finally:
        hook.remove()
    if not captured:
        raise ValueError("the layer takes no part in the network's forward pass")
    if scores.shape != tags.shape:
        raise ValueError(f"scores {tuple(scores.shape)} and tags {tuple(tags.shape)} differ in shape")
    activations = captured[-1]
    cams = torch.zeros(*tags.shape, *activations.shape[-2:], device=images.device)
    if not tags.any():
        return cams
    # One direction per class asks for it in every image at once: images do not interact.
    present = tags.any(0).nonzero()[:, 0]
    directions = F.one_hot(present, tags.shape[1]).to(scores.dtype)[:, None].expand(-1, len(tags), -1)
    (gradients,) = torch.autograd.grad(scores, activations, directions, is_grads_batched=True)
    # Equation 1: weights (P, B, K) of the P classes present; equation 2: maps (B, P, h, w).
    weights = gradients.mean((-2, -1))
    maps = torch.einsum("pbk,bkhw->bphw", weights, activations.detach()).relu()
    cams[:, present] = maps.float()
    return cams * tags[..., None, None]
