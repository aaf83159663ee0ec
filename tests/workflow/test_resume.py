from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pseudogt.workflow import resume
from pseudogt.workflow.locks import claim_run_lock, open_run_lock, share_run_lock

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


@pytest.fixture
def started():
    """Start marked processes; those that a test leaves are killed."""
    processes = []

    def start(folder, command=SLEEP):
        process = subprocess.Popen(command, env=os.environ | {resume.MARKER: str(folder)}, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def executed(monkeypatch):
    """What this process would have become."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda path, command, environment: calls.append((command, environment)))
    monkeypatch.setattr(os, "chdir", lambda path: calls.append(path))
    return calls


def record(folder, **changes):
    (folder / ".snakemake").mkdir(exist_ok=True)
    resume.record_run(folder, folder, ["--cores", "3", "--config", "name=a b"], changes.get("executor", "local"))


def test_live_runs_share_the_lock_and_exclude_a_resume(tmp_path):
    first, second, third = (open_run_lock(tmp_path) for _ in range(3))
    assert share_run_lock(first) and share_run_lock(second)
    assert not claim_run_lock(third)
    os.close(first)
    assert not claim_run_lock(third)
    os.close(second)
    assert claim_run_lock(third)
    fourth = open_run_lock(tmp_path)
    assert not share_run_lock(fourth)
    os.close(third)
    os.close(fourth)


def test_lock_of_a_run_is_not_inherited_by_its_children(tmp_path):
    lock = open_run_lock(tmp_path)
    share_run_lock(lock)
    child = subprocess.Popen(["sleep", "60"])
    os.close(lock)
    other = open_run_lock(tmp_path)
    assert claim_run_lock(other)
    child.kill()
    child.wait()
    os.close(other)


def test_resume_continues_with_the_recorded_arguments(tmp_path, executed):
    record(tmp_path)
    resume.main(["--directory", str(tmp_path)])
    place, (command, environment) = executed
    assert place == tmp_path
    assert command[1:] == ["-m", "snakemake", "--cores", "3", "--config", "name=a b"]
    assert environment["PATH"].split(os.pathsep)[0] == os.path.dirname(sys.executable)


def test_resume_takes_other_arguments(tmp_path, executed):
    record(tmp_path)
    resume.main(["--directory", str(tmp_path), "--", "--cores", "1", "--", "cams"])
    assert executed[1][0][3:] == ["--cores", "1", "--", "cams"]


def test_live_run_is_refused_by_name(tmp_path, executed):
    record(tmp_path)
    code = "import sys, time; from pathlib import Path; from pseudogt.workflow.resume import join_live_runs\n"
    code += "lock = join_live_runs(Path.cwd()); print('up', flush=True); time.sleep(60)"
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    run = subprocess.Popen(
        [sys.executable, "-c", code, "snakemake"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    )
    assert run.stdout.readline() == b"up\n"
    try:
        with pytest.raises(ValueError, match="a run is alive there"):
            resume.main(["--directory", str(tmp_path)])
        assert run.poll() is None
        assert not executed
    finally:
        run.kill()
        run.wait()
        run.stdout.close()


def test_nothing_to_resume(tmp_path):
    with pytest.raises(ValueError, match="no run was started here"):
        resume.main(["--directory", str(tmp_path)])


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="a run needs a working folder that it can write to"):
        resume.main(["--directory", str(tmp_path / "file")])


def test_left_processes_of_this_folder_alone_are_ended(tmp_path, started, executed):
    record(tmp_path)
    left, elsewhere = started(tmp_path), started(tmp_path / "other")
    resume.main(["--directory", str(tmp_path)])
    left.wait(5)
    assert elsewhere.poll() is None


def test_process_that_does_not_listen_is_killed(tmp_path, started):
    left = started(tmp_path, DEAF)
    assert resume.end_processes(resume.find_left_processes(tmp_path), grace_s=0.2) == 1
    left.wait(5)


def test_locks_and_half_written_files_are_removed(tmp_path, executed):
    record(tmp_path)
    (tmp_path / ".snakemake" / "locks").mkdir()
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").write_text("a\n")
    labels = tmp_path / "results" / "run" / "labels" / "0"
    for folder in ("train-0000", ".train-0001.123.part"):
        (labels / folder).mkdir(parents=True)
        (labels / folder / "panoptic.json").write_text("{}")
    (labels.parent / ".x.77.part.json").write_text("{")
    (labels.parent / "x.part.json").write_text("{}")
    resume.main(["--directory", str(tmp_path)])
    left = sorted(str(p.relative_to(tmp_path / "results")) for p in (tmp_path / "results").rglob("*") if p.is_file())
    assert left == ["run/labels/0/train-0000/panoptic.json", "run/labels/x.part.json"]
    assert not (tmp_path / ".snakemake" / "locks").exists()


def test_slurm_jobs_of_this_folder_are_cancelled(tmp_path, executed, monkeypatch):
    """A queue of files stands in for SLURM: squeue lists it, scancel takes jobs out."""
    record(tmp_path, executor="slurm")
    queue = tmp_path / "queue"
    lines = [f"7|rule_cams_shard_wildcards_x|{tmp_path}", f"8|rule_cams_shard|{tmp_path}/other", f"9|mine|{tmp_path}"]
    queue.write_text("\n".join(lines) + "\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "squeue").write_text(f"#!/bin/sh\ncat '{queue}'\n")
    (tools / "scancel").write_text(f"#!/bin/sh\nfor job; do sed -i \"/^$job|/d\" '{queue}'; done\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    resume.main(["--directory", str(tmp_path)])
    assert queue.read_text().splitlines() == lines[1:]


def test_slurm_without_squeue_is_refused(tmp_path, monkeypatch):
    record(tmp_path, executor="slurm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="resume on a login node"):
        resume.main(["--directory", str(tmp_path)])


def test_record_keeps_no_environment_but_the_profile(tmp_path, monkeypatch):
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "profiles/slurm")
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_SECRET_KEY", "secret")
    record(tmp_path)
    text = (tmp_path / resume.RUN_RECORD).read_text()
    assert json.loads(text)["environment"] == {"SNAKEMAKE_PROFILE": "profiles/slurm"}
    assert "secret" not in text
