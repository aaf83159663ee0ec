import multiprocessing
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from train_in_processes import PLAN as SGD_PLAN

from models.training import learning_rate_at, list_drawn, select_samples, train
from models.training.optimiser import build_optimiser

PLAN = replace(SGD_PLAN, steps=12, images_per_pass=2, optimiser="adamw", checkpoint_every_s=1000)
IMAGES = np.random.default_rng(0).normal(size=(10, 3, 8, 8)).astype(np.float32)
CLASSES = np.arange(10) % 3


def build_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(288, 3)
    )


def load_batch(indices, generator):
    noise = generator.normal(size=(len(indices), 3, 8, 8)).astype(np.float32)
    return {"images": torch.from_numpy(IMAGES[indices] + 0.1 * noise), "classes": torch.from_numpy(CLASSES[indices])}


def compute_losses(network, batch):
    return {"class": nn.functional.cross_entropy(network(batch["images"]), batch["classes"])}


def run(network, *, losses=compute_losses, load=load_batch, **changes):
    checkpoint = changes.pop("checkpoint", None)
    samples, count = changes.pop("sample_count", 10), changes.pop("count", None)
    return train(
        network,
        sample_count=samples,
        load_batch=load,
        compute_losses=losses,
        plan=replace(PLAN, **changes),
        checkpoint=checkpoint,
        count=count,
    )


def stop_in_step(step):
    calls = 0

    def losses(network, batch):
        nonlocal calls
        calls += 1
        if calls == 2 * step:
            os.kill(os.getpid(), signal.SIGTERM)
        return compute_losses(network, batch)

    return losses


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, optimiser, precision):
    changes = {"optimiser": optimiser, "precision": precision}
    whole = build_network()
    expected = run(whole, **changes)

    checkpoint = tmp_path / "state.pt"
    for step in (3, 5):
        with pytest.raises(SystemExit) as stopped:
            run(build_network(), losses=stop_in_step(step), checkpoint=checkpoint, **changes)
        assert stopped.value.code == 143
    resumed = build_network()
    record = run(resumed, checkpoint=checkpoint, **changes)

    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert record["loss_curve"] == expected["loss_curve"]
    assert record["steps"] == 12


def test_a_damaged_checkpoint_is_left_out(tmp_path, capsys):
    """The machine may have lost power before it was on the disk."""
    (tmp_path / "state.pt").write_bytes(bytes(1000))
    assert run(build_network(), checkpoint=tmp_path / "state.pt")["loss_curve"] == run(build_network())["loss_curve"]
    assert f"warning: {tmp_path / 'state.pt'}: the checkpoint is damaged" in capsys.readouterr().err


def test_counts_are_those_of_all_attempts(tmp_path):
    """Each attempt counts from zero: passes, of which a step has two."""
    checkpoint = tmp_path / "state.pt"

    def attempt(losses):
        calls = []
        record = run(
            build_network(),
            losses=lambda network, batch: calls.append(1) or losses(network, batch),
            checkpoint=checkpoint,
            count=lambda: {"calls": len(calls)},
        )
        return len(calls), record["counts"]

    for step in (3, 5):
        with pytest.raises(SystemExit):
            attempt(stop_in_step(step))
    calls, counts = attempt(compute_losses)
    assert (calls, counts["calls"]) == (2 * 4, 2 * 12)
    assert [part["calls"] for part in counts["curve"]] == [2] * 12
    assert "counts" not in run(build_network())


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_workers_change_nothing_and_a_stopped_training_may_go_on_with_others(tmp_path):
    alone = build_network()
    expected = run(alone)
    checkpoint = tmp_path / "state.pt"
    with pytest.raises(SystemExit) as stopped:
        run(build_network(), losses=stop_in_step(5), checkpoint=checkpoint, loader_workers=3)
    assert stopped.value.code == 143
    for worker in multiprocessing.active_children():
        worker.join(60)  # on a busy machine some are still starting, and end once they have
    assert not multiprocessing.active_children()
    resumed = build_network()
    record = run(resumed, checkpoint=checkpoint, loader_workers=1)
    assert (expected["loader_workers"], record["loader_workers"]) == (0, 1)
    assert record["loss_curve"] == expected["loss_curve"]
    for name, value in alone.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def load_batch_slowly(indices, generator):
    time.sleep(0.2)
    return load_batch(indices, generator)


def test_time_that_is_spent_waiting_is_recorded():
    record = run(build_network(), load=load_batch_slowly, steps=2)
    assert record["waiting_seconds"] > 0.6 > record["seconds"]


def load_until_a_worker_is_killed(indices, generator):
    if torch.utils.data.get_worker_info() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return load_batch(indices, generator)


def test_killed_worker_names_the_settings_to_change():
    with pytest.raises(ValueError, match=r"loads batches was killed .*lower loader_workers, or give the job more"):
        run(build_network(), load=load_until_a_worker_is_killed, loader_workers=1)
    assert not multiprocessing.active_children()


def test_sigterm_handler_is_put_back():
    before = signal.getsignal(signal.SIGTERM)
    run(build_network(), steps=1)
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_loss_falls():
    record = run(build_network(), steps=60)
    assert record["loss_curve"][-1]["loss"] < 0.5 * record["loss_curve"][0]["loss"]
    assert record["images_per_second"] > 0


def test_passes_give_the_same_step():
    """Without normalisation and dropout, parts of a batch add up to the batch."""
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(192, 3)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    for network, size in zip(networks, (0, 2), strict=True):
        train(
            network,
            sample_count=10,
            load_batch=lambda indices, _: (
                load_batch(indices, np.random.default_rng(0)) | {"images": torch.from_numpy(IMAGES[indices])}
            ),
            compute_losses=compute_losses,
            plan=replace(PLAN, images_per_pass=size, steps=3, optimiser="sgd"),
        )
    torch.testing.assert_close(networks[0][1].weight, networks[1][1].weight)


def test_loss_that_is_not_finite_names_step_and_setting():
    def losses(network, batch):
        return {"class": network(batch["images"]).sum() * torch.nan}

    with pytest.raises(ValueError, match=r"not finite at step 0 \(class nan\); lower learning_rate"):
        run(build_network(), losses=losses)


class CountReads(TorchDispatchMode):
    """Counts single values that are read from tensors, each of which waits for a GPU."""

    def __init__(self):
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.reads += function is torch.ops.aten._local_scalar_dense.default
        return function(*arguments, **(keywords or {}))


def test_step_reads_no_value_that_a_gpu_would_have_to_wait_for():
    with CountReads() as counter:
        run(build_network())
    assert counter.reads == 0


@pytest.mark.parametrize(
    ("images_per_pass", "remedy"),
    [(2, "4 in 2 passes of each process: set images_per_pass below 2, or lower the scale"), (1, "process: lower the")],
)
def test_out_of_memory_names_the_settings_to_change(images_per_pass, remedy):
    def losses(network, batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ValueError, match=remedy):
        run(build_network(), losses=losses, images_per_pass=images_per_pass)


def fail_to_load(indices, generator):
    raise ValueError("image 'a' can't be read")


@pytest.mark.parametrize("workers", [0, 2])
def test_error_in_loading_a_batch_is_that_of_the_batch(workers):
    with pytest.raises(ValueError, match=r"^image 'a' can't be read$"):
        run(build_network(), load=fail_to_load, loader_workers=workers)


def test_batch_that_cannot_be_split():
    with pytest.raises(
        ValueError, match="batch_size 4 can't be split into 1 processes with images_per_pass 3; choose a multiple of 3"
    ):
        run(build_network(), images_per_pass=3)


@pytest.mark.parametrize(
    ("size", "processes", "passes"), [(0, 1, 1), (0, 4, 1), (1, 1, 8), (1, 4, 2), (4, 1, 2), (4, 4, 1), (16, 2, 1)]
)
def test_passes_follow_from_batch_and_processes(size, processes, passes):
    assert replace(PLAN, batch_size=8, images_per_pass=size).count_passes_per_step(processes) == passes


def test_momentum_is_plain_or_nesterovs():
    """Two steps by hand with a gradient of 1: shifts of 1 and 1.9, or of 1.9 and 2.71, of the learning rate."""
    for nesterov, shift in ((False, 2.9), (True, 4.61)):
        network = nn.Linear(1, 1, bias=False)
        optimiser = build_optimiser(network, replace(PLAN, optimiser="sgd", weight_decay=0.0, nesterov=nesterov))
        start = network.weight.item()
        for _ in range(2):
            network.weight.grad = torch.ones(1, 1)
            optimiser.step()
        assert start - network.weight.item() == pytest.approx(shift * PLAN.learning_rate, rel=1e-4)


def test_biases_of_normalisation_have_a_rate_of_their_own():
    network = build_network()
    groups = build_optimiser(network, replace(PLAN, bias_rate=2.0, norm_bias_rate=3.0)).param_groups
    rates = {id(parameter): group["rate"] for group in groups for parameter in group["params"]}
    names = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
    assert names == {"0.weight": 1, "0.bias": 2, "1.weight": 1, "1.bias": 3, "5.weight": 1, "5.bias": 2}


def test_no_sample():
    with pytest.raises(ValueError, match="no image to train on"):
        run(build_network(), sample_count=0)


def test_one_sample_fills_every_batch():
    assert run(build_network(), sample_count=1, steps=2)["steps"] == 2


def test_every_epoch_draws_each_sample_once():
    drawn = np.concatenate([select_samples(step, 4, 10, seed=5) for step in range(5)])
    assert sorted(drawn[:10]) == list(range(10))
    assert sorted(drawn[10:]) == list(range(10))
    assert list(drawn[:10]) != list(drawn[10:])


@pytest.mark.parametrize("count", [5, 48, 100])
def test_samples_that_are_drawn_are_known_before(count):
    drawn = [select_samples(step, PLAN.batch_size, count, PLAN.seed) for step in range(PLAN.steps)]
    assert list_drawn(PLAN, count).tolist() == np.unique(drawn).tolist()


@pytest.mark.parametrize("schedule", ["one_cycle", "poly"])
def test_schedule_rises_then_falls_to_almost_nothing(schedule):
    plan = replace(PLAN, schedule=schedule, steps=100)
    rates = np.array([learning_rate_at(step, plan) for step in range(100)])
    assert rates.argmax() == 10
    assert rates.max() == plan.learning_rate
    assert (np.diff(rates[10:]) < 0).all()
    assert 0 < rates[-1] < 0.03 * plan.learning_rate


def test_steps_of_the_schedule_divide_the_rate_by_ten():
    plan = replace(PLAN, schedule="step", steps=100, warmup=0.05, drops=(0.7, 0.9, 1.0), learning_rate=0.5)
    rates = [learning_rate_at(step, plan) for step in (0, 5, 69, 70, 89, 90, 99)]
    np.testing.assert_allclose(rates, [0.5 / 6, 0.5, 0.5, 0.05, 0.05, 0.005, 0.005])


def test_biases_learn_at_their_own_rate():
    """One step of plain SGD: the bias moves `bias_rate` times as far, the weight as before."""
    moves = []
    for bias_rate in (1.0, 2.0):
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
        nn.init.zeros_(network[1].weight)
        nn.init.zeros_(network[1].bias)
        plan = replace(PLAN, steps=1, optimiser="sgd", momentum=0, weight_decay=0, clip_norm=1e9, bias_rate=bias_rate)
        train(network, sample_count=10, load_batch=load_batch, compute_losses=compute_losses, plan=plan)
        moves.append((network[1].weight.detach(), network[1].bias.detach()))
    torch.testing.assert_close(moves[1][0], moves[0][0])
    torch.testing.assert_close(moves[1][1], 2 * moves[0][1])
    assert moves[0][1].abs().max() > 0
