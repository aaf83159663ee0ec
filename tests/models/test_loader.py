"""The same batches from every number of workers, and the ones that one thread gave before there were any."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_training import PLAN
from test_training_set import make_panoptic, prepare

from models.augmentation import Augmentation, draw_affine, draw_colour_factors, warp_image, warp_points
from models.loader import count_cores, count_workers, explain_lost_workers, load_batches, load_in_order
from models.segmenter.training import PanopticBatches
from models.training import select_samples
from models.training.loop import _Pieces
from pseudogt.files.ahead import load_in_threads

REPOSITORY = Path(__file__).resolve().parents[2]
STRONG = Augmentation(crop_size=(32, 32), zoom=(0.5, 2), flip=0.5, colour=0.3)
COUNT, FIRST = 20, 3


def load_as_before(samples, number):
    """The batches of the loader before this one: three maps in one array of int16, warped together."""
    step, part = divmod(number, PLAN.count_passes_per_step(1))
    generator = np.random.default_rng([PLAN.seed, step, part, 0])
    indices = select_samples(step, PLAN.batch_size, COUNT, PLAN.seed).reshape(PLAN.count_passes_per_step(1), -1)[part]
    images, maps, centres = [], [], []
    for sample in (samples[i] for i in indices):
        affine = draw_affine(sample.image.shape[:2], STRONG, generator)
        images.append(warp_image(sample.image, affine, (32, 32)))
        stacked = np.stack([sample.semantic, sample.instance, sample.candidate_set], axis=-1).astype(np.int16)
        maps.append(cv2.warpAffine(stacked, affine, (32, 32), flags=cv2.INTER_NEAREST, borderValue=(255, -1, 0)))
        centres.append(warp_points(sample.centres_yx, affine))
    return np.stack(images), np.stack(maps), centres, draw_colour_factors(len(indices), STRONG, generator)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_batches_are_those_of_before_whoever_loads_them(workers, tmp_path):
    samples = [make_panoptic(seed) for seed in range(COUNT)]
    _, stored = prepare(tmp_path, samples)
    pieces = _Pieces(PanopticBatches(stored, STRONG).load, PLAN, COUNT, rank=0, processes=1)
    numbers = range(FIRST, FIRST + 8)  # from within a step, as after a resume
    with closing(load_batches(pieces.load, numbers, workers=workers)) as batches:
        for number, batch in zip(numbers, batches, strict=True):
            images, maps, centres, factors = load_as_before(samples, number)
            np.testing.assert_array_equal(batch["images"].permute(0, 2, 3, 1), images)
            for channel, name in enumerate(("semantic", "instance", "candidate_set")):
                np.testing.assert_array_equal(batch[name], maps[..., channel])
            for row, expected in enumerate(centres):
                np.testing.assert_array_equal(batch["centres_yx"][row, : len(expected)], expected)
            assert torch.equal(batch["colour_factors"], factors)
    assert not multiprocessing.active_children()


def load_growing(number):
    """The first batches are small, and the memory format alternates."""
    images = torch.full((2, 3, 8 + number, 8), number, dtype=torch.uint8)
    images = images.contiguous(memory_format=torch.channels_last) if number % 2 else images
    return {"images": images, "sizes": torch.full((number % 3,), number / 4)}


@pytest.mark.parametrize("held", [1, 3])
def test_batches_stay_as_they_are_while_they_are_held(held):
    numbers = range(2, 40)
    in_use = []
    with closing(load_batches(load_growing, numbers, workers=2, held=held)) as batches:
        for number, batch in zip(numbers, batches, strict=True):
            in_use = [*in_use, (number, batch)][-held:]
            time.sleep(0.005)
            for wanted, found in ((load_growing(n), b) for n, b in in_use):
                assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
                assert found["images"].stride() == wanted["images"].stride()


def describe_worker(number):
    info = torch.utils.data.get_worker_info()
    return os.getpid(), info.id, cv2.getNumThreads(), torch.get_num_threads()


def test_workers_share_the_items_and_have_one_thread_each():
    described = list(load_in_order(describe_worker, range(6), workers=2))
    assert [worker for _, worker, _, _ in described] == [0, 1] * 3
    assert len({pid for pid, *_ in described} - {os.getpid()}) == 2
    assert {threads for _, _, *threads_of in described for threads in threads_of} <= {0, 1}


def load_large(number):
    return torch.full((64, 64, 64), number)


def test_workers_that_are_not_needed_any_more_end_in_peace(capfd):
    with closing(load_in_order(load_large, range(1000), workers=2)) as items:
        assert next(items).eq(0).all()
    assert not multiprocessing.active_children()
    assert capfd.readouterr().err == ""


def test_loading_leaves_the_random_numbers_of_the_network_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert list(load_in_order(abs, range(2), workers=1)) == [0, 1]
    assert torch.equal(torch.rand(1), expected)


def raise_system_error(number):
    raise OSError(28, "No space left on device", f"file{number}")


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_keep_type_file_and_message(workers):
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: 'file7'$"):
        list(load_in_order(raise_system_error, [7], workers=workers))


def test_other_errors_of_torch_are_not_taken_for_lost_workers():
    with pytest.raises(RuntimeError, match="shapes differ"), explain_lost_workers():
        raise RuntimeError("shapes differ")


def test_threads_load_ahead_in_order_and_no_further():
    started, release = [], threading.Event()

    def load(number):
        started.append(number)
        release.wait(5 if number else 0)
        return -number

    with closing(load_in_threads(load, range(10), threads=3, ahead=4)) as items:
        release.set()
        assert next(items) == 0
        time.sleep(0.1)
        assert sorted(started) == [0, 1, 2, 3, 4]
        assert list(items) == [-number for number in range(1, 10)]


def test_nothing_to_load():
    assert list(load_in_order(abs, [], workers=2)) == list(load_in_order(abs, [])) == []


def test_automatic_number_of_workers_follows_cores_and_device(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert count_workers("auto", cpu, 16) == 0
    assert count_workers(3, cpu, 1) == count_workers(3, cuda, 1) == 3
    assert [count_workers("auto", cuda, cores) for cores in (16, 2, 1)] == [15, 1, 1]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert count_workers("auto", cuda, 32) == 7
    assert [count_cores(cores) for cores in (32, 4, 1)] == [8, 1, 1]
    assert count_workers("auto", cuda) == max(1, len(os.sched_getaffinity(0)) // 4 - 1)


KILLED = """
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from test_training import PLAN, build_network, compute_losses, load_batch

from models.training import train

def stop_all(network, batch):
    os.killpg(0, signal.SIGTERM)  # as a scheduler does: to every process of the job
    return compute_losses(network, batch)

if __name__ == "__main__":
    train(build_network(), sample_count=10, load_batch=load_batch, compute_losses=stop_all,
          plan=replace(PLAN, loader_workers=2, steps=1000), checkpoint=Path(sys.argv[1]))
"""


def wait_for_end(group, seconds):
    """Whether a process group has no process any more; the last to go notices that the others have gone."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_sigterm_to_the_whole_job_writes_a_checkpoint_and_leaves_no_process(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    paths = os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)])
    done = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "state.pt")],
        env=os.environ | {"PYTHONPATH": paths},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 143, errors
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 1
    assert "Traceback" not in errors
    assert wait_for_end(done.pid, seconds=30), "a worker was left"


def test_plan_says_how_many_pieces_a_batch_has():
    plan = replace(PLAN, batch_size=8, images_per_pass=2)
    drawn = []

    def record(indices, generator):
        drawn.append(indices)
        return {}

    for rank in (0, 1):
        pieces = _Pieces(record, plan, COUNT, rank=rank, processes=2)
        for number in (6, 7):
            pieces.load(number)
    assert sorted(np.concatenate(drawn)) == sorted(select_samples(3, 8, COUNT, plan.seed))
