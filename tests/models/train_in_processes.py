"""What ``torchrun`` runs in test_distributed.py: one training of a small network, its state saved by every process.

python train_in_processes.py OUT [--network NAME] [--workers N] [--stop-at STEP --number NAME --rank RANK]
"""

from __future__ import annotations

import argparse
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.backbones import Freeze, build_backbone
from models.training import TrainingPlan, train

PLAN = TrainingPlan(
    steps=20,
    batch_size=4,
    images_per_pass=0,
    optimiser="sgd",
    learning_rate=1e-2,
    weight_decay=0.01,
    momentum=0.9,
    schedule="one_cycle",
    warmup=0.1,
    clip_norm=1.0,
    precision="fp32",
    device="cpu",
    torch_threads=1,
    seed=0,
    checkpoint_every_s=0.0,
)


class FineTuned(nn.Module):
    """A backbone of two levels, of which the first is frozen, and a layer that classifies."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.backbone = build_backbone(name, levels=2)
        self.backbone.set_freeze(Freeze(frozen_stages=1, freeze_norms=True))
        self.classify = nn.Linear(self.backbone.channels[0] + self.backbone.channels[1], 3)

    def forward(self, images):
        return self.classify(torch.cat([feature.mean((2, 3)) for feature in self.backbone(images)], dim=1))


def build_network(name: str | None = None) -> nn.Module:
    torch.manual_seed(0)
    if name:
        return FineTuned(name)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3))


def load_batch(indices, generator):
    images = np.random.default_rng(0).normal(size=(10, 3, 8, 8)).astype(np.float32)[indices]
    return {"images": torch.from_numpy(images), "classes": torch.from_numpy(indices % 3)}


def train_small(
    plan: TrainingPlan, checkpoint: Path | None, disturb=lambda step: None, name: str | None = None
) -> tuple[nn.Module, dict]:
    network = build_network(name)
    return network, train_network(network, plan, checkpoint, disturb)


def train_network(network: nn.Module, plan: TrainingPlan, checkpoint: Path | None, disturb=lambda step: None) -> dict:
    steps = 0

    def compute_losses(module, batch):
        nonlocal steps
        steps += 1
        disturb(steps)
        return {"class": nn.functional.cross_entropy(module(batch["images"]), batch["classes"])}

    record = train(
        network,
        sample_count=10,
        load_batch=load_batch,
        compute_losses=compute_losses,
        plan=plan,
        checkpoint=checkpoint,
        count=lambda: {"computed": steps},
    )
    return record | {"computed": steps}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", help="backbone of a fine-tuned network; default: three layers")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--stop-at", type=int)
    parser.add_argument("--number", default="SIGTERM")
    parser.add_argument("--rank", type=int, default=0)
    arguments = parser.parse_args()
    rank = os.environ["RANK"]

    def disturb(step):
        if step == arguments.stop_at and int(rank) == arguments.rank:
            os.kill(os.getpid(), getattr(signal, arguments.number))

    plan = replace(PLAN, loader_workers=arguments.workers)
    network, record = train_small(plan, arguments.out / "checkpoint.pt", disturb, arguments.network)
    counts = {"computed": torch.tensor(record["computed"]), "by_all": torch.tensor(record["counts"]["computed"])}
    torch.save(network.state_dict() | counts, arguments.out / f"{rank}.pt")


if __name__ == "__main__":
    main()
