"""Panoptic ground truth from weak labels: boxes for things, tags for stuff."""

__version__ = "0.1.0"
