"""What tests of marks share: making a point."""

from __future__ import annotations

import numpy as np

from pseudogt.weak_labels.marks import Mark


def make_point(train_id: int, owner: int, x: float, y: float, radius: float) -> Mark:
    """Make a mark of a disc."""
    return Mark(train_id, owner, radius, np.array([[x, y]], np.float64))
