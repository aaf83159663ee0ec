"""Segment Anything as a box segmenter: the models of all kinds that Hugging Face transformers has.

Kirillov et al., ICCV 2023 (SAM); Ke et al., NeurIPS 2023 (SAM-HQ); Ravi et al., 2024 (SAM 2); Carion et al., 2025
(SAM 3, of which the tracker takes boxes and points). Needs the extra ``transformers``. The model is a folder, or a
name in the local cache; nothing is downloaded.

An image is encoded once, at the size that the model was trained with, then all boxes are decoded in batches. The
encoder, which takes nearly all the time, may compute in bfloat16. Prompts and masks stay in float32: in bfloat16 the
corners of a box would move by pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from models.pretrained.transformers_models import load_part, load_transformers_network
from models.training import autocast, choose_device, choose_precision
from pseudogt.box_masks.prompts import PointPrompts, choose_points
from pseudogt.box_masks.sam_folder import KINDS, USE, find_sam
from pseudogt.box_masks.scene import BoxScene, BoxSegmenter, PrepareScene, SegmenterOptions
from pseudogt.boxes import check_boxes

BOXES_PER_BATCH = 16
"""Boxes that are decoded at once: each takes some 50 MB."""


class Embedding(NamedTuple):
    """Output of the image encoder.

    Attributes
    ----------
    features : dict
        Arguments of the network: feature maps, float32.
    size : (H, W)
        Size of the image.
    resized : (H, W)
        Size of the image as the encoder saw it, before padding.
    """

    features: dict[str, Any]
    size: tuple[int, int]
    resized: tuple[int, int]


def load_sam(options: SegmenterOptions) -> PrepareScene:
    """The box segmenter of a Segment Anything model of the user's: probabilities."""
    device = choose_device(options.device)
    model = SamModel.load(options.sam_model or "", device, choose_precision(options.precision, device))

    def prepare(scene: BoxScene) -> BoxSegmenter:
        points = [choose_points(scene, index) for index in range(len(scene.boxes_xyxy))]
        with _use_threads(options.torch_threads):
            found = model.segment_boxes(scene.image, scene.boxes_xyxy, points)
        return lambda index: found[index]

    return prepare


class SamModel:
    """A model with its preprocessing, applied to an image and all its boxes.

    Parameters
    ----------
    network
        Instance of one of the classes that ``KINDS`` names.
    processor
        Image processor of transformers.
    keeps_aspect : bool
        See :class:`pseudogt.box_masks.sam_folder.SamKind`.
    device : torch.device
    dtype : torch.dtype
        Number type of the image encoder.
    """

    def __init__(
        self, network: Any, processor: Any, *, keeps_aspect: bool, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.network = network.eval().to(device)
        self.processor = processor
        self.keeps_aspect = keeps_aspect
        self.device = device
        self.dtype = dtype

    @classmethod
    def load(cls, name: str, device: torch.device, dtype: torch.dtype) -> SamModel:
        """Read a folder as ``save_pretrained`` writes it, or a model of the local cache.

        Raises
        ------
        ValueError
            If transformers is not installed, or there is no such model, or it can't be read or lacks weights.
        """
        folder, kind, _ = find_sam(name)
        reader = KINDS[kind]
        network = load_transformers_network(folder, reader.network, USE)
        processor = load_part(folder, reader.image_processor, USE)
        return cls(network, processor, keeps_aspect=reader.keeps_aspect, device=device, dtype=dtype)

    @property
    def side(self) -> int:
        """Side of the square that the encoder sees, in pixels."""
        return int(self.network.prompt_encoder.input_image_size)

    @torch.inference_mode()
    def embed_image(self, image: NDArray[np.uint8]) -> Embedding:
        """Encode an image ``(H, W, 3) uint8 RGB``."""
        square = {"height": self.side, "width": self.side}
        sizes = {"size": {"longest_edge": self.side}, "pad_size": square} if self.keeps_aspect else {"size": square}
        inputs = self.processor(image, return_tensors="pt", device=self.device, **sizes)
        with autocast(self.dtype, self.device):
            encoded = self.network.get_image_embeddings(inputs["pixel_values"].to(self.device))
        # SAM-HQ gives the maps of earlier layers, too; later kinds give a list of maps.
        names = ("image_embeddings", "intermediate_embeddings")
        parts = encoded if isinstance(encoded, tuple) else (encoded,)
        features = {name: _to_float32(part) for name, part in zip(names, parts, strict=False)}
        seen = inputs["reshaped_input_sizes"][0].tolist() if self.keeps_aspect else (self.side, self.side)
        return Embedding(features, (image.shape[0], image.shape[1]), (seen[0], seen[1]))

    @torch.inference_mode()
    def segment_boxes(
        self, image: NDArray[np.uint8], boxes_xyxy: ArrayLike, points: Sequence[PointPrompts]
    ) -> list[NDArray[np.float32]]:
        """How sure the model is that a pixel of each box belongs to its thing.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
        boxes_xyxy : (N, 4) int
            Half-open, inside the image.
        points : sequence of PointPrompts
            Those of each box.

        Returns
        -------
        list of (h, w) float32
            In the boxes, in [0, 1].

        Raises
        ------
        ValueError
            For a box that is inverted, empty or outside the image.
        """
        boxes = check_boxes(boxes_xyxy, image.shape[:2])
        if not len(boxes):
            return []
        embedding = self.embed_image(image)
        found: dict[int, NDArray[np.float32]] = {}
        for batch in batch_by_length([len(each.xy) for each in points]):
            logits = self._decode(embedding, boxes[batch], [points[index] for index in batch])
            for index, one in zip(batch, logits, strict=True):
                found[index] = self._cut_out(one, boxes[index], embedding).cpu().numpy()
        return [found[index] for index in range(len(boxes))]

    def _decode(self, embedding: Embedding, boxes: NDArray[np.int32], points: Sequence[PointPrompts]) -> Tensor:
        """Logits ``(N, h, w)`` over the square of the encoder; of each box as many points."""
        # From pixels of the image to those of the encoder.
        scale = np.array([embedding.resized[1] / embedding.size[1], embedding.resized[0] / embedding.size[0]])
        prompts: dict[str, Tensor] = {"input_boxes": self._place(boxes * np.tile(scale, 2))}
        if len(points[0].xy):
            # The model counts from the middles of pixels, and adds the half itself.
            prompts["input_points"] = self._place(np.stack([each.xy for each in points]) * scale - 0.5)
            prompts["input_labels"] = self._place(np.stack([each.is_thing for each in points])).int()
        output = self.network(**embedding.features, **prompts, multimask_output=False)
        masks: Tensor = output.pred_masks[0, :, 0]
        return masks.float()

    def _place(self, values: NDArray[Any]) -> Tensor:
        """Values of the prompts of one image, ``(1, ...) float32`` on the device."""
        return torch.from_numpy(values).float()[None].to(self.device)

    def _cut_out(self, logits: Tensor, box: NDArray[np.int32], embedding: Embedding) -> Tensor:
        """Probabilities ``(h, w)`` in a box, from logits over the square: read at the middles of its pixels."""
        grid = []
        for axis, (low, high) in enumerate(((box[0], box[2]), (box[1], box[3]))):
            scale = embedding.resized[1 - axis] / embedding.size[1 - axis]
            middles = torch.arange(int(low), int(high), device=self.device) + 0.5
            # In [-1, 1] from one side of the square to the other.
            grid.append(2 * middles * scale / self.side - 1)
        across, down = torch.meshgrid(grid[0], grid[1], indexing="xy")
        positions = torch.stack([across, down], dim=-1)[None]
        read = F.grid_sample(logits[None, None], positions, padding_mode="border", align_corners=False)
        return torch.sigmoid(read[0, 0])


def batch_by_length(lengths: Sequence[int], size: int = BOXES_PER_BATCH) -> Iterator[list[int]]:
    """Batches of positions of equal length: padding would be seen by the attention and change the masks.

    Examples
    --------
    >>> list(batch_by_length([0, 2, 0, 0], size=2))
    [[0, 2], [3], [1]]
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, group in groupby(order, key=lengths.__getitem__):
        members = list(group)
        yield from (members[start : start + size] for start in range(0, len(members), size))


def _to_float32(part: Any) -> Any:
    """A feature map, or each of a list."""
    return part.float() if isinstance(part, Tensor) else [each.float() for each in part]


@contextmanager
def _use_threads(count: int) -> Iterator[None]:
    """Let torch compute on this many threads; other segmenters of the process need the number that they set."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
