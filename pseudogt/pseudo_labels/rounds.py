"""The rule that ends the rounds, and the hard links that stand in for rounds after the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

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


def link_previous(previous: Path | str, path: Path | str) -> None:
    """Make ``path`` a hard-linked copy of the file or folder of the round before; atomic."""
    with replace_atomically(path) as temporary:
        if Path(previous).is_dir():
            shutil.copytree(previous, temporary, copy_function=os.link)
        else:
            os.link(previous, temporary)
