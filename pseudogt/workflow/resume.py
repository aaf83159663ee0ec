"""Resume a crashed or interrupted run: end the stages it left running, unlock the folder, continue.

    python -m pseudogt.workflow.resume [--directory FOLDER] [-- SNAKEMAKE ARGUMENTS]

Every Snakemake process of this workflow holds a lock on its working folder, marks the processes that it
starts, and records its arguments. A run is resumed with the same arguments unless others
are given. A live run is left alone.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from pseudogt.files.io import read_json, write_json
from pseudogt.workflow.locks import (
    RUN_LOCK,
    claim_run_lock,
    find_lock_holders,
    open_run_lock,
    share_run_lock,
    wait_for_jobs,
)

MARKER = "PSEUDOGT_RUN_FOLDER"
"""Environment variable of everything that a run starts: its working folder."""

RUN_RECORD = Path(".snakemake") / "pseudogt-run.json"
SHARD_FOLDER = re.compile(r"(train|val)-\d+")
CANCEL_S = 120
"""Seconds that SLURM gets to end cancelled jobs."""


def join_live_runs(folder: Path) -> int:
    """Hold the folder's lock until this process ends, and mark all that it starts.

    Returns
    -------
    int
        Descriptor of the lock.

    Raises
    ------
    ValueError
        If a resume is at work in the folder, or it can't be written.
    """
    os.environ[MARKER] = str(folder.resolve())
    lock = open_run_lock(folder)
    if not share_run_lock(lock):
        raise ValueError(f"{folder}: a resume is clearing this folder; wait until it has started the run")
    return lock


def record_run(folder: Path, origin: Path, arguments: Sequence[str], executor: str) -> None:
    """Write down how the run of a folder was started.

    Parameters
    ----------
    folder, origin : Path
        The working folder, and the folder that relative paths in ``arguments`` are relative to.
    arguments : sequence of str
        Those of Snakemake.
    executor : str
        Name of Snakemake's executor plugin.
    """
    profile = {"SNAKEMAKE_PROFILE": os.environ["SNAKEMAKE_PROFILE"]} if "SNAKEMAKE_PROFILE" in os.environ else {}
    record = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "origin": str(origin),
        "arguments": list(arguments),
        "environment": profile,
        "executor": executor,
    }
    write_json(folder / RUN_RECORD, record)


def main(argv: Sequence[str] | None = None) -> None:
    """Clear the folder and become Snakemake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path(), help="working folder of the run (default: this one)")
    parser.add_argument("--grace", type=float, default=30, help="seconds that a stage gets to write its checkpoint")
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    options, arguments = parser.parse_args(words[:cut]), words[cut + 1 :]
    folder = options.directory.resolve()
    lock = claim_folder(folder)
    path = folder / RUN_RECORD
    record = read_json(path) if path.is_file() else None
    clear_folder(folder, record, options.grace)
    if arguments:
        record = {"origin": Path.cwd(), "arguments": arguments, "environment": {}}
    if record is None:
        raise ValueError(
            f"{folder}: no run was started here, so there is nothing to resume; start a run with snakemake"
        )
    if not share_run_lock(lock):
        raise ValueError(f"{folder}: another resume was faster; leave the run to it")
    continue_run(lock, Path(record["origin"]), record["arguments"], record["environment"])


def claim_folder(folder: Path) -> int:
    """Take the folder's lock alone.

    Raises
    ------
    ValueError
        If a run is alive there; the message names its processes.
    """
    lock = open_run_lock(folder)
    if not claim_run_lock(lock):
        alive = ", ".join(f"process {p.pid}" for p in find_lock_holders(folder / RUN_LOCK)) or "on another machine"
        raise ValueError(
            f"{folder}: a run is alive there ({alive}); there is nothing to resume. To stop it, interrupt it "
            "(Ctrl-C, or kill -INT) and wait"
        )
    return lock


def clear_folder(folder: Path, record: dict[str, Any] | None, grace_s: float) -> None:
    """End what a dead run left and remove its locks and half-written files."""
    executor = record["executor"] if record else "local"
    if executor == "slurm":
        cancel_slurm_jobs(folder)
    elif executor != "local":
        _say(f"jobs of the executor {executor} are not known here; those still running are waited for")
    elif record and record["host"] != socket.gethostname():
        _say(f"the run was on {record['host']}; stages that are left there are waited for, not ended")
    ended = end_processes(find_left_processes(folder), grace_s)
    if ended:
        _say(f"ended {ended} processes that the dead run had left")
    wait_for_jobs(folder)
    # What `snakemake --unlock` does, without building the graph.
    shutil.rmtree(folder / ".snakemake" / "locks", ignore_errors=True)
    for path in list(find_part_files(folder / "results")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def continue_run(lock: int, origin: Path, arguments: Sequence[str], environment: dict[str, str]) -> None:
    """Replace this process by Snakemake, which keeps the lock."""
    _say(f"snakemake {' '.join(arguments)}")
    os.set_inheritable(lock, True)
    os.chdir(origin)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.execve(
        sys.executable,
        [sys.executable, "-m", "snakemake", *arguments],
        {**os.environ, **environment, "PATH": path},
    )


def find_left_processes(folder: Path) -> list[psutil.Process]:
    """Processes of this machine that a run in ``folder`` started, apart from this one and those it runs in."""
    own = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    return [p for p in psutil.process_iter() if p.pid not in own and _read_marker(p) == str(folder)]


def end_processes(processes: Sequence[psutil.Process], grace_s: float) -> int:
    """Ask processes to end, and kill those that have not after ``grace_s``; returns how many there were."""
    for process in processes:
        _send(process, "terminate")
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        _send(process, "kill")
    _, alive = psutil.wait_procs(alive, timeout=10)
    if alive:
        raise ValueError(f"processes {[p.pid for p in alive]} of the dead run can't be ended; restart the machine")
    return len(processes)


def find_part_files(results: Path) -> Iterable[Path]:
    """Files and folders below ``results`` that :func:`pseudogt.files.io.replace_atomically` had not finished."""
    for parent, folders, files in os.walk(results):
        for name in [*folders, *files]:
            if name.startswith(".") and ".part" in name:
                yield Path(parent, name)
        folders[:] = [f for f in folders if not (f.startswith(".") or SHARD_FOLDER.fullmatch(f))]


def cancel_slurm_jobs(folder: Path) -> None:
    """Cancel the SLURM jobs that a run in ``folder`` submitted, and wait until they are gone.

    Raises
    ------
    ValueError
        If SLURM does not answer here, or the jobs don't end.
    """
    jobs = list_slurm_jobs(folder)
    if not jobs:
        return
    _say(f"cancelling {len(jobs)} SLURM jobs that the dead run had submitted")
    subprocess.run(["scancel", *jobs], check=True)
    deadline = time.monotonic() + CANCEL_S
    while jobs := list_slurm_jobs(folder):
        if time.monotonic() > deadline:
            raise ValueError(f"SLURM jobs {', '.join(jobs)} don't end; look at them with squeue, then resume again")
        time.sleep(1)


def list_slurm_jobs(folder: Path) -> list[str]:
    """Ids of the SLURM jobs of this user that work in ``folder`` and carry the comment of Snakemake's plugin."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i|%k|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise ValueError("the run was on SLURM, but there is no squeue here; resume on a login node") from error
    except subprocess.CalledProcessError as error:
        raise ValueError(f"squeue does not answer ({error.stderr.strip()}); resume when SLURM is back") from error
    jobs = (line.split("|", 2) for line in done.stdout.splitlines())
    return [job for job, comment, place in jobs if comment.startswith("rule_") and Path(place) == folder]


def _read_marker(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARKER)
    except (psutil.Error, OSError):
        return None


def _send(process: psutil.Process, signal_name: str) -> None:
    try:
        getattr(process, signal_name)()
    except psutil.NoSuchProcess:
        return


def _say(message: str) -> None:
    print(f"resume: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
