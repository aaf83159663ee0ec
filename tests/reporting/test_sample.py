from __future__ import annotations

import pytest

from pseudogt.classes import ClassTable
from pseudogt.reporting.sample import average, choose_sample, find_classes, measure_trust

CLASSES = ClassTable(("road", "car"), (7, 26), (False, True), ((128, 64, 128), (0, 0, 142)))


def test_worst_best_and_some_of_the_rest():
    values = {f"{i:02d}": i / 20 for i in range(20)}
    sample = choose_sample(values, 3, 4)
    assert [i for i, group in sample.items() if group == "worst"] == ["00", "01", "02"]
    assert [i for i, group in sample.items() if group == "best"] == ["19", "18", "17"]
    assert list(sample.values()).count("random") == 4
    assert choose_sample(dict(reversed(values.items())), 3, 4) == sample


def test_draw_is_from_all_of_the_rest():
    values = {str(i): None for i in range(100)}
    drawn = {int(i) for i in choose_sample(values, 8, 50)}
    assert len(drawn) == 50
    assert min(drawn) < 20
    assert max(drawn) >= 80


@pytest.mark.parametrize(
    ("images", "counts"), [(0, (0, 0, 0)), (1, (1, 0, 0)), (2, (1, 1, 0)), (4, (2, 2, 0)), (9, (3, 3, 3))]
)
def test_few_images_are_shared_out(images, counts):
    sample = choose_sample({str(i): i / 10 for i in range(images)}, 8, 8)
    assert tuple(list(sample.values()).count(group) for group in ("worst", "best", "random")) == counts


def test_no_extremes_are_asked_for():
    assert set(choose_sample({"a": 0.1, "b": 0.2}, 0, 8).values()) == {"random"}


def test_trust_weighs_agreement_twice():
    assert measure_trust({1: 0.4, 2: 0.6}, {2: 0.9, 3: 1.0}) == pytest.approx({1: 0.4, 2: 0.8})
    assert average({1: 0.4, 2: 0.8}) == pytest.approx(0.6)
    assert average({}) is None


def test_classes_of_an_image_are_those_of_label_and_truth():
    trust = {26001: 0.5, 26002: 1.0}
    background = CLASSES.background_category_id * 1000
    assert find_classes([0, 26001, 26002, background], [7000], trust, CLASSES) == {"road": None, "car": 0.75}
