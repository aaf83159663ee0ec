"""Progress of a run: jobs and stages, and an estimate of the time left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pseudogt.terminal.logs import ProgressBar, find_bar, find_message, read_tail

PRIOR = 0.1
"""Weight of the expected time of a run against the measured one, as a fraction of the whole run."""


@dataclass(frozen=True)
class RulePlan:
    """The jobs that a run plans for a rule.

    Attributes
    ----------
    stage : str
        Name under which the rule's jobs are shown.
    jobs : int
    seconds : float
        Expected seconds by which each job lengthens the run.
    """

    stage: str
    jobs: int
    seconds: float


@dataclass
class Job:
    """A job that has been started.

    Attributes
    ----------
    rule : str
    title : str
        What it works on, without the stage: ``train-0000``.
    log : Path or None
    started : float
        Seconds since the epoch.
    bar : ProgressBar or None
        Its progress when the log was last read.
    """

    rule: str
    title: str
    log: Path | None
    started: float
    bar: ProgressBar | None = None

    @property
    def fraction(self) -> float:
        """Part of the job that is done."""
        return self.bar.fraction if self.bar else 0.0

    def read_bar(self) -> None:
        """Find its progress bar, unless the log was written by an earlier attempt or the job is still in a queue."""
        if self.log is None or not self.log.is_file() or self.log.stat().st_mtime < self.started - 1:
            return
        self.bar = find_bar(read_tail(self.log))


@dataclass(frozen=True)
class Failure:
    """A job that has failed.

    Attributes
    ----------
    stage, name : str
        Stage, and stage with what the job worked on.
    message : str
    log : Path or None
    """

    stage: str
    name: str
    message: str
    log: Path | None


@dataclass
class StageProgress:
    """Progress of a stage.

    Attributes
    ----------
    name : str
    total, done : int
        Jobs.
    running : float
        Sum of the fractions that are done of the jobs at work.
    details : list of str
        What the jobs at work are doing, each a few words.
    begun : bool
    failed : bool
    """

    name: str
    total: int = 0
    done: int = 0
    running: float = 0.0
    details: list[str] = field(default_factory=list)
    begun: bool = False
    failed: bool = False


class RunProgress:
    """Jobs of a run as they start, end and fail.

    Parameters
    ----------
    rules : mapping
        Rule -> what is to be done of it, in the order in which stages follow each other.
    started : float
        Start of the run, in seconds since the epoch.
    """

    def __init__(self, rules: Mapping[str, RulePlan], started: float) -> None:
        self.rules = dict(rules)
        self.started = started
        self.running: dict[int, Job] = {}
        self.done: dict[str, int] = dict.fromkeys(rules, 0)
        self.failures: dict[int, Failure] = {}
        self.begun: set[str] = set()

    @property
    def total(self) -> int:
        """Jobs of the run."""
        return sum(plan.jobs for plan in self.rules.values())

    def start(self, jobid: int, job: Job) -> bool:
        """Note a job that starts, or starts again after a failure; returns whether it is the first of its stage."""
        stage = self.rules.setdefault(job.rule, RulePlan(job.rule, 1, 1.0)).stage
        first = stage not in self.begun
        self.begun.add(stage)
        self.failures.pop(jobid, None)
        self.running[jobid] = job
        return first

    def finish(self, jobid: int) -> Job | None:
        """Note a job that has ended well; None if its start was not noted."""
        job = self.running.pop(jobid, None)
        if job is not None:
            self.done[job.rule] = self.done.get(job.rule, 0) + 1
        return job

    def fail(self, jobid: int, explanation: str) -> Failure | None:
        """Note a job that has failed; its message is that in its log, else ``explanation``.

        Returns
        -------
        Failure or None
            None if the job's start was not noted, or its failure was already.
        """
        job = self.running.pop(jobid, None)
        if job is None:
            return None
        message = find_message(read_tail(job.log)) if job.log else ""
        failure = Failure(self.rules[job.rule].stage, self.name(job), message or explanation, job.log)
        self.failures[jobid] = failure
        return failure

    def read_bars(self) -> None:
        """Read the logs of the jobs at work; all that is shown of them is from the last call.

        Another thread may note events meanwhile.
        """
        for job in list(self.running.values()):
            job.read_bar()

    def name(self, job: Job) -> str:
        """Stage and object of a job, as shown to the user."""
        return f"{self.rules[job.rule].stage} {job.title}".strip()

    def list_stages(self) -> list[StageProgress]:
        """All stages in their order, with what their jobs are doing now."""
        stages: dict[str, StageProgress] = {}
        for rule, plan in self.rules.items():
            stage = stages.setdefault(plan.stage, StageProgress(plan.stage))
            stage.total += plan.jobs
            stage.done += self.done.get(rule, 0)
        for job in self.running.values():
            stage = stages[self.rules[job.rule].stage]
            stage.running += job.fraction
            stage.details.append(describe_job(job))
        failed = {failure.stage for failure in self.failures.values()}
        for stage in stages.values():
            stage.begun = stage.name in self.begun
            stage.failed = stage.name in failed
        return list(stages.values())

    def measure_done(self) -> float:
        """Fraction of the run that is done, by the expected times of its jobs."""
        whole, passed = self._weigh()
        return passed / whole if whole else 1.0

    def estimate_left(self, now: float) -> float | None:
        """Seconds left, from the expected times of jobs and the pace of the run so far; None before anything is done.

        The pace is ``(measured + prior) / (expected + prior)``, where the prior stands for a tenth of the run.
        """
        whole, passed = self._weigh()
        if not passed:
            return None
        prior = PRIOR * whole
        pace = (now - self.started + prior) / (passed + prior)
        bars = [job.bar for job in self.running.values() if job.bar]
        return max([(whole - passed) * pace, *(bar.left_s for bar in bars if bar.fraction and bar.left_s)])

    def _weigh(self) -> tuple[float, float]:
        """Expected seconds of the whole run, and of what is done of it."""
        passed = sum(count * self.rules[rule].seconds for rule, count in self.done.items())
        passed += sum(self.rules[job.rule].seconds * job.fraction for job in self.running.values())
        return sum(plan.jobs * plan.seconds for plan in self.rules.values()), passed


def describe_job(job: Job) -> str:
    """What a job is doing, in a few words.

    Examples
    --------
    >>> describe_job(Job("cams_shard", "train-0000", None, 0.0, ProgressBar("cams", 2, 4, 3.0)))
    'train-0000 2/4, 0:03 left'
    """
    bar = job.bar
    if bar is None:
        return job.title
    words = f"{bar.title} {bar.done}/{bar.total}" if bar.fraction == 0 else f"{job.title} {bar.done}/{bar.total}"
    return f"{words.strip()}, {format_clock(bar.left_s)} left" if bar.left_s and bar.fraction else words.strip()


def format_clock(seconds: float) -> str:
    """Seconds as a clock shows them.

    Examples
    --------
    >>> format_clock(75), format_clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_left(seconds: float | None) -> str:
    """A rough time that is left, in words.

    Examples
    --------
    >>> format_left(None), format_left(40), format_left(400), format_left(9000)
    ('', 'less than a minute left', 'about 7 min left', 'about 2.5 h left')
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return "less than a minute left"
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"
