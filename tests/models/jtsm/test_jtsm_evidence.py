"""The order in which GrabCut's masks are computed ahead of a training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from models.classifier.model import ClassifierModel
from models.jtsm.evidence import rank_by_classifier
from models.jtsm.samples import MiningImage
from pseudogt.classes import ClassTable
from pseudogt.proposals.members import Members

ROAD, SKY, CAR = range(3)
CLASSES = ClassTable(("road", "sky", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0), (0, 0, 1), (0, 0, 2)))
COLUMNS = 4


class Halves(nn.Module):
    """A classifier that is sure of a car in the left half of every image, and of road in the right half."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, 3, H / 4, W / 4)``."""
        logits = torch.zeros(len(images), 3, images.shape[2] // 4, images.shape[3] // 4)
        half = logits.shape[3] // 2
        logits[:, CAR, :, :half] = logits[:, ROAD, :, half:] = 20
        return logits


@pytest.fixture
def classifier():
    """The classifier of :class:`Halves`."""
    return ClassifierModel(Halves(), {}, CLASSES, {}, 1.0, 1.0)


def make_sample(*tags: int) -> MiningImage:
    """An image of four columns; proposals are the third, the whole image, the first, and both halves."""
    held = np.array([[0, 0, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0]], bool)
    columns = np.array([[2, 3], [0, 4], [0, 1], [2, 4], [0, 2]]) * 16
    return MiningImage(
        image=np.zeros((32, 64, 3), np.uint8),
        superpixels=np.repeat(np.arange(COLUMNS, dtype=np.int32), 16)[None].repeat(32, 0),
        members=Members.from_dense(held),
        boxes_xyxy=np.insert(columns, [1, 2], [0, 32], axis=1).astype(np.int32),
        scores=np.zeros(len(held), np.float32),
        tags=np.isin(CLASSES.things_first, tags),
        known=np.ones(3, bool),
    )


def test_proposals_that_overlap_the_map_of_a_tag_come_first(classifier):
    # The left half; then the image and the first column, which overlap it by half each; the others don't.
    assert rank_by_classifier(make_sample(CAR), classifier, stuff=False).tolist()[0] == 4
    assert set(rank_by_classifier(make_sample(CAR), classifier, stuff=False).tolist()[1:3]) == {1, 2}


def test_classes_take_turns_and_stuff_does_if_its_masks_are_asked_for(classifier):
    assert set(rank_by_classifier(make_sample(CAR, ROAD), classifier, stuff=True).tolist()[:2]) == {3, 4}
    assert set(rank_by_classifier(make_sample(CAR, ROAD), classifier, stuff=False).tolist()[:2]) != {3, 4}


def test_without_tags_the_order_of_the_file_remains(classifier):
    assert rank_by_classifier(make_sample(), classifier, stuff=True).tolist() == [0, 1, 2, 3, 4]
