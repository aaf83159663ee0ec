"""Devices, precision and groups of processes of machines with GPUs, which a stand-in for torch.cuda pretends to be."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.segmenter.inference import prepare_network
from models.training import choose_device, choose_precision, devices
from pseudogt.prediction.kinds import BOTTOM_UP, KINDS


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with two GPUs of Ampere; ``current`` is the one that was made current."""
    found = SimpleNamespace(current=None, gpus=2, native=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found.gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found.gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: setattr(found, "current", number))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"card{number}"))
    # torch says of all GPUs that they support bfloat16, unless it is told not to count emulation.
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: found.native or including_emulation
    )
    monkeypatch.setattr(devices, "gettempdir", lambda: str(tmp_path))
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    devices.claim_gpu.cache_clear()
    yield found
    devices.claim_gpu.cache_clear()


def test_bfloat16_is_automatic_only_where_a_gpu_multiplies_in_it(machine):
    cuda = torch.device("cuda", 0)
    assert choose_precision("auto", cuda) == torch.bfloat16
    machine.native = False
    assert choose_precision("auto", cuda) == torch.float32
    assert choose_precision("bf16", cuda) == torch.bfloat16


def test_process_of_torchrun_takes_the_gpu_of_its_number(machine, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == torch.device("cuda", 1)
    assert machine.current == 1


def test_more_processes_than_gpus_are_an_error(machine, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    with pytest.raises(ValueError, match="gpus: 8, but torch finds 2 here; set gpus to 2"):
        choose_device("cuda")


def test_jobs_share_gpus_evenly_and_each_keeps_its_own(machine):
    taken = []
    for _ in range(4):
        devices.claim_gpu.cache_clear()  # as another process, which does not have the locks of this one
        taken.append(choose_device("auto").index)
        assert choose_device("cuda").index == machine.current == taken[-1]
    assert taken == [0, 1, 0, 1]


@pytest.fixture
def group(machine, monkeypatch):
    """Calls that start and end a group of two processes."""
    calls = []
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda backend, **options: calls.append((backend, options))
    )
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: calls.append("destroyed"))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    return calls


def test_group_knows_its_gpu_and_waits_longer_than_images_take_to_prepare(group):
    with devices.join_processes("auto") as (rank, processes, device):
        assert (rank, processes, device) == (1, 2, torch.device("cuda", 1))
    (backend, options), ended = group
    assert (backend, options["device_id"], ended) == ("nccl", device, "destroyed")
    assert options["timeout"] > timedelta(hours=1)


def test_failed_process_does_not_wait_for_those_that_wait_for_it(group):
    with pytest.raises(ValueError, match="out of memory"), devices.join_processes("auto"):
        raise ValueError("out of memory")
    assert "destroyed" not in group


def test_processes_that_stop_together_leave_the_group(group):
    with pytest.raises(SystemExit), devices.join_processes("auto"):
        raise SystemExit(143)
    assert group[-1] == "destroyed"


@pytest.mark.parametrize(("kind", "remedy"), [(BOTTOM_UP, " or predictions.tile_px"), ("mask_transformer", "")])
def test_lack_of_memory_in_a_prediction_names_the_settings_that_help(kind, remedy):
    class Large(torch.nn.Module):
        def forward(self, images):
            raise torch.OutOfMemoryError("CUDA out of memory")

    run = prepare_network(Large(), KINDS[kind], torch.device("cpu"), torch.float32)
    with pytest.raises(ValueError, match=f"out of memory on the GPU: lower predictions.batch_size{remedy}; or end"):
        run(np.zeros((1, 32, 32, 3), np.uint8))
