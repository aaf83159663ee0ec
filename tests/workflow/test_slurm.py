"""The chain on a real SLURM, with the profile that is shipped: jobs that are killed, cancelled and lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import psutil
import pytest
from one_node_cluster import ask, find_obstacle, one_node_cluster
from test_chain import checksum_results

TINY = Path(__file__).with_name("tiny.yaml")
pytestmark = pytest.mark.slurm

TARGETS = ("labels", "predictions")
STEPS = 200
CONFIG = ("--config", "gpus=1", f"segmenter={{steps: {STEPS}, torch_threads: 1}}")
# What belongs to this small cluster and not into the profile: no accounting, and answers at once.
TEST_ONLY = (
    *("--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "2", "--jobs", "3", "--latency-wait", "5"),
)
COLUMNS = "JobID:60,State:60,tres-per-job:60,Comment:60"
MADE = ("classifier", "cams", "box_masks", "labels", "segmenter", "predictions")


@pytest.fixture(scope="module")
def cluster():
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    with one_node_cluster() as host:
        yield host


class Disturbance:
    """Watches a run's jobs and does one thing to the first running job of each of three rules."""

    def __init__(self, folder, host) -> None:
        self.folder, self.host = folder, host
        self.done: dict[str, str] = {}
        self.submitted: dict[str, set[str]] = defaultdict(set)
        self.gpus: set[str] = set()
        self.writers = 0
        self.ended = threading.Event()

    def watch(self) -> None:
        while not self.ended.wait(0.3):
            for line in ask("squeue", "--noheader", "--array", f"--Format={COLUMNS}").splitlines():
                # Each column is filled up to its width.
                job, state, resources, comment = (line[start : start + 60].strip() for start in (0, 60, 120, 180))
                rule = comment.removeprefix("rule_").partition("_wildcards_")[0]
                self.submitted[comment].add(job)
                if "gpu" in resources:
                    self.gpus.add(rule)
                action = {"labels_shard": "cancel", "segmenter_round": "stop", "predictions_shard": "lose"}.get(rule)
                if state == "RUNNING" and action and action not in self.done and getattr(self, action)(job):
                    self.done[action] = comment
            self.count_writers()

    def cancel(self, job) -> bool:
        return bool(self.find_stages("labels")) and ask("scancel", job) == ""

    def stop(self, job) -> bool:
        """Let the time limit pass: the training is held still until SLURM's warning wakes it."""
        log = self.folder / "logs" / "tiny" / "segmenter" / "0.log"
        if not log.is_file() or f"/{STEPS}" not in log.read_text():
            return False
        ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")
        for process in self.find_stages("segmenter"):
            process.suspend()
        return True

    def lose(self, job) -> bool:
        if not self.find_stages("predictions"):
            return False
        ask("scontrol", "update", f"NodeName={self.host}", "State=DOWN", "Reason=test")
        time.sleep(8)
        self.count_writers()
        ask("scontrol", "update", f"NodeName={self.host}", "State=RESUME")
        return True

    def find_stages(self, stage) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if words[:1] == ["python"] and f"pseudogt.stages.{stage}" in words and process.cwd() == str(self.folder):
                found.append(process)
        return found

    def count_writers(self) -> None:
        """Count the processes of each job that hold its lock beside that of all jobs of the run."""
        with open("/proc/locks") as file:
            words = [line.split() for line in file]
        held = Counter(int(line[4]) for line in words if line[1] == "FLOCK" and line[3] == "READ")
        jobs: dict[str, int] = defaultdict(int)
        for stage in MADE:
            for process in self.find_stages(stage):
                if held[process.pid] > 1:
                    jobs[" ".join(process.cmdline())] += 1
        self.writers = max([self.writers, *jobs.values()])


def test_disturbed_run_on_slurm_equals_a_local_one(cluster, fresh, tmp_path):
    remote = fresh
    shutil.copytree(remote.folder, tmp_path / "local")
    local = type(remote)(tmp_path / "local")
    local.run(*TARGETS, *CONFIG)
    disturbance = Disturbance(remote.folder, cluster)
    watcher = threading.Thread(target=disturbance.watch)
    watcher.start()
    try:
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", "--configfile", str(TINY)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            [*command, *TEST_ONLY, *CONFIG, "--", *TARGETS],
            cwd=remote.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=3600,
        )
    finally:
        disturbance.ended.set()
        watcher.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(disturbance.done) == {"cancel", "stop", "lose"}
    for comment in disturbance.done.values():
        assert len(disturbance.submitted[comment]) == 2, comment
    assert {"classifier", "cams_shard", "segmenter_round", "predictions_shard"} <= disturbance.gpus
    assert disturbance.writers == 1
    # The training went on from its checkpoint.
    log = (remote.folder / "logs" / "tiny" / "segmenter" / "0.log").read_text()
    assert int(re.search(rf"\| (\d+)/{STEPS}", log)[1]) > 0
    assert checksum_results(remote.results, MADE) == checksum_results(local.results, MADE)
