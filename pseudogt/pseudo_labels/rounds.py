"""The rule that ends the rounds, and the training length of the last model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StopRule:
    """When rounds end.

    Attributes
    ----------
    max, min : int
        Rounds at most and at least.
    min_improvement : float
        Share by which the loss must fall for a round to count as an improvement.
    patience : int
        Rounds in a row without an improvement after which no other follows.
    """

    max: int
    min: int
    min_improvement: float
    patience: int


def is_worth_another_round(fixed_losses: Sequence[float], rule: StopRule) -> bool:
    """Whether a round after the given ones is expected to help.

    Parameters
    ----------
    fixed_losses : sequence of float
        Loss of each trained round on the fixed, un-augmented training subset, first round first.
    rule : StopRule

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
    if done >= rule.max:
        return False
    if done < rule.min or done <= rule.patience:
        return True
    return any(
        fixed_losses[i] < min(fixed_losses[:i]) * (1 - rule.min_improvement) for i in range(done - rule.patience, done)
    )


def count_steps(records: Sequence[Mapping[str, Any]], *, init: str) -> int:
    """Optimiser steps in the last model's weights: of all trained rounds, or only the last if each starts afresh.

    ``records`` are the segmenter's; ``init`` is "previous" or "scratch".
    """
    trained = [int(record["steps"]) for record in records if not record["linked"]]
    return sum(trained) if init == "previous" else trained[-1]
