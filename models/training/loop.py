"""The training loop of every network: passes, losses, checkpoints, several processes.

Sample order, augmentation and dropout are functions of (seed, step), and the learning rate is a function of the step,
so a resumed run equals an uninterrupted one bit for bit on the same CPU; on a GPU, some sums are in no fixed order. A
batch is divided into passes x processes pieces, each with its own random numbers, so several processes train like a
single one that processes the pieces in turn.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

import pseudogt
from models.backbones.layers import synchronise_norms
from models.checkpoints import load_checkpoint, save_checkpoint
from models.loader import STOP_SIGNALS, Batch, count_workers, explain_lost_workers, load_batches, load_in_order
from models.trained_model import TrainedModel
from models.training.devices import autocast, choose_precision, join_processes
from models.training.optimiser import build_optimiser
from models.training.plan import TrainingPlan, learning_rate_at, select_samples
from models.training_set import Preparation, TrainingSet
from pseudogt.files.io import write_json

LoadBatch = Callable[[NDArray[np.int64], np.random.Generator], Batch]

CHECKPOINT_KIND = "training checkpoint"
KEPT_NUMBERS = ("step", "seconds", "waiting_seconds", "curve", "sums", "summed", "counted")
"""Attributes of a run that a checkpoint keeps beside the states of network and optimiser."""

COUNT_PARTS = 20
"""Parts of a training whose counts are recorded one by one."""

CURVE_POINTS = 100
"""Points of the recorded loss curve; each is the mean over the steps since the point before."""


def train(
    network: nn.Module,
    *,
    sample_count: int,
    load_batch: LoadBatch,
    compute_losses: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
    plan: TrainingPlan,
    preparation: Preparation[Any] | None = None,
    checkpoint: Path | None = None,
    description: str = "train",
    count: Callable[[], Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """Train a network in place; under torchrun, on all its processes.

    Parameters
    ----------
    network : nn.Module
        Ends on the device that was used, in training mode.
    sample_count : int
        Samples to draw from, without replacement within an epoch.
    load_batch
        ``(indices (B,), generator) -> tensors on the CPU``. Runs in a background thread or in worker processes, for
        which it is pickled; must draw all random numbers from the generator and should not compute with torch.
    compute_losses
        ``(network, batch on the device) -> losses by name``, scalars that are summed.
    plan : TrainingPlan
    preparation : Preparation, optional
        Makes the files that ``load_batch`` reads, if they are missing, before the first step.
    checkpoint : Path, optional
        Where to keep the state of an unfinished training. If the file exists, training resumes
        from it, so the path must be keyed by everything that determines the training. The caller
        removes it once the result is written.
    description : str
        Title of the progress bar.
    count : callable, optional
        Numbers by name that ``compute_losses`` has added up in this process so far.

    Returns
    -------
    dict
        ``steps``, ``seconds`` of computing (all attempts together) and ``waiting_seconds`` for batches,
        ``images_per_second``, ``loss_curve`` (a list of ``{"step", "learning_rate", "loss", <name>: ...}``),
        ``precision``, ``device``, ``processes``, ``loader_workers``; with ``count`` also ``counts``: the sums over
        all processes and attempts, and, as ``curve``, those of up to ``COUNT_PARTS`` parts of the training.

    Raises
    ------
    ValueError
        For no samples, a batch that can't be split, a loss that is not finite, too little memory, or a worker
        that was killed; the message names the setting to change.
    SystemExit
        With code 143 after SIGTERM or SIGUSR1, once the checkpoint is written. Schedulers send
        them before a time limit; under torchrun, any of the processes may get one.
    """
    if sample_count < 1:
        raise ValueError("there is no image to train on")
    torch.set_num_threads(plan.torch_threads)
    with join_processes(plan.device) as (rank, processes, device):
        passes = plan.count_passes_per_step(processes)
        workers = count_workers(plan.loader_workers, device, plan.cores)
        with _catch_stop_signals() as stopped, explain_lost_workers():
            if preparation is not None:
                _prepare_samples(preparation, rank, processes, workers, stopped)
            run = _Run(network, plan, rank, processes, device, compute_losses, count)
            run.resume(checkpoint)
            pieces = _Pieces(load_batch, plan, sample_count, rank, processes)
            numbers = range(run.step * passes, plan.steps * passes)
            batches = load_batches(pieces.load, numbers, workers=workers, held=passes, pin_memory=device.type == "cuda")
            with closing(batches):
                run.advance_to_end(batches, stopped, checkpoint, description)
        return run.describe() | {"loader_workers": workers}


def write_training(
    out: Path, model: TrainedModel, record: Mapping[str, Any], checkpoint: Path, samples: TrainingSet[Any]
) -> None:
    """Write the result of a training, then remove its checkpoint and the files of its samples.

    Parameters
    ----------
    out : Path
        Folder of ``model.pt`` and ``record.json``.
    model : TrainedModel
    record : mapping
        That of :func:`train` and what else is known of the training; settings and versions are added.
    checkpoint : Path
    samples : TrainingSet
    """
    model.save(out / "model.pt")
    versions = {"pseudogt": pseudogt.__version__, "torch": torch.__version__, "torchvision": version("torchvision")}
    write_json(out / "record.json", {**record, "settings": model.settings, "versions": versions})
    checkpoint.unlink(missing_ok=True)
    samples.remove()


class _Run:
    """The state of one training in one process."""

    def __init__(
        self,
        network: nn.Module,
        plan: TrainingPlan,
        rank: int,
        processes: int,
        device: torch.device,
        compute_losses: Callable[[nn.Module, Batch], Mapping[str, Tensor]],
        count: Callable[[], Mapping[str, float]] | None,
    ) -> None:
        self.plan, self.rank, self.processes, self.device = plan, rank, processes, device
        self.compute_losses, self.count = compute_losses, count
        self.passes = plan.count_passes_per_step(processes)
        self.dtype = choose_precision(plan.precision, device)
        self.network = network.train().to(device).to(memory_format=torch.channels_last)
        self.parallel: nn.Module = self.network
        if processes > 1:
            if device.type == "cuda":
                # Layers that are replaced take over whether they train, and frozen ones do not.
                self.network = synchronise_norms(self.network)
            self.parallel = DistributedDataParallel(self.network)
        self.optimiser = build_optimiser(self.network, plan)
        self.step = 0
        self.seconds = 0.0
        self.waiting_seconds = 0.0
        self.curve: list[dict[str, float]] = []
        self.sums: dict[str, float] = {}
        self.summed = 0
        # Counts of each part of the training, by all processes; and of this process when they were last added.
        self.counted: list[dict[str, float]] = []
        self.added: Mapping[str, float] = {}

    def advance_to_end(
        self, batches: Iterator[Batch], stopped: threading.Event, checkpoint: Path | None, description: str
    ) -> None:
        """All steps that are left, with a checkpoint now and then; none of them is begun once it is to stop."""
        steps = self.plan.steps
        progress = tqdm(total=steps, initial=self.step, desc=description, disable=self.rank > 0, mininterval=5)
        saved = time.monotonic()
        with progress:
            while self.step < steps:
                start = time.monotonic()
                parts = [next(batches) for _ in range(self.passes)]
                self.waiting_seconds += time.monotonic() - start
                self.advance(parts)
                progress.update()
                stop, due = self.agree(stopped.is_set(), time.monotonic() - saved > self.plan.checkpoint_every_s)
                if checkpoint and (stop or due):
                    self.save(checkpoint)
                    saved = time.monotonic()
                if stop:
                    self.agree(stop)  # torchrun kills the others soon after the first has ended: let it be saved before
                    raise SystemExit(128 + signal.SIGTERM)

    def advance(self, batches: list[Batch]) -> None:
        """One optimiser step on the parts of a batch."""
        start = time.monotonic()
        rate = learning_rate_at(self.step, self.plan)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["rate"]
        found = []
        try:
            for part, batch in enumerate(batches):
                # Dropout depends on seed, step and piece alone, however many processes share the pieces.
                piece = [self.plan.seed, self.step, part * self.processes + self.rank]
                torch.manual_seed(int(np.random.SeedSequence(piece).generate_state(1)[0]))
                found.append(self._accumulate(batch, last=part == len(batches) - 1))
            nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip_norm)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            # Last, for to read a value is to wait for the GPU, which would then pause between the passes.
            for losses in found:
                self._add_up(losses)
        except (torch.OutOfMemoryError, MemoryError) as error:
            images = self.plan.batch_size // self.processes // self.passes
            fewer = f"set images_per_pass below {images}, or " if images > 1 else ""
            raise ValueError(
                f"out of memory at batch_size {self.plan.batch_size} in {self.passes} passes of each process: {fewer}"
                "lower the scale or the size of the crops (mining: short_sides_px and max_proposals)"
            ) from error
        self.step += 1
        self.seconds += time.monotonic() - start
        self._record(rate)

    def _accumulate(self, batch: Batch, *, last: bool) -> dict[str, Tensor]:
        """Add the gradients of a part of the batch; return its losses, and their sum as ``loss``."""
        on_device = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
        # Processes average their gradients once, after the last part of the batch.
        waiting = self.processes > 1 and not last
        with self.parallel.no_sync() if waiting else nullcontext():  # type: ignore[operator]
            with autocast(self.dtype, self.device):
                losses = self.compute_losses(self.parallel, on_device)
            total = torch.stack([value.float() for value in losses.values()]).sum()
            (total / self.passes).backward()
        return {name: value.detach() for name, value in [("loss", total), *losses.items()]}

    def _add_up(self, losses: Mapping[str, Tensor]) -> None:
        values = dict(zip(losses, torch.stack([value.float() for value in losses.values()]).tolist(), strict=True))
        if not math.isfinite(values["loss"]):
            parts = ", ".join(f"{name} {value:.4g}" for name, value in values.items() if name != "loss")
            raise ValueError(f"the loss is not finite at step {self.step} ({parts}); lower learning_rate")
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value / self.passes

    def _record(self, rate: float) -> None:
        self.summed += 1
        if self.step == self.plan.steps or self.step * CURVE_POINTS // self.plan.steps > len(self.curve):
            means = {name: value / self.summed for name, value in self.sums.items()}
            self.curve.append({"step": self.step, "learning_rate": rate, **means})
            self.sums, self.summed = {}, 0
        if self.step * COUNT_PARTS // self.plan.steps > self._find_part():
            self._add_counts()

    def _find_part(self) -> int:
        """Part of the training that the last step was in."""
        return (self.step - 1) * COUNT_PARTS // self.plan.steps

    def _add_counts(self) -> None:
        """Add what all processes have counted since the last call to the part of the last step."""
        if self.count is None:
            return
        counts = dict(self.count())
        differences = [counts[name] - self.added.get(name, 0) for name in counts]
        new = torch.tensor(differences, dtype=torch.float64, device=self.device)
        if self.processes > 1:
            torch.distributed.all_reduce(new)
        self.added = counts
        self.counted += [{} for _ in range(self._find_part() + 1 - len(self.counted))]
        part = self.counted[-1]
        part.update({name: part.get(name, 0) + value for name, value in zip(counts, new.tolist(), strict=True)})

    def agree(self, *flags: bool) -> list[bool]:
        """Each flag, true if any process has set it."""
        if self.processes == 1:
            return list(flags)
        wanted = torch.tensor(flags, dtype=torch.float32, device=self.device)
        torch.distributed.all_reduce(wanted, torch.distributed.ReduceOp.MAX)
        return [bool(flag) for flag in wanted.tolist()]

    def save(self, path: Path) -> None:
        """Write the whole state; the first process alone does, all have to call it."""
        self._add_counts()
        if self.rank > 0:
            return
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        numbers = {name: getattr(self, name) for name in KEPT_NUMBERS}
        save_checkpoint(path, {"kind": CHECKPOINT_KIND, **state, **numbers})

    def resume(self, path: Path | None) -> None:
        """Go back to a saved state, if there is one that a crash of the machine has not damaged."""
        if path is None or not path.is_file():
            return
        try:
            state = load_checkpoint(path, kind=CHECKPOINT_KIND)
        except ValueError:
            print(
                f"warning: {path}: the checkpoint is damaged, so the training starts from the beginning",
                file=sys.stderr,
            )
            return
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        for name in KEPT_NUMBERS:
            setattr(self, name, state[name])

    def describe(self) -> dict[str, Any]:
        """Return the record of :func:`train`."""
        parts = [{name: round(value, 3) for name, value in part.items()} for part in self.counted if part]
        totals = {name: round(sum(part[name] for part in parts), 3) for name in (parts[0] if parts else ())}
        return {
            "steps": self.step,
            "seconds": round(self.seconds, 3),
            "waiting_seconds": round(self.waiting_seconds, 3),
            "images_per_second": round(self.step * self.plan.batch_size / max(self.seconds, 1e-9), 3),
            "loss_curve": self.curve,
            "precision": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "processes": self.processes,
        } | ({"counts": {**totals, "curve": parts}} if self.count is not None else {})


@dataclass(frozen=True)
class _Pieces:
    """The pieces of all batches that one process trains on, counted from that of the first step on.

    The indices and the random numbers of a piece depend on seed, step and piece alone, whether one process takes the
    pieces of a batch in turn or several at once, and whichever worker loads them.
    """

    load_batch: LoadBatch
    plan: TrainingPlan
    sample_count: int
    rank: int
    processes: int

    def load(self, number: int) -> Batch:
        """Load a piece."""
        passes = self.plan.count_passes_per_step(self.processes)
        step, part = divmod(number, passes)
        piece = part * self.processes + self.rank
        indices = select_samples(step, self.plan.batch_size, self.sample_count, self.plan.seed)
        mine = indices.reshape(passes * self.processes, -1)[piece]
        return self.load_batch(mine, np.random.default_rng([self.plan.seed, step, piece, 0]))


def _prepare_samples(
    preparation: Preparation[Any], rank: int, processes: int, workers: int, stopped: threading.Event
) -> None:
    """Make the sample files that are missing; each process of the node makes its share and waits for the others."""
    missing = preparation.target.list_missing()
    if processes > 1:
        torch.distributed.barrier()  # all have looked before the first writes
    mine = missing[rank::processes]
    count = sum(len(preparation.target.list_numbers(file)) for file in mine)
    with (
        closing(load_in_order(preparation.write_file, mine, workers=workers)) as written,
        tqdm(total=count, desc="prepare images", disable=rank > 0 or not mine) as progress,
    ):
        for done in written:
            progress.update(done)
            if stopped.is_set():
                raise SystemExit(128 + signal.SIGTERM)
    if processes > 1:
        torch.distributed.barrier()


@contextmanager
def _catch_stop_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGUSR1 set, so that the step in progress can end and be saved."""
    stopped = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stopped.set()) for number in STOP_SIGNALS}
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
