import numpy as np
import pytest

from pseudogt.classes import VOID, ClassTable
from pseudogt.metrics.subjects import Kind, score_image, summarise_images

CLASSES = ClassTable(("road", "car"), (7, 26), (False, True), ((0, 0, 0),) * 2)
ROAD, CAR = 7000, 26001
PREDICTION = Kind(has_instances=True, has_stuff=True, is_prediction=True)


@pytest.mark.parametrize(("ap_ignores_void", "ap50"), [(False, 0), (True, 1)])
def test_void_under_a_segment_counts_against_its_ap_unless_it_is_ignored(ap_ignores_void, ap50):
    truth = np.full((10, 20), ROAD, np.int32)
    truth[:, :4] = CAR
    truth[:, 4:10] = VOID
    truth[0, 19] = VOID
    predicted = np.full_like(truth, ROAD)
    predicted[:, :10] = CAR
    predicted[0, 19] = CAR + 1  # nothing of it remains
    scores = {ROAD: 0.9, CAR: 0.5, CAR + 1: 0.8}
    image = score_image(truth, predicted, scores, CLASSES, PREDICTION, ap_ignores_void=ap_ignores_void)
    found = summarise_images({"a": image}, CLASSES, PREDICTION, max_detections=100)
    assert found["ap50"] == pytest.approx(ap50)
    assert found["pq_th"] == pytest.approx(1)
