"""Options and training plan that the networks shipped with the package share."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.training import TrainingPlan


def add_training_options(parser: argparse.ArgumentParser, *, steps: int, batch_size: int, scratch: str) -> None:
    """Add the options of a training; ``scratch`` is the name of its folder of checkpoints."""
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch-size", type=int, default=batch_size)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, default=Path("results/scratch") / scratch)


def plan_training(*, steps: int, batch_size: int, learning_rate: float, threads: int, seed: int) -> TrainingPlan:
    """Plan a training from the options of :func:`add_training_options`."""
    return TrainingPlan(
        steps=steps,
        batch_size=batch_size,
        images_per_pass=0,
        optimiser="adamw",
        learning_rate=learning_rate,
        weight_decay=0.05,
        momentum=0.9,
        schedule="one_cycle",
        warmup=0.05,
        clip_norm=1.0,
        precision="auto",
        device="auto",
        torch_threads=threads,
        seed=seed,
        checkpoint_every_s=120,
    )
