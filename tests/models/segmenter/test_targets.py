import numpy as np
import pytest
import torch

from models.segmenter.targets import encode_targets, find_instance_targets
from pseudogt.classes import VOID, ClassTable

CLASSES = ClassTable(("road", "car", "person"), (7, 26, 24), (False, True, True), ((0, 0, 0),) * 3)
ROAD, CAR, PERSON = 7000, 26000, 24000


@pytest.fixture
def panoptic_id():
    ids = np.full((16, 32), ROAD, np.int32)
    ids[2:6, 2:10] = CAR + 1
    ids[8:14, 12:16] = PERSON + 1
    ids[8:14, 20:24] = PERSON
    ids[0] = VOID
    return ids


def find(panoptic_id, boxes, classes, *, boxes_are_complete=True):
    boxes = np.array(boxes, np.int32).reshape(-1, 4)
    return find_instance_targets(
        panoptic_id, boxes, np.array(classes, np.uint8), CLASSES, boxes_are_complete=boxes_are_complete
    )


def test_segment_takes_the_centre_of_the_box_of_its_class_with_the_highest_overlap(panoptic_id):
    targets = find(panoptic_id, [[2, 2, 10, 6], [0, 0, 12, 8], [3, 2, 10, 6]], [2, 1, 1])
    assert targets.instance[3, 3] == 3
    assert targets.centres_yx[2].tolist() == [3.5, 6.0]
    assert targets.sizes[2] == pytest.approx(np.sqrt(28))


def test_segment_without_a_box_keeps_its_own_centre(panoptic_id):
    targets = find(panoptic_id, [[20, 0, 30, 3]], [1])
    assert targets.instance[3, 3] == 3
    assert targets.centres_yx[2].tolist() == [3.5, 5.5]
    assert len(targets.sizes) == 3


def test_two_masks_of_one_box_share_its_centre(panoptic_id):
    panoptic_id[2:6, 7:10] = CAR + 2
    targets = find(panoptic_id, [[2, 2, 10, 6]], [1])
    assert targets.instance[3, 3] == targets.instance[3, 8] == 1


@pytest.mark.parametrize(("boxes_are_complete", "void"), [(True, 0), (False, -1)])
def test_where_centres_are_known(panoptic_id, boxes_are_complete, void):
    targets = find(panoptic_id, [], [], boxes_are_complete=boxes_are_complete)
    assert targets.instance[1, 0] == 0
    assert targets.instance[10, 21] == -1
    assert targets.instance[0, 0] == void


def test_offsets_point_to_the_centre_and_the_heatmap_peaks_there():
    instance = torch.zeros(1, 32, 64, dtype=torch.int64)
    instance[0, 8:24, 16:48] = 1
    instance[0, :, :4] = -1
    centres = torch.tensor([[[13.5, 29.5]]])
    targets = encode_targets(instance, centres, torch.tensor([[20.0]]))
    y, x = torch.meshgrid(torch.arange(8) * 4 + 1.5, torch.arange(16) * 4 + 1.5, indexing="ij")
    inside = targets.offset_weight[0, 0] == 1
    assert inside.sum() == 4 * 8
    assert (y + targets.offset[0, 0])[inside].unique().tolist() == [13.5]
    assert (x + targets.offset[0, 1])[inside].unique().tolist() == [29.5]
    assert targets.centre[0, 0, 3, 7] == 1
    assert targets.centre.argmax() == 3 * 16 + 7
    assert (targets.centre_weight[0, 0, :, 0] == 0).all()
    assert (targets.centre_weight[0, 0, :, 1:] == 1).all()


@pytest.mark.parametrize(("size", "share", "sigma"), [(10, None, 3), (50, None, 4), (200, None, 8), (200, 0.15, 30)])
def test_peaks_are_as_wide_as_their_boxes_ask_for(size, share, sigma):
    nothing = torch.zeros(1, 32, 64, dtype=torch.int64)
    targets = encode_targets(nothing, torch.tensor([[[13.5, 29.5]]]), torch.tensor([[float(size)]]), share)
    # One cell beside the middle.
    assert targets.centre[0, 0, 3, 8].item() == pytest.approx(np.exp(-(4**2) / (2 * sigma**2)))


def test_rows_that_fill_up_the_batch_leave_no_trace():
    instance = torch.zeros(1, 32, 32, dtype=torch.int64)
    targets = encode_targets(instance, torch.zeros(1, 2, 2), torch.zeros(1, 2))
    assert (targets.centre == 0).all()
    assert (encode_targets(instance, torch.zeros(1, 0, 2), torch.zeros(1, 0)).centre == 0).all()
