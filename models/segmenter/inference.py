"""Apply the panoptic network to images, in batches of a fixed size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.loader import load_in_threads
from models.segmenter.decoding import Decoded, decode_panoptic
from models.segmenter.mask_decoding import decode_masks
from models.segmenter.mask_output import MaskOutput
from models.segmenter.network import PanopticOutput, choose_network_size
from models.training import autocast
from pseudogt.classes import ClassTable

READERS = 4
"""Threads that read images and resize them, which OpenCV does beside other threads of Python."""


RawPrediction = PanopticOutput | MaskOutput
"""The output of a network for one image, without the batch axis, float32 on the CPU."""


@dataclass(frozen=True)
class Inference:
    """How to run the network.

    Attributes
    ----------
    scale : float
        Images are resized by it.
    batch_size : int
        Every forward pass has this many images, the last ones filled with zeros: results differ in
        the last bit between batch sizes, and so would not depend on the image alone.
    flip : bool
        Whether to average with the mirror image.
    device : torch.device
    dtype : torch.dtype
    """

    scale: float
    batch_size: int
    flip: bool
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Decoding:
    """How pixels are grouped into segments.

    Attributes
    ----------
    centre_threshold, nms_cells
        Of the bottom-up network, see :func:`models.segmenter.decoding.decode_panoptic`.
    min_query_score, min_mask_share
        Of a mask transformer, see :func:`models.segmenter.mask_decoding.decode_masks`.
    min_stuff_fraction, min_instance_px
        Of both.
    """

    centre_threshold: float
    nms_cells: int
    min_query_score: float
    min_mask_share: float
    min_stuff_fraction: float
    min_instance_px: int


def predict_images(
    network: nn.Module,
    sizes: Sequence[tuple[int, int]],
    read: Callable[[int], NDArray[np.uint8]],
    inference: Inference,
) -> Iterator[tuple[int, RawPrediction]]:
    """Predict images of the given sizes (H, W), equal network sizes together.

    Parameters
    ----------
    network : nn.Module
        Moved to the device and into evaluation mode.
    sizes
        Sizes of the images.
    read
        Position in ``sizes`` -> image ``(H, W, 3) uint8``. Called by several threads, up to a batch ahead.
    inference : Inference

    Yields
    ------
    position, prediction
        Ascending by network size, then by position.
    """
    network.eval().to(inference.device).to(memory_format=torch.channels_last)
    network_sizes = [choose_network_size(size, inference.scale) for size in sizes]
    order = sorted(range(len(sizes)), key=lambda position: (network_sizes[position], position))

    def read_resized(position: int) -> NDArray[np.uint8]:
        size = network_sizes[position]
        return np.asarray(cv2.resize(read(position), size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    # The images of the next batch are read while the network computes.
    resized = load_in_threads(read_resized, order, threads=READERS, ahead=inference.batch_size)
    with closing(resized):
        for size, group in groupby(order, key=lambda position: network_sizes[position]):
            positions = list(group)
            for start in range(0, len(positions), inference.batch_size):
                chunk = positions[start : start + inference.batch_size]
                images = np.zeros((inference.batch_size, *size, 3), np.uint8)
                for row in range(len(chunk)):
                    images[row] = next(resized)
                outputs = _run_network(network, torch.from_numpy(images).permute(0, 3, 1, 2), inference)
                for row, position in enumerate(chunk):
                    yield position, type(outputs)(*(output[row] for output in outputs))


def decode_prediction(
    prediction: RawPrediction, size: tuple[int, int], classes: ClassTable, decoding: Decoding
) -> Decoded:
    """Enlarge the logits to the image's ``size`` (H, W), then group pixels as the network's decoding does."""
    logits = F.interpolate(prediction.semantic[None], size=size, mode="bilinear", align_corners=False)
    probabilities = logits.softmax(1)[0].numpy()
    stuff, instances = decoding.min_stuff_fraction, decoding.min_instance_px
    if isinstance(prediction, MaskOutput):
        return decode_masks(
            probabilities,
            prediction.classes[-1].softmax(-1).numpy(),
            prediction.masks[-1].sigmoid().numpy(),
            classes,
            min_query_score=decoding.min_query_score,
            min_mask_share=decoding.min_mask_share,
            min_stuff_fraction=stuff,
            min_instance_px=instances,
        )
    return decode_panoptic(
        probabilities,
        prediction.centre[0].numpy(),
        prediction.offset.numpy(),
        classes,
        centre_threshold=decoding.centre_threshold,
        nms_cells=decoding.nms_cells,
        min_stuff_fraction=stuff,
        min_instance_px=instances,
    )


@torch.inference_mode()
def _run_network(network: nn.Module, images: Tensor, inference: Inference) -> RawPrediction:
    """Output for a batch, averaged with that of the mirror images if wanted."""
    images = images.to(inference.device)
    with autocast(inference.dtype, inference.device):
        output: RawPrediction = _to_float(network(images))
        if inference.flip:
            # The two have the same type, which only the network knows.
            output = output.average_with_mirrored(_to_float(network(images.flip(-1))))  # type: ignore[arg-type]
    return type(output)(*(part.cpu() for part in output))


def _to_float(output: RawPrediction) -> RawPrediction:
    return type(output)(*(part.float() for part in output))
