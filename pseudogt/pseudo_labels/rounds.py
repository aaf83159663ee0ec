"""The rule that ends the rounds, and the hard links that stand in for rounds after the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudogt.config.rounds import RoundsSettings
from pseudogt.files.io import replace_atomically


def is_worth_another_round(fixed_losses: Sequence[float], settings: RoundsSettings) -> bool:
    """Whether a round after the given ones is expected to help.

    Parameters
    ----------
    fixed_losses : sequence of float
        Loss of each trained round on the fixed, un-augmented training subset, first round first.
    settings : RoundsSettings

    Returns
    -------
    bool
        False once the last ``patience`` rounds each failed to beat the best loss before them by
        ``min_improvement`` (relative), though never before ``min`` rounds, and after ``max``.

    Notes
    -----
    The paper repeats "until the training loss stops falling" (Li et al., ECCV 2018, section 4.3).
    """
    done = len(fixed_losses)
    if done >= settings.max:
        return False
    if done < settings.min or done <= settings.patience:
        return True
    return any(
        fixed_losses[i] < min(fixed_losses[:i]) * (1 - settings.min_improvement)
        for i in range(done - settings.patience, done)
    )


def count_steps(records: Sequence[Mapping[str, Any]], *, init: str) -> int:
    """Optimiser steps in the last model's weights: of all trained rounds, or of the last if each starts anew.

    ``records`` are the segmenter's; ``init`` is "previous" or "scratch".
    """
    trained = [int(record["steps"]) for record in records if not record["linked"]]
    return sum(trained) if init == "previous" else trained[-1]


def link_previous(previous: Path | str, path: Path | str) -> None:
    """Make ``path`` a hard-linked copy of the file or folder of the round before; atomic."""
    with replace_atomically(path) as temporary:
        if Path(previous).is_dir():
            shutil.copytree(previous, temporary, copy_function=os.link)
        else:
            os.link(previous, temporary)
