from pseudogt.terminal.results import describe_results, describe_scores

EMPTY = {"rounds": [], "reference": {"val": None}, "ratio": {"pq": None}}


def test_detections_are_shown_where_there_is_no_panoptic_ground_truth():
    found = {"val": {"box_ap": 0.125, "voc_ap": None, "per_class": {}}, "train": {"corloc": 0.5}}
    assert describe_scores(EMPTY | {"detections": found}) == ["Detections: box AP 12.5%, CorLoc 50.0%"]


def test_a_run_without_scores_says_why():
    nothing = ["No scores: there is no ground truth to compare with."]
    assert describe_scores(EMPTY) == describe_scores(EMPTY | {"detections": {"val": None, "train": None}}) == nothing


def test_a_class_that_the_labels_have_lost_is_a_warning(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").touch()
    rows = ["name,images,labelled_images", "sky,100,90", "pole,80,19", "fence,80,20", "tram,0,0"]
    (tmp_path / "report" / "labels.csv").write_text("\n".join(rows))
    report, *warnings = describe_results(tmp_path, {"report": 1})
    assert report.startswith("Report:") and len(warnings) == 1
    assert warnings[0].startswith("warning: class 'pole' is in 80 training images, but in the labels of 19 of them")
    assert not describe_results(tmp_path, {})
