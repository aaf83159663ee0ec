from __future__ import annotations

from pseudogt.reporting.page import describe_sample, list_pairs


def test_a_slider_may_lie_between_any_two_rounds_in_a_row():
    of_four = {pair["title"]: pair["train"] for pair in list_pairs(["labels-0", "labels-3", "labels-6", "labels-9"])}
    assert of_four["First and last round"] == [["labels-0", "labels-9"]]
    assert of_four["Rounds 3 and 6"] == [["labels-3", "labels-6"]]
    assert len(of_four) == 7
    assert len(list_pairs(["labels-0", "labels-1"])) == 4


def test_sample_is_described():
    groups = {"a": "random", "b": "random", "c": "best", "d": "worst"}
    expected = "Of the 9 images of val: the 1 with the lowest PQ, the 1 with the highest, 2 of the rest at random."
    assert describe_sample("val", 9, groups, "PQ") == expected
    assert (
        describe_sample("train", 2, dict.fromkeys("ab", "random"), "trust") == "Of the 2 images of train: 2 at random."
    )
