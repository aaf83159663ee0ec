"""The benchmark of JTSM: settings of its steps, and what it reports of several seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["msrc-jtsm", "streets-jtsm"])
def test_each_step_takes_more_of_the_network(jtsm, name):
    config = REPOSITORY / "configs" / f"{name}.yaml"
    resolved = [jtsm.resolve_config([config], {"data_root": "somewhere", **step}) for step in jtsm.STEPS.values()]
    parts = [(c.mining.refinements, c.mining.masks, c.mined.masks, c.mined.stuff) for c in resolved]
    assert parts == [
        (0, False, "segments", "segments"),
        (4, True, "segments", "segments"),
        (4, True, "branch", "segments"),
        (4, True, "branch", "branch"),
    ]


def test_configuration_of_msrc_trains_every_part_of_the_paper_and_labels_with_the_best(jtsm):
    config = jtsm.resolve_config([REPOSITORY / "configs" / "msrc-jtsm.yaml"], {"data_root": "somewhere"})
    assert (config.mining.masks, config.mining.semantic, config.mining.refinements) == (True, True, 4)
    assert {"masks": config.mined.masks, "stuff": config.mined.stuff} == jtsm.STEPS["refinement"]["mined"]


def test_figures_of_several_seeds_have_a_mean_and_a_deviation(jtsm):
    figures = jtsm.summarise_runs([{"pq": 0.2, "ap": None}, {"pq": 0.4, "ap": None}])
    assert figures == {"runs": 2.0, "pq": pytest.approx(0.3), "pq_stdev": pytest.approx(0.2 / 2**0.5), "ap": None}
    assert jtsm.summarise_runs([{"pq": 0.2}]) == {"runs": 1.0, "pq": 0.2}
