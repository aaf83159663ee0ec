"""Locks on a run's name and on its jobs, tried with processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from pseudogt.workflow.locks import (
    ATTEMPT_VARIABLE,
    JOBS_LOCK,
    NAME_LOCKS,
    RUN_VARIABLE,
    claim_name,
    find_lock_holders,
    wait_for_jobs,
)

HOLD = "import sys, time; from pseudogt.workflow.locks import hold_job_lock; hold_job_lock()\n"
JOB = HOLD + "print('at work', flush=True); time.sleep(float(sys.argv[1]))"
PARENT = HOLD + (
    "import subprocess; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False)\n"
    "print('at work', flush=True)"
)
RUN = (
    "import sys, time; from pathlib import Path; from pseudogt.workflow.locks import claim_name\n"
    "claim_name(Path.cwd(), sys.argv[1]); print('at work', flush=True); time.sleep(60)"
)
WAITING = "another process still works on this job"


class Jobs:
    """Starts processes in a working folder; those that are left are killed."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []

    def start(self, code, *words, log="logs/x/a.log", name="x", attempt="1"):
        path = self.folder / log
        path.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {RUN_VARIABLE: name, ATTEMPT_VARIABLE: attempt, "PYTHONPATH": os.getcwd()}
        with path.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *words],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=stream,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def start_holder(self, code=JOB, *words, **options):
        process = self.start(code, *(words or ("60",)), **options)
        assert process.stdout.readline() == b"at work\n"
        return process

    def wait_until_waiting(self, process, log="logs/x/a.log"):
        deadline = time.monotonic() + 20
        while WAITING not in (self.folder / log).read_text():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)


@pytest.fixture
def jobs(tmp_path):
    jobs = Jobs(tmp_path)
    yield jobs
    for process in jobs.processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("removed", [False, True], ids=["log kept", "log removed"])
def test_second_attempt_waits_for_the_first(jobs, tmp_path, removed):
    """Snakemake removes the log of a job before it starts it: the second attempt writes to another file."""
    first = jobs.start_holder(attempt="1")
    if removed:
        (tmp_path / "logs/x/a.log").unlink()
    second = jobs.start(JOB, "0", attempt="2")
    jobs.wait_until_waiting(second)
    first.kill()
    first.wait()
    assert second.wait(20) == 0


def test_processes_of_one_attempt_work_together(jobs):
    """As those that torchrun starts for each GPU."""
    jobs.start_holder()
    jobs.start_holder()
    third = jobs.start(JOB, "0", attempt="2")
    jobs.wait_until_waiting(third)
    jobs.processes[0].kill()
    jobs.processes[0].wait()
    time.sleep(0.5)
    assert third.poll() is None
    jobs.processes[1].kill()
    assert third.wait(20) == 0


def test_processes_of_one_attempt_start_together_after_another(jobs):
    """None of them waits for those of its own attempt."""
    first = jobs.start_holder(attempt="1")
    others = [jobs.start(JOB, "60", attempt="2") for _ in range(8)]
    for process in others:
        jobs.wait_until_waiting(process)
    first.kill()
    for process in others:
        assert process.stdout.readline() == b"at work\n"


def test_children_keep_the_lock_of_their_parent(jobs, tmp_path):
    parent = jobs.start_holder(PARENT)
    assert parent.wait(20) == 0
    second = jobs.start(JOB, "0", attempt="2")
    jobs.wait_until_waiting(second)
    with pytest.raises(ValueError, match="jobs of an earlier run named 'x' are still at work"):
        claim_name(tmp_path, "x")
    os.killpg(parent.pid, signal.SIGKILL)
    assert second.wait(20) == 0


def test_other_jobs_and_other_runs_do_not_wait(jobs):
    jobs.start_holder()
    jobs.start_holder(log="logs/x/b.log", attempt="2")
    jobs.start_holder(log="logs/y/a.log", name="y", attempt="3")


def test_a_stage_that_no_run_started_locks_nothing(jobs, tmp_path, monkeypatch):
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    environment = {key: value for key, value in os.environ.items() if key != RUN_VARIABLE}
    with (tmp_path / "own.log").open("w") as log:
        subprocess.run([sys.executable, "-c", HOLD], env=environment, stderr=log, check=True)
    assert not (tmp_path / NAME_LOCKS).exists()


def test_a_name_is_for_one_live_run(jobs, tmp_path):
    first = jobs.start_holder(RUN, "x")
    with pytest.raises(ValueError, match=rf"a run named 'x' is at work here \(process {first.pid}\)"):
        claim_name(tmp_path, "x")
    jobs.start_holder(RUN, "y")
    first.kill()
    first.wait()
    jobs.start_holder(RUN, "x")


def test_a_name_is_refused_while_a_job_of_a_dead_run_is_ending(jobs, tmp_path):
    job = jobs.start_holder()
    assert [p.pid for p in find_lock_holders(tmp_path / NAME_LOCKS / "x" / JOBS_LOCK)] == [job.pid]
    with pytest.raises(ValueError, match=rf"still at work \(process {job.pid}\).*make resume"):
        claim_name(tmp_path, "x")
    job.kill()
    job.wait()
    jobs.start_holder(RUN, "x")


def test_resume_waits_for_jobs_that_it_cannot_end(jobs, tmp_path, capfd):
    jobs.start_holder(JOB, "1.5")
    wait_for_jobs(tmp_path)
    assert "waiting for jobs of the run 'x'" in capfd.readouterr().err
    assert jobs.processes[0].wait(20) == 0
