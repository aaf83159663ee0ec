"""The training of every network: its plan, its optimiser, its loop, and the devices it runs on."""

from models.loader import Batch
from models.training.devices import (
    autocast,
    choose_device,
    choose_precision,
    explain_lack_of_memory,
    is_main_process,
)
from models.training.loop import train, write_training
from models.training.plan import TrainingPlan, learning_rate_at, list_drawn, select_samples

__all__ = [
    "Batch",
    "TrainingPlan",
    "autocast",
    "choose_device",
    "choose_precision",
    "explain_lack_of_memory",
    "is_main_process",
    "learning_rate_at",
    "list_drawn",
    "select_samples",
    "train",
    "write_training",
]
