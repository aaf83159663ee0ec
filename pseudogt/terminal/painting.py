"""Two ways to show a run: bars that are redrawn in a terminal, and plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from pseudogt.terminal.progress import RunProgress, StageProgress, format_clock, format_left

LISTED = 2
"""Jobs at work that are described beside a stage's bar; the others are counted."""


class Painter(Protocol):
    """A way to show a run; ``interval_s`` is the time between two calls of ``paint``."""

    interval_s: float

    def say(self, text: str) -> None:
        """Show a message that stays."""

    def note_start(self, stage: str) -> None:
        """Show that the first job of a stage has started."""

    def note_end(self, name: str, seconds: float, progress: RunProgress) -> None:
        """Show that a job has ended well."""

    def paint(self, progress: RunProgress, now: float, timed: bool) -> None:
        """Show the state of the run at the time ``now``, and the time left if ``timed``."""

    def close(self) -> None:
        """Stop redrawing."""


class BarPainter:
    """One bar per stage, and one for the run, at the bottom of a terminal."""

    interval_s = 0.5

    def __init__(self, name: str, stream: TextIO, no_colour: bool) -> None:
        self.name = name
        self.console = Console(file=stream, no_color=no_colour, highlight=False, markup=False)
        words = {"markup": False, "table_column": Column(no_wrap=True, overflow="ellipsis")}
        self.bars = Progress(
            TextColumn("{task.description}", **words),  # type: ignore[arg-type]
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}", justify="right", **words),  # type: ignore[arg-type]
            TextColumn("{task.fields[detail]}", **words),  # type: ignore[arg-type]
            console=self.console,
            auto_refresh=False,
        )
        self.rows: dict[str, TaskID] = {}
        self.bars.start()

    def say(self, text: str) -> None:
        """Print above the bars."""
        self.console.print(text, soft_wrap=True)

    def note_start(self, stage: str) -> None:
        """Bars show it."""

    def note_end(self, name: str, seconds: float, progress: RunProgress) -> None:
        """Bars show it."""

    def paint(self, progress: RunProgress, now: float, timed: bool) -> None:
        """Redraw the bars; as many as there is room for."""
        stages = progress.list_stages()
        shown = {stage.name for stage in choose_rows(stages, self.console.height - 2)}
        for stage in stages:
            self._draw(
                stage.name,
                stage.done + stage.running,
                stage.total,
                f"{stage.done}/{stage.total}",
                describe_stage(stage),
                visible=stage.name in shown,
            )
        done = sum(stage.done for stage in stages)
        left = format_left(progress.estimate_left(now)) if timed and done < progress.total else ""
        clock = ", ".join(filter(None, [format_clock(now - progress.started), left]))
        passed = progress.measure_done()
        self._draw(f"{self.name} (whole run)", passed, 1.0, f"{done}/{progress.total}", clock, visible=True)
        self.bars.refresh()

    def close(self) -> None:
        """Leave the bars as they are and continue below them."""
        self.bars.stop()

    def _draw(self, row: str, completed: float, total: float, count: str, detail: str, *, visible: bool) -> None:
        if row not in self.rows:
            self.rows[row] = self.bars.add_task(row, count="", detail="")
        self.bars.update(self.rows[row], completed=completed, total=total, count=count, detail=detail, visible=visible)


class LinePainter:
    """A line for every finished job, and a regular one for jobs that are still running."""

    interval_s = 60.0

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)

    def _say_now(self, text: str) -> None:
        self.say(f"[{time.strftime('%H:%M:%S')}] {text}")

    def note_start(self, stage: str) -> None:
        """Print a line when a stage begins."""
        self._say_now(f"{stage}: started")

    def note_end(self, name: str, seconds: float, progress: RunProgress) -> None:
        """Print a line with the number of jobs that are done."""
        done = sum(progress.done.values())
        clock = format_clock(seconds)
        self._say_now(f"{name}: done in {clock} ({done} of {progress.total} jobs)")

    def paint(self, progress: RunProgress, now: float, timed: bool) -> None:
        """Print a line for each stage at work."""
        left = format_left(progress.estimate_left(now)) if timed else ""
        for stage in progress.list_stages():
            if stage.details:
                words = f"{stage.name}: {describe_stage(stage)}"
                self._say_now(f"{words}{f' (run: {left})' if left else ''}")

    def close(self) -> None:
        """Nothing is redrawn."""


class NoPainter(LinePainter):
    """Messages only: for ``--quiet``, and for those who want to see Snakemake's own output."""

    def note_start(self, stage: str) -> None:
        """Show nothing."""

    def note_end(self, name: str, seconds: float, progress: RunProgress) -> None:
        """Show nothing."""

    def paint(self, progress: RunProgress, now: float, timed: bool) -> None:
        """Show nothing."""


def describe_stage(stage: StageProgress) -> str:
    """What the jobs of a stage are doing.

    Examples
    --------
    >>> describe_stage(StageProgress("cams", 9, details=["train-0000 2/4", "train-0001", "train-0002"]))
    'train-0000 2/4; train-0001; 1 more'
    """
    if stage.failed and not stage.details:
        return "failed"
    more = len(stage.details) - LISTED
    return "; ".join(stage.details[:LISTED] + ([f"{more} more"] if more > 0 else []))


def choose_rows(stages: Sequence[StageProgress], height: int) -> list[StageProgress]:
    """The stages to show where there is not room for all: finished ones go first, then the last of those to come."""
    rows = list(stages)
    for stage in stages:
        if len(rows) > height and stage.done == stage.total:
            rows.remove(stage)
    for stage in reversed(stages):
        if len(rows) > height and not stage.begun:
            rows.remove(stage)
    return rows
