"""How to train: the plan, and the learning rate and the samples of each step, which follow from it alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    batch_size : int
        Samples of an optimiser step, over all devices.
    images_per_pass : int
        Maximum number of samples that a process computes at once; gradients of several passes are summed. 0 for its
        whole share of the batch.
    optimiser : {"adamw", "sgd"}
    learning_rate, weight_decay, momentum : float
        ``learning_rate`` is the highest; ``momentum`` is used by SGD only. Biases and
        normalisation weights are not decayed.
    schedule : {"one_cycle", "poly", "step"}
        Cosine fall to zero, ``(1 - step / steps) ** 0.9``, or a tenth after each of ``drops``; all after
        a linear rise.
    warmup : float
        Share of the steps in which the learning rate rises.
    clip_norm : float
        Largest norm of the gradient of a step.
    precision : {"auto", "fp32", "bf16"}
        ``auto`` is bf16 where the processor computes in it.
    device : {"auto", "cpu", "cuda"}
    torch_threads : int
    seed : int
    checkpoint_every_s : float
        Seconds between checkpoints.
    drops : tuple of float
        Shares of the steps after which the schedule ``step`` divides the learning rate by ten.
    bias_rate : float
        Learning rate of biases over that of all other weights.
    norm_bias_rate : float
        The same of the biases of normalisation layers.
    nesterov : bool
        Whether the momentum of SGD is Nesterov's.
    backbone_rate : float
        Learning rate of pretrained parts over that of the rest.
    loader_workers : int or "auto"
        Processes that load batches, see :func:`models.loader.count_workers`; they change no bit of the result.
    cores : int, optional
        Cores of the job, for ``auto``.
    """

    steps: int
    batch_size: int
    images_per_pass: int
    optimiser: str
    learning_rate: float
    weight_decay: float
    momentum: float
    schedule: str
    warmup: float
    clip_norm: float
    precision: str
    device: str
    torch_threads: int
    seed: int
    checkpoint_every_s: float
    drops: tuple[float, ...] = ()
    bias_rate: float = 1.0
    norm_bias_rate: float = 1.0
    nesterov: bool = False
    backbone_rate: float = 1.0
    loader_workers: int | str = 0
    cores: int | None = None

    def count_passes_per_step(self, processes: int) -> int:
        """Passes of a process in an optimiser step: parts of its share of the batch, one after the other.

        Raises
        ------
        ValueError
            If they can't be of equal size.
        """
        share = self.batch_size // processes
        size = min(self.images_per_pass or share, share)
        if self.batch_size % processes or share % size:
            raise ValueError(
                f"batch_size {self.batch_size} can't be split into {processes} processes with images_per_pass "
                f"{self.images_per_pass}; choose a multiple of {processes * (self.images_per_pass or 1)}"
            )
        return share // size


def learning_rate_at(step: int, plan: TrainingPlan) -> float:
    """Learning rate of a step in 0..steps-1."""
    warmup_steps = plan.warmup * plan.steps
    if step < warmup_steps:
        return plan.learning_rate * (step + 1) / (warmup_steps + 1)
    if plan.schedule == "step":
        return plan.learning_rate * 0.1 ** sum(step >= drop * plan.steps for drop in plan.drops)
    # Share of the steps after the warm-up that are done.
    share = (step - warmup_steps) / (plan.steps - warmup_steps)
    factor = (1 - share) ** 0.9 if plan.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * share))
    return plan.learning_rate * factor


def select_samples(step: int, batch_size: int, sample_count: int, seed: int) -> NDArray[np.int64]:
    """Draw the samples ``(batch_size,)`` of a step; epochs are shuffled one by one and follow without a gap."""
    # Samples are counted through all epochs; the number in its epoch is a position in the epoch's permutation.
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // sample_count
    orders = {epoch: _shuffle(seed, epoch, sample_count) for epoch in np.unique(epochs).tolist()}
    return np.array([orders[e][p % sample_count] for e, p in zip(epochs.tolist(), positions, strict=True)])


def list_drawn(plan: TrainingPlan, sample_count: int) -> NDArray[np.int64]:
    """Numbers of the samples that a training draws at all, ascending: few of many, if it is short."""
    drawn = min(plan.steps * plan.batch_size, sample_count)
    return np.sort(_shuffle(plan.seed, 0, sample_count)[:drawn])


@lru_cache(2)
def _shuffle(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Order of the samples ``(count,)`` in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)
