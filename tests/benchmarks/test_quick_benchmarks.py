"""The benchmarks of label cleaning and PQ run and write the figures that are owed."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PQ_FIGURES = {
    "pq_speedup",
    "pq_difference_to_cityscapesscripts",
    "pq_files_over_decoding",
    "pq_cost_growth",
    "pq_memory_growth_mb",
}
WSPS_FIGURES = {"clean_over_io", "parallel_scaling", "reference_speedup"}


@pytest.mark.slow
@pytest.mark.parametrize(("script", "owed"), [("pq", PQ_FIGURES), ("wsps", PQ_FIGURES | WSPS_FIGURES)])
def test_quick_run_writes_the_figures(script: str, owed: set[str], tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / f"{script}.py"), "--quick"]
    subprocess.run([*command, "--json", str(tmp_path / "figures.json")], check=True, cwd=tmp_path)
    document = json.loads((tmp_path / "figures.json").read_text())
    assert set(document) == {"figures", "commit", "versions", "machine"}
    assert owed <= set(document["figures"])
    assert document["figures"]["pq_difference_to_cityscapesscripts"] < 1e-12


@pytest.mark.parametrize("boxes", [20, 40, 60])
def test_made_images_use_every_step(wsps_images, boxes: int) -> None:
    from pseudogt.wsps.label_generation import cut_instances, generate_labels

    inputs, options = wsps_images.imagine(wsps_images.make_instance_ids(0, boxes), seed=0)
    assert abs(len(inputs.boxes.classes) - boxes) <= 2  # a thing may be hidden behind others
    assert 0.05 < (inputs.scores < options.score_thresh).mean() < 0.5
    stages = list(generate_labels(inputs, options).values())
    for before, after in pairwise([inputs.pred, *stages[:-1]]):  # the last stage repeats the one before it
        assert (before != after).any()
    assert len(np.unique(cut_instances(stages[-1], inputs.boxes, options).ins_pred)) > boxes / 2


def test_classes_of_other_datasets_are_dealt_anew(wsps_images) -> None:
    ids = np.array([[0, 7, 255], [26000, 26001, 26], [3, 300, 300]], np.int32)
    dealt = wsps_images.deal_classes(ids)
    assert dealt.tolist() == [[0, 2, 255], [11001, 11002, 11], [1, 255, 255]]


@pytest.mark.slow
def test_figures_of_the_loader_are_those_that_are_owed(tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "training.py"), "--quick", "--count", "8"]
    subprocess.run([*command, "--json", str(tmp_path / "figures.json")], check=True, cwd=tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    owed = {"loader_ms_per_sample", "loader_scaling", "waiting_share", "step_over_compute", "bytes_on_disk_per_image"}
    assert owed <= set(figures)
    assert 0 <= figures["waiting_share"] < figures["waiting_share_before"] < 1
    # An eighth of 1024 by 2048: three bytes of the image, and maps of one or two each.
    assert 7 * 128 * 256 < figures["bytes_on_disk_per_image"] < 8.2 * 128 * 256
