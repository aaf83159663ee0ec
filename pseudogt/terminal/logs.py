"""Read the log file of a job: its last progress bar, its warnings, and the message that it ended with."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

TAIL_BYTES = 20_000
"""Bytes read from the end of a log: enough for a message and the last progress bar."""

BAR = re.compile(
    r"^(?:(?P<title>.*?):)?\s*\d+%\|[^|]*\|\s*(?P<done>\d+)/(?P<total>\d+) \[[\d:]+<(?P<left>[\d:]+|\?)",
)
"""A line of tqdm: ``classifier:  35%|███      | 7/20 [00:05<00:10, 1.26it/s]``."""

LINE_END = re.compile(r"[\r\n]+|(?<=\])(?=(?:error|warning): )")
"""Between lines. A stage that stops or warns inside of a loop leaves its bar as it is, and writes behind it."""

TORCHRUN = re.compile(r"[EW]\d{4} [\d:.]+ \d+ torch/distributed/")
"""Start of the first line that torchrun writes when a process has failed."""

PREPARATION = "prepare"
"""First word of the title of a progress bar that precedes the work itself."""


class ProgressBar(NamedTuple):
    """State of a progress bar.

    Attributes
    ----------
    title : str
    done, total : int
    left_s : float or None
        Seconds left; None if the bar doesn't know.
    """

    title: str
    done: int
    total: int
    left_s: float | None

    @property
    def fraction(self) -> float:
        """Fraction of the job that is done; 0 during preparations."""
        if self.title.startswith(PREPARATION) or not self.total:
            return 0.0
        return min(self.done / self.total, 1.0)


def read_tail(path: Path) -> str:
    """Last part of a text file; empty if it can't be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, 2) - TAIL_BYTES, 0))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def find_bar(text: str) -> ProgressBar | None:
    """Last state of the last progress bar in a log.

    Examples
    --------
    >>> find_bar("cams train-0000:  50%|#####     | 2/4 [00:03<00:04,  1.04image/s]")
    ProgressBar(title='cams train-0000', done=2, total=4, left_s=4.0)
    """
    for line in reversed(re.split(r"[\r\n]+", text)):
        if found := BAR.match(line.strip()):
            title, done, total, left = found.groups()
            return ProgressBar((title or "").strip(), int(done), int(total), _count_seconds(left))
    return None


def read_warnings(path: Path) -> list[str]:
    """Lines of a log that begin with ``warning:``, each once; none if it can't be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return list(dict.fromkeys(line.rstrip() for line in LINE_END.split(text) if line.startswith("warning: ")))


def find_message(text: str) -> str:
    r"""The message with which a job ended: from its last ``error:`` on, or its last line that is not a progress bar.

    Examples
    --------
    >>> find_message("index:  50%|#####     | 1/2 [00:01<00:01]\nerror: a.png: no such file\n")
    'error: a.png: no such file'
    >>> find_message('Traceback (most recent call last):\n  File "a.py", line 1\nMemoryError: 3 GB\n')
    'MemoryError: 3 GB'
    """
    lines = [line.rstrip() for line in LINE_END.split(text)]
    lines = [line for line in lines if line and not BAR.match(line.strip())]
    # Of several processes, torchrun reports how each has ended; that matters if none has said why.
    own = list(takewhile(lambda line: not TORCHRUN.match(line), lines))
    own = own or [line for line in lines if "exitcode:" in line][:1]
    starts = [index for index, line in enumerate(own) if line.startswith("error: ")]
    message = own[starts[-1] :] if starts else own[-1:]
    return "\n".join(line for line in message if not starts or not line.startswith("[rank"))


def _count_seconds(clock: str) -> float | None:
    """Seconds of a time such as ``1:02:03``."""
    if clock == "?":
        return None
    seconds = 0.0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return seconds
