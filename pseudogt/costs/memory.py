"""Free memory of this machine or container, and the pixels for which it is enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from pseudogt.costs.networks import estimate_pass_mb
from pseudogt.prediction.card import ModelCard

MEMORY_SHARE = 0.5
"""Share of the free memory that a pass of the network may take: the maps of the whole image need room, too."""

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows the limits of containers and of jobs on a cluster."""


def count_pixels_in_memory(card: ModelCard, free_bytes: float) -> float:
    """Pixels of the resized images that can pass through a network at the same time."""
    shape = card.architecture
    width = shape.get("decoder_channels", shape.get("query_channels", 0))
    # A mask of a query takes as much as the map of a class.
    mb_per_megapixel = estimate_pass_mb(shape["backbone"], width, len(card.classes) + shape.get("queries", 0))
    return MEMORY_SHARE * free_bytes / mb_per_megapixel


def find_free_bytes(cgroups: Path = CGROUPS, own_group: Path = Path("/proc/self/cgroup")) -> float:
    """Free main memory, or what is left of the limit of a container or job if that is less."""
    return min([float(psutil.virtual_memory().available), *_find_rests(cgroups, own_group)])


def _find_rests(cgroups: Path, own_group: Path) -> Iterator[float]:
    """What is left of each limit on the control group of this process and on those around it (version 2)."""
    lines = own_group.read_text().splitlines() if own_group.is_file() else []
    for name in (line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")):
        for group in (Path(name), *Path(name).parents):
            folder = cgroups / group
            if (folder / "memory.max").is_file() and (limit := (folder / "memory.max").read_text().strip()) != "max":
                used = int((folder / "memory.current").read_text())
                # The system drops files that no process has open when memory is needed.
                facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield float(max(0, int(limit) - used + int(facts.get("inactive_file", 0))))
