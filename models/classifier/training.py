"""Train the tag classifier: its samples, and its accuracy on the tags of other images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.augmentation import Augmentation
from models.classifier.batches import TagSample, cut_out_crop, list_tag_regions, locate_cells, make_tag_batch
from models.classifier.model import ClassifierModel
from models.classifier.network import STRIDE, pool_regions
from models.training_set import Samples
from pseudogt.classes import ClassTable
from pseudogt.metrics.tag_precision import summarise_tag_precision
from pseudogt.weak_labels.records import ImageWeakLabels


@dataclass(frozen=True)
class TagBatches:
    """Batches of windows of whole images, or of their tagged crops.

    Attributes
    ----------
    images : Samples of TagSample
    samples : list of (image, crop)
        See :func:`list_tag_samples`.
    classes : ClassTable
    augmentation : Augmentation
    with_marks : bool
        Whether any image has marks.
    """

    images: Samples[TagSample]
    samples: list[tuple[int, int | None]]
    classes: ClassTable
    augmentation: Augmentation
    with_marks: bool

    def load(self, indices: NDArray[np.int64], generator: np.random.Generator) -> dict[str, Tensor]:
        """Batch of the samples ``(B,)``."""
        chosen = []
        for number, crop in (self.samples[i] for i in indices):
            image = self.images[number]
            chosen.append(image if crop is None else cut_out_crop(image, crop))
        return make_tag_batch(chosen, self.classes, self.augmentation, STRIDE, generator, with_marks=self.with_marks)


def list_tag_samples(weak_labels: Sequence[ImageWeakLabels], kind: str) -> list[tuple[int, int | None]]:
    """All samples as (number of the image, number of its crop or None for the whole image).

    ``kind`` is "image" or "crop"; an image without crops is one sample either way.
    """
    samples: list[tuple[int, int | None]] = []
    for number, weak in enumerate(weak_labels):
        count = len(weak.crops_xyxy) if kind == "crop" else 0
        samples.extend((number, crop) for crop in (range(count) if count else [None]))
    return samples


def measure_tag_precision(model: ClassifierModel, images: Samples[TagSample]) -> dict[str, Any]:
    """Average precision of the tags of the crops (of the images, if there are no crops)."""
    device = next(model.network.parameters()).device
    model.network.eval()
    scores, tags = [], []
    for number in range(len(images)):
        sample = images[number]
        # With the identity as affine map, the window is the whole image.
        rows, columns = locate_cells(sample, np.eye(2, 3), sample.image.shape[:2], STRIDE)
        regions = list_tag_regions(sample.weak.without_boxes(), rows, columns)
        image = torch.from_numpy(sample.image).permute(2, 0, 1)[None].to(device)
        with torch.inference_mode():
            logits = model.network(image)
            in_rows, in_columns = (torch.from_numpy(s)[None].to(device) for s in (regions.rows, regions.columns))
            scores.append(pool_regions(logits, in_rows, in_columns, model.sharpness)[0].cpu().numpy())
        tags.append(regions.tags)
    summary = summarise_tag_precision(np.concatenate(scores), np.concatenate(tags), model.classes.names)
    return {"images": len(images), "crops": sum(map(len, tags)), **summary}
