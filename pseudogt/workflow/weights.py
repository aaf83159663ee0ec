"""Weight files that come with the package, and which of them the settings need.

The digest of the code does not cover these files, so a rule that uses one carries a digest of its bytes.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.config.proposals import ProposalsSettings

CONTOURS = Path(str(files("models") / "pretrained" / "contours.pt"))
"""Made by :mod:`models.pretraining.contours`."""

RANKER = Path(str(files("models") / "pretrained" / "ranker.npz"))
"""Made by :mod:`models.pretraining.ranker`."""

BOX_MASKS = Path(str(files("models") / "pretrained" / "box_masks.pt"))
"""Made by :mod:`models.pretraining.box_masks`."""


def list_weights(settings: ProposalsSettings | BoxMasksSettings) -> list[Path]:
    """Weight files that a stage with these settings reads; none if nothing in them is learned."""
    if isinstance(settings, ProposalsSettings):
        needed = [(CONTOURS, settings.contours == "learned"), (RANKER, settings.ranking == "learned")]
    else:
        by_contours = "grabcut" in settings.segmenters and settings.smoothness == "learned"
        needed = [(CONTOURS, by_contours), (BOX_MASKS, "network" in settings.segmenters)]
    return [path for path, is_needed in needed if is_needed]
