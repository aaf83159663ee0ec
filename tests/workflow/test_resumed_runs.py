"""Runs that die and are resumed, with a stand-in for the stages; benchmarks/faults.py does it with the real ones."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import stand_in
from test_reruns import DatasetRun, write_image, write_lists

from pseudogt.workflow.resume import RUN_RECORD, find_left_processes

TARGETS = ("--", "all", "proposals")


class SmallRun(DatasetRun):
    """Two shards of two images, one to validate on, and one round: few jobs, as what counts is how they end."""

    def __init__(self, workspace, place) -> None:
        super().__init__(workspace, place)
        self.train, self.val = self.train[:4], self.val[:1]

    def arguments(self, *more, **config):
        return super().arguments(*more, **({"shard_size": "2", "rounds": "{max: 1, min: 1}"} | config))


@pytest.fixture
def run(make_workspace, tmp_path):
    stand_in.install(tmp_path / "bin")
    run = SmallRun(make_workspace(tmp_path / "run"), tmp_path)
    for number, image_id in enumerate([*run.train, *run.val]):
        write_image(run.data, image_id, number)
    write_lists(run.data, run.train, run.val)
    yield run
    for process in find_left_processes(run.workspace.folder):
        process.kill()


def start(run, seconds="0"):
    """Start the run in a group of its own; every stage takes some time."""
    tiny = Path(__file__).with_name("tiny.yaml")
    command = [sys.executable, "-m", "snakemake", "--configfile", str(tiny), "--cores", "2", *run.arguments(*TARGETS)]
    with (run.place / "output.txt").open("w") as output:
        return subprocess.Popen(
            command,
            cwd=run.workspace.folder,
            env=os.environ | run.env | {"STAND_IN_SECONDS": seconds},
            stdout=output,
            stderr=output,
            start_new_session=True,
            # A shell's background job, such as these tests may be, passes Ctrl-C over, and so would what it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def resume(run, *arguments):
    command = [sys.executable, "-m", "pseudogt.workflow.resume", "--grace", "2", *arguments]
    environment = os.environ | {"PYTHONPATH": str(run.workspace.folder)}
    return subprocess.run(
        command, cwd=run.workspace.folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


SLOW = {f"pseudogt.stages.{stage}" for stage in ("box_masks", "proposals", "classifier")}


def find_stages(run):
    found = []
    for process in find_left_processes(run.workspace.folder):
        with contextlib.suppress(psutil.NoSuchProcess):
            if SLOW & set(process.cmdline()):
                found.append(process)
    return found


def use_stand_in(run):
    """Resume puts the interpreter's folder first in PATH; let the stand-in be found in the workflow itself."""
    rules = run.workspace.folder / "rules" / "common.smk"
    text = rules.read_text()
    assert "trap : TERM; " in text
    rules.write_text(text.replace("trap : TERM; ", f"trap : TERM; export PATH={run.place / 'bin'}:$PATH; "))


def test_killed_snakemake_is_resumed_and_its_stage_ended(run):
    use_stand_in(run)
    process = start(run, seconds="600")
    wait_for(lambda: find_stages(run))
    refused = resume(run)
    assert refused.returncode == 1
    assert f"a run is alive there (process {process.pid})" in refused.stderr
    process.kill()
    process.wait()
    left = find_stages(run)
    assert left
    done = resume(run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "processes that the dead run had left" in done.stderr
    assert not any(p.is_running() for p in left)
    assert not run.plan(*TARGETS)
    again = resume(run)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_group_is_resumed(run, number):
    use_stand_in(run)
    process = start(run, seconds="2")
    wait_for(lambda: find_stages(run))
    os.killpg(process.pid, number)
    process.wait(60)
    done = resume(run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not run.plan(*TARGETS)


@pytest.mark.slow
def test_second_run_in_the_same_folder_is_refused(run):
    use_stand_in(run)
    first = start(run, seconds="2")
    wait_for(lambda: find_stages(run))
    second = run.workspace.snakemake(*run.arguments(*TARGETS), env=run.env)
    assert second.returncode != 0
    assert "cannot be locked" in " ".join((second.stdout + second.stderr).split())
    assert first.wait(300) == 0
    assert not run.plan(*TARGETS)


@pytest.mark.parametrize("kill", [False, True], ids=["alive", "killed"])
def test_unlocking_does_not_let_a_second_run_in(run, kill):
    """Neither beside a live run nor while a job that a killed one left is ending."""
    use_stand_in(run)
    first = start(run, seconds="600")
    try:
        wait_for(lambda: find_stages(run))
        if kill:
            first.kill()
            first.wait()
        stages = {" ".join(process.cmdline()) for process in find_stages(run)}
        unlocked = run.workspace.snakemake("--unlock", *run.arguments(), env=run.env)
        assert unlocked.returncode == 0, unlocked.stdout + unlocked.stderr
        second = run.workspace.snakemake("--rerun-incomplete", *run.arguments(*TARGETS), env=run.env)
        text = " ".join((second.stdout + second.stderr).split())
        assert second.returncode == 1
        assert ("still at work (process" if kill else f"is at work here (process {first.pid})") in text, text
        # The first run may have started others since; none is there twice.
        commands = [" ".join(process.cmdline()) for process in find_stages(run)]
        assert stages <= set(commands) and len(set(commands)) == len(commands)
        run.plan(*TARGETS)  # A dry run is welcome at any time.
    finally:
        first.kill()
        first.wait()
    done = resume(run)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_two_runs_that_start_together_leave_one(run):
    use_stand_in(run)
    both = [start(run, seconds="1") for _ in range(2)]
    codes = sorted(process.wait(300) for process in both)
    assert codes == [0, 1]
    assert (run.workspace.folder / RUN_RECORD).is_file()
    assert not run.plan(*TARGETS)


def test_ready_jobs_are_gone_through_when_a_job_ends_and_not_ever_more_often(run):
    arguments = run.arguments("--verbose", "--", "proposals", shard_size="1")
    done = run.workspace.snakemake(*arguments, env=run.env | {"STAND_IN_SECONDS": "1"})
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    jobs = 2 * len(run.train) + 1
    assert len(run.train) <= output.count("Ready jobs: ") <= 2 * jobs
