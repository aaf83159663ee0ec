"""Show a Snakemake run by stages, and end with the scores or with the message of the failed job."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from pseudogt.terminal.logs import read_warnings
from pseudogt.terminal.painting import BarPainter, LinePainter, NoPainter, Painter
from pseudogt.terminal.progress import Failure, Job, RulePlan, RunProgress, format_clock
from pseudogt.terminal.results import describe_results

STREAM_HANDLER = "DefaultStreamHandler"
"""Name of the handler with which Snakemake writes to the terminal; there is none beside a logger plugin."""

HEADER_EVENTS = ("workflow_started", "run_info", "resources_info")
HEADER_MESSAGES = ("Using shell", "Conda environments: ignored", "Rules claiming more threads")
"""Events and messages before the first job that tell of Snakemake and not of the run."""

GENERAL_FAILURE = "At least one job did not complete successfully"
TOLD = ("RuleException:\nCalledProcessError", "Exiting because a job execution failed")
"""First words of what Snakemake says beside the failure of a job, which the display tells itself."""

RAISED_BY_WORKFLOW = re.compile(
    r'WorkflowError in file "[^\n]*", line \d+:\n(.*?)(?:\n  File "[^\n]*)*\s*\Z', re.DOTALL
)
"""Snakemake's report of an error raised in a rule file: place, message, traceback."""

INTERRUPTED = "KeyboardInterrupt"
"""Message of a job that Ctrl-C has ended."""

CLUSTER_INTERVAL_S = 5.0
"""Minimum time between two reads of job logs on a cluster, which are on a network file system."""

NAMED_FAILURES = 5
"""Failed jobs that are named at the end of a run; the others are counted."""


class Rule(Protocol):
    """The attributes used of a Snakemake rule."""

    name: str
    message: str | None


class OutputSettings(Protocol):
    """The attributes used of Snakemake's output settings."""

    dryrun: bool
    nocolor: bool
    printshellcmds: bool
    verbose: bool
    debug_dag: bool
    quiet: Collection[Any] | None


def plan_rules(rules: Iterable[Rule], jobs: Mapping[str, int], seconds: Mapping[str, float]) -> dict[str, RulePlan]:
    """The jobs planned for each rule; rules without a message only collect outputs and are left out.

    Parameters
    ----------
    rules : iterable of Rule
        In the order in which their stages are shown.
    jobs : mapping
        Rule -> number of jobs.
    seconds : mapping
        Rule -> expected seconds by which a job lengthens the run.
    """
    return {
        rule.name: RulePlan(rule.message.partition(":")[0], jobs[rule.name], seconds.get(rule.name, 1.0))
        for rule in rules
        if jobs.get(rule.name) and rule.message
    }


class RunDisplay(logging.Handler):
    """Takes the place of the handler with which Snakemake writes to the terminal while jobs run.

    Any error in it switches it off and restores Snakemake's own output; the run is not affected.

    Parameters
    ----------
    logger : Logger
        That of Snakemake.
    settings : OutputSettings
    """

    def __init__(self, logger: logging.Logger, settings: OutputSettings) -> None:
        super().__init__()
        self.logger = logger
        self.settings = settings
        self.snakemake = next((h for h in logger.handlers if h.name == STREAM_HANDLER), None)
        self.plain = wants_snakemakes_output(settings)
        self.painter: Painter | None = None
        self.progress = RunProgress({}, time.time())
        self.timed = True
        self.ended = threading.Event()
        self.told: set[str] = set()
        self.guard = threading.RLock()
        if self.snakemake and not settings.verbose:
            self.snakemake.setFormatter(MessageFormatter(self.snakemake.formatter))
        if self.snakemake and not self.plain and not settings.dryrun:
            self.snakemake.addFilter(_pass_header)

    def begin(
        self, name: str, rules: Iterable[Rule], jobs: Mapping[str, int], seconds: Mapping[str, float], *, timed: bool
    ) -> None:
        """Show the run from now on.

        Parameters
        ----------
        name : str
            Name of the run.
        rules, jobs, seconds
            As for :func:`plan_rules`.
        timed : bool
            Whether to estimate the time left; not where jobs wait in a queue.
        """
        if self.snakemake is None or self.settings.dryrun:
            return
        try:
            self.progress, self.timed = RunProgress(plan_rules(rules, jobs, seconds), time.time()), timed
            stream: TextIO = self.snakemake.stream  # type: ignore[attr-defined]
            self.painter = choose_painter(name, stream, self.plain, self.settings.nocolor)
            self.logger.removeHandler(self.snakemake)
            self.logger.addHandler(self)
            threading.Thread(target=self._repaint, name="display", daemon=True).start()
        except Exception as error:
            self._switch_off(error)

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of an event, or pass a message on."""
        with self.guard:
            if self.painter is None:
                return
            try:
                self._note(record)
                if self._is_shown(record):
                    self._pass_on(record)
            except Exception as error:
                self._switch_off(error)
                if self.snakemake in self.logger.handlers:
                    self.snakemake.handle(record)

    def end(self, results: Path | None) -> None:
        """Show how the run has ended: with what is in its folder of results, or with its failures if that is None."""
        with self.guard:
            if self.painter is None or self.ended.is_set():
                return
            self.ended.set()
            try:
                self.progress.read_bars()
                self.painter.paint(self.progress, time.time(), self.timed)
                self.painter.close()
                lines = self._describe_end(results)
                if lines:
                    self.painter.say("\n".join(lines))
            except Exception as error:
                self._switch_off(error)

    def _describe_end(self, results: Path | None) -> list[str]:
        if results is None:
            return describe_failures(list(self.progress.failures.values()))
        if self.plain:
            return []
        clock = format_clock(time.time() - self.progress.started)
        return [
            "",
            f"{count_jobs(sum(self.progress.done.values()))} done in {clock}.",
            *describe_results(results, self.progress.done),
        ]

    def _note(self, record: logging.LogRecord) -> None:
        """Record what an event reports about a job."""
        assert self.painter is not None
        event, values = getattr(record, "event", None), record.__dict__
        if event == "job_info" and values.get("rule_msg"):
            log = Path(values["log"][0]) if values.get("log") else None
            started = Job(values["rule_name"], describe_wildcards(values["wildcards"]), log, record.created)
            if self.progress.start(values["jobid"], started):
                self.painter.note_start(self.progress.rules[started.rule].stage)
        elif event == "job_finished":
            if job := self.progress.finish(values["job_id"]):
                self.painter.note_end(self.progress.name(job), record.created - job.started, self.progress)
                self._tell_warnings(job)
        elif event == "job_error":
            explanation = values.get("rule_msg") or "the job ended without a message; it may have been killed"
            failure = self.progress.fail(values["jobid"], explanation)
            if failure and not self.plain:
                self.painter.say(f"{failure.name} failed: {failure.message}")

    def _tell_warnings(self, job: Job) -> None:
        """Show what a job has warned of; what several jobs say is shown once."""
        new = [line for line in (read_warnings(job.log) if job.log else []) if line not in self.told]
        self.told.update(new)
        if new and not self.plain:
            assert self.painter is not None
            self.painter.say("\n".join(f"{self.progress.name(job)}: {line}" for line in new))

    def _is_shown(self, record: logging.LogRecord) -> bool:
        """Whether a message is for the user: what a job's failure makes Snakemake say is in its log file."""
        text = record.getMessage()
        if self.ended.is_set() and self.progress.failures:
            # The message of the stage stays the last line.
            return record.levelno >= logging.WARNING and GENERAL_FAILURE not in text
        if self.plain or getattr(record, "event", None) == "group_error":
            return True
        told = getattr(record, "event", None) == "job_error" or text.startswith(TOLD)
        return record.levelno >= logging.WARNING and not told

    def _pass_on(self, record: logging.LogRecord) -> None:
        """Show a message as Snakemake would."""
        if self.snakemake is None or self.painter is None or not self.snakemake.filter(record):
            return
        if self.plain:
            self.snakemake.handle(record)
        elif text := self.snakemake.format(record):
            self.painter.say(text)

    def _repaint(self) -> None:
        """Redraw until the run has ended; in a thread."""
        shortest = 0.0 if self.timed else CLUSTER_INTERVAL_S
        while (painter := self.painter) is not None and not self.ended.wait(max(painter.interval_s, shortest)):
            try:
                # Events need not wait for a slow file system.
                self.progress.read_bars()
            except Exception as error:
                with self.guard:
                    self._switch_off(error)
            with self.guard:
                if self.painter is None or self.ended.is_set():
                    return
                try:
                    self.painter.paint(self.progress, time.time(), self.timed)
                except Exception as error:
                    self._switch_off(error)

    def _switch_off(self, error: Exception) -> None:
        """Give the terminal back to Snakemake, unless it is gone: then only the log file is written from now on."""
        painter, self.painter = self.painter, None
        try:
            if painter is not None:
                painter.close()
        except Exception:
            pass
        self.logger.removeHandler(self)
        # Snakemake's handler would raise the error of a closed pipe again, and its scheduler would wait forever.
        if self.snakemake and self.snakemake not in self.logger.handlers and not isinstance(error, OSError):
            self.logger.addHandler(self.snakemake)
        self.logger.warning(f"the progress display failed and is off ({type(error).__name__}: {error})")


class MessageFormatter(logging.Formatter):
    """Snakemake's formatter, except that an error raised by the workflow itself is reduced to its message.

    Parameters
    ----------
    inner : Formatter or None
        That of Snakemake.
    """

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; the place in the Snakefile and the traceback of a ``WorkflowError`` are left out."""
        text = self.inner.format(record)
        if getattr(record, "event", None) == "error" and (found := RAISED_BY_WORKFLOW.match(text)):
            return f"error: {found[1]}"
        return text


def choose_painter(name: str, stream: TextIO, plain: bool, no_colour: bool) -> Painter:
    """Bars in a terminal; lines in CI, in a file and in a terminal that can't move its cursor."""
    if plain:
        return NoPainter(stream)
    if stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI"):
        return BarPainter(name, stream, no_colour)
    return LinePainter(stream)


def wants_snakemakes_output(settings: OutputSettings) -> bool:
    """Whether the user has asked for less of Snakemake's own output than it shows, or for more.

    ``--quiet host`` and ``--quiet reason`` leave out what the display does not show anyway.
    """
    quiet = {kind.name for kind in settings.quiet or ()} - {"HOST", "REASON"}
    return bool(quiet) or settings.verbose or settings.printshellcmds or settings.debug_dag


def describe_failures(failures: list[Failure]) -> list[str]:
    """Lines with which a failed run ends; the last is the message of the first job that failed.

    With many failures, each message is shown once.
    """
    if not failures:
        return []
    if all(failure.message == INTERRUPTED for failure in failures):
        return ["", "Interrupted. Start the run again to continue: finished jobs are kept."]
    names = ", ".join(failure.name for failure in failures[:NAMED_FAILURES])
    more = f" and {len(failures) - NAMED_FAILURES} more" if len(failures) > NAMED_FAILURES else ""
    lines = ["", f"{count_jobs(len(failures))} failed: {names}{more}."]
    lines.append("Fix the cause and start the run again: finished jobs are kept. Job commands: .snakemake/log/")
    first: dict[str, Failure] = {}
    for failure in failures:
        first.setdefault(failure.message, failure)
    for message, failure in reversed(list(first.items())[:NAMED_FAILURES]):
        lines.append(f"{failure.name}{f' (log: {failure.log})' if failure.log else ''}:")
        lines.append(message if message.startswith("error: ") else f"error: {message}")
    return lines


def count_jobs(number: int) -> str:
    """A number of jobs in words: ``1 job``."""
    return f"{number} job" if number == 1 else f"{number} jobs"


def describe_wildcards(wildcards: Mapping[str, str]) -> str:
    """What a job works on.

    Examples
    --------
    >>> describe_wildcards({"round": "0", "shard": "train-0000"})
    'round 0, train-0000'
    """
    return ", ".join(f"round {value}" if name == "round" else value for name, value in wildcards.items())


def _pass_header(record: logging.LogRecord) -> bool:
    """Filter out what Snakemake prints about itself before the first job."""
    return getattr(record, "event", None) not in HEADER_EVENTS and not record.getMessage().startswith(HEADER_MESSAGES)
