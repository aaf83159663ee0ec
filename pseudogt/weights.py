"""Files of trained weights that come with the package, and which of them the settings need.

A digest of the code does not see these files; a rule that uses one carries a digest of its bytes.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pseudogt.config.proposals import ProposalsSettings

CONTOURS = Path(str(files("models") / "contours.pt"))
"""Made by :mod:`models.train_contours`."""

RANKER = Path(str(files("models") / "ranker.npz"))
"""Made by :mod:`models.train_ranker`."""


BOX_MASKS = Path(str(files("models") / "box_masks.pt"))
"""Made by :mod:`models.train_box_masks`."""


def list_weights(settings: ProposalsSettings) -> list[Path]:
    """Weight files that proposals with these settings need; none if nothing in them is learnt here."""
    if settings.source != "engine":
        return []
    needed = [(CONTOURS, settings.contours == "learned"), (RANKER, settings.ranking == "learned")]
    return [path for path, is_needed in needed if is_needed]
