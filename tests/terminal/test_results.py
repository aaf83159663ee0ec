from pseudogt.terminal.results import describe_scores

EMPTY = {"rounds": [], "reference": {"val": None}, "ratio": {"pq": None}}


def test_detections_are_shown_where_there_is_no_panoptic_ground_truth():
    found = {"val": {"box_ap": 0.125, "voc_ap": None, "per_class": {}}, "train": {"corloc": 0.5}}
    assert describe_scores(EMPTY | {"detections": found}) == ["Detections: box AP 12.5%, CorLoc 50.0%"]


def test_a_run_without_scores_says_why():
    nothing = ["No scores: there is no ground truth to compare with."]
    assert describe_scores(EMPTY) == describe_scores(EMPTY | {"detections": {"val": None, "train": None}}) == nothing
