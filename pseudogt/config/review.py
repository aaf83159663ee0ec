"""Section ``review``: the queue of images that a person should check."""

from __future__ import annotations

from pydantic import Field

from pseudogt.config.base import Section


class ReviewSettings(Section):
    """Which labels the target `review` ranks, and how much of the queue it draws."""

    round: int | None = Field(None, ge=0, description="Round of the labels; null for the last.")
    images: int = Field(50, ge=1, le=1000, description="Number of images at the head of the queue that the page shows.")
