"""Two processes on the CPU (gloo), started as the workflow starts them on several GPUs: by torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_in_processes import PLAN, train_small

SCRIPT = Path(__file__).with_name("train_in_processes.py")
REPOSITORY = Path(__file__).resolve().parents[2]


def torchrun(out, *arguments):
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, str(SCRIPT), str(out), *arguments], env=environment, capture_output=True, text=True, timeout=600
    )


def read_states(out):
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def assert_equal(state, expected, tolerance=0.0):
    for name in state.keys() - {"computed", "by_all"}:
        torch.testing.assert_close(state[name], expected[name], rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted")
    done = torchrun(out)
    assert done.returncode == 0, done.stderr
    return read_states(out)


def test_processes_agree_and_equal_one_with_the_same_batch(uninterrupted):
    first, second = uninterrupted
    assert_equal(first, second)
    for size in (0, 2):
        network, _ = train_small(replace(PLAN, images_per_pass=size), None)
        assert_equal(first, network.state_dict(), tolerance=1e-4)


@pytest.mark.parametrize("backbone", ["small", "timm/test_resnet"])
def test_frozen_and_unused_parts_of_a_backbone_wait_for_nobody(tmp_path, backbone):
    done = torchrun(tmp_path, "--network", backbone)
    assert done.returncode == 0, done.stderr
    first, second = read_states(tmp_path)
    assert_equal(first, second)
    network, _ = train_small(PLAN, None, name=backbone)
    assert_equal(first, network.state_dict(), tolerance=1e-4)


@pytest.mark.parametrize(("name", "rank", "workers"), [("SIGTERM", 0, 0), ("SIGUSR1", 1, 1)])
def test_stopped_training_resumes_as_if_nothing_had_been(uninterrupted, tmp_path, name, rank, workers):
    """Whichever process gets the signal, all stop after the same step; with workers or without."""
    loading = ["--workers", str(workers)]
    done = torchrun(tmp_path, "--stop-at", "7", "--number", name, "--rank", str(rank), *loading)
    assert done.returncode != 0
    assert not (tmp_path / "0.pt").exists()
    assert (tmp_path / "checkpoint.pt").is_file(), done.stderr
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 7
    assert torchrun(tmp_path).returncode == 0
    for state, expected in zip(read_states(tmp_path), uninterrupted, strict=True):
        assert (state["computed"], state["by_all"]) == (13, 2 * 20)
        assert_equal(state, expected)


def test_killed_process_ends_the_job_and_the_next_try_goes_on(uninterrupted, tmp_path):
    done = torchrun(tmp_path, "--stop-at", "9", "--number", "SIGKILL", "--rank", "1")
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr or "-9" in done.stderr
    step = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"]
    assert 1 <= step <= 8
    assert torchrun(tmp_path).returncode == 0
    for state, expected in zip(read_states(tmp_path), uninterrupted, strict=True):
        assert state["computed"] == 20 - step
        assert_equal(state, expected)
