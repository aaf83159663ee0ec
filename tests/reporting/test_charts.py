"""The report's charts of scores."""

from __future__ import annotations

from pseudogt.reporting.report import draw_rounds


def make_scores(value):
    return dict.fromkeys(("pq", "pq_th", "pq_st", "miou"), value)


def test_rounds_end_with_the_labels_of_the_last_model():
    rounds = [
        {"round": number, "model": {"val": make_scores(0.3)}, "labels": {"train": make_scores(0.4)}}
        for number in range(2)
    ]
    stages = {"cams": make_scores(0.1), "labels-3": make_scores(0.5)}
    figure = draw_rounds({"rounds": rounds, "stages": stages, "reference": {"val": make_scores(None)}})
    model, labels = figure.axes[0].get_lines()
    assert list(model.get_ydata()) == [0.3, 0.3] and list(labels.get_ydata()) == [0.4, 0.4, 0.5]
