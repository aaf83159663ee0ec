"""Locks that end with the processes that hold them: one per working folder, one per name of a run, one per job.

All are ``flock`` locks, which the kernel releases when their holder ends for any reason. On a network file
system they work across machines if the mount supports them. Neither this module nor ``snakemake --unlock``
removes their files: a lock on a removed file would exclude no other process.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import sys
import time
from pathlib import Path

import psutil

RUN_LOCK = Path(".snakemake") / "pseudogt.lock"
START_LOCK = Path(".snakemake") / "pseudogt-start.lock"
NAME_LOCKS = Path(".snakemake") / "pseudogt-locks"
"""Folder with a folder for each name of a run, which holds the locks below."""

NAME_LOCK = "run.lock"
"""Held by the Snakemake that works under the name."""

JOBS_LOCK = "jobs.lock"
"""Shared by all processes of jobs that were started under the name."""

RUN_VARIABLE = "PSEUDOGT_RUN"
"""Environment variable of a job: the name of its run."""

ATTEMPT_VARIABLE = "PSEUDOGT_ATTEMPT"
"""Environment variable of a job that differs between two attempts at it, and is the same in all its processes."""

WAIT_S = 0.5
"""Seconds between two looks at the lock of a job that another process holds."""

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def open_run_lock(folder: Path | str) -> int:
    """Open the lock file of a working folder; returns a descriptor that child processes don't inherit.

    Raises
    ------
    ValueError
        If the folder can't be written.
    """
    return _open_lock(Path(folder) / RUN_LOCK)


def wait_to_start(folder: Path | str) -> int:
    """Wait until no other run of this folder is between reading its files and locking them.

    Snakemake looks for others' locks and writes its own in two steps; of two runs that start
    together, both may see none.

    Returns
    -------
    int
        Descriptor to close once Snakemake has its locks.
    """
    lock = _open_lock(Path(folder) / START_LOCK)
    if not _try_lock(lock, fcntl.LOCK_EX):
        print("another Snakemake is starting in this folder; waiting for it", file=sys.stderr, flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def share_run_lock(descriptor: int) -> bool:
    """Take or keep the lock beside other live runs; False if a resume has the folder for itself."""
    return _try_lock(descriptor, fcntl.LOCK_SH)


def claim_run_lock(descriptor: int) -> bool:
    """Take the lock alone; False if any run is alive."""
    return _try_lock(descriptor, fcntl.LOCK_EX)


def claim_name(folder: Path, name: str) -> None:
    """Hold the lock of a run's name until this process ends.

    Snakemake's own lock is gone after ``--unlock``, while the run that it protected may be alive.

    Raises
    ------
    ValueError
        If another Snakemake works under this name in the folder, or jobs that one started have not ended.
    """
    place = folder / NAME_LOCKS / name
    name_lock, jobs_lock = (_open_lock(place / file) for file in (NAME_LOCK, JOBS_LOCK))
    problem = ""
    try:
        if not _try_lock(name_lock, fcntl.LOCK_EX):
            problem = (
                f"a run named {name!r} is at work here {_name_holders(place / NAME_LOCK)}; wait until it has ended, "
                "interrupt it (Ctrl-C, or kill -INT), or give this one another name (--config name=...)"
            )
        elif not _try_lock(jobs_lock, fcntl.LOCK_EX):
            problem = (
                f"jobs of an earlier run named {name!r} are still at work {_name_holders(place / JOBS_LOCK)}; wait "
                "until they have ended, or end them and resume with `make resume`"
            )
    except OSError as error:
        _pass_over_missing_locks(error)
    os.close(jobs_lock)
    if problem:
        os.close(name_lock)
        raise ValueError(f"{folder}: {problem}")


def wait_for_jobs(folder: Path) -> None:
    """Wait until no process is left of any job that was started in a working folder."""
    for path in sorted((folder / NAME_LOCKS).glob(f"*/{JOBS_LOCK}")):
        jobs = _open_lock(path)
        try:
            if not _try_lock(jobs, fcntl.LOCK_EX):
                whose = f"{path.parent.name!r} {_name_holders(path)}"
                print(f"waiting for jobs of the run {whose}", file=sys.stderr, flush=True)
                fcntl.flock(jobs, fcntl.LOCK_EX)
        except OSError as error:
            _pass_over_missing_locks(error)
        os.close(jobs)


def hold_job_lock() -> None:
    """Wait until no process of another attempt works on this job, and keep others from it until this process ends.

    It matters when a node is lost to the scheduler but not dead, or when a killed Snakemake left a job running: the
    second attempt waits for the first. The job is known by the path of its log, to which the workflow redirects
    standard error. All processes of one attempt share the lock; those that they start inherit it. Nothing happens in
    a process that no run started.
    """
    name, log = os.environ.get(RUN_VARIABLE), find_log()
    if name is None or log is None:
        return
    place = Path(NAME_LOCKS) / name
    job = hashlib.sha256(os.path.relpath(log).encode()).hexdigest()[:16]
    attempt = os.environ.get(ATTEMPT_VARIABLE) or f"process {os.getpid()}"
    try:
        jobs = _open_lock(place / JOBS_LOCK)
        fcntl.flock(jobs, fcntl.LOCK_SH)
        lock = _open_lock(place / f"{job}.lock")
        if not _share_with_attempt(lock, attempt):
            print("another process still works on this job; waiting for it to end", file=sys.stderr, flush=True)
            # To wait for the lock alone would be to wait for processes of the same attempt, too.
            while not _share_with_attempt(lock, attempt):
                time.sleep(WAIT_S)
    except OSError as error:
        _pass_over_missing_locks(error)
        return
    for descriptor in (jobs, lock):
        os.set_inheritable(descriptor, True)


def find_log() -> str | None:
    """Path of the file that standard error goes to, even if it was removed since; None if that is not a file."""
    stream = sys.__stderr__.fileno() if sys.__stderr__ else -1
    if stream < 0 or not stat.S_ISREG(os.fstat(stream).st_mode):
        return None
    try:
        return os.readlink(f"/proc/self/fd/{stream}").removesuffix(" (deleted)")
    except OSError:
        print("this system has no /proc: a job left over by an earlier run is not noticed", file=sys.stderr)
        return None


def find_lock_holders(path: Path) -> list[psutil.Process]:
    """Processes of this machine, apart from this one, that have a lock file open."""
    lock, found = str(path.resolve()), []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(file.path == lock for file in process.open_files()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _share_with_attempt(lock: int, attempt: str) -> bool:
    """Share a job's lock with the processes of the same attempt; False if another one holds it.

    The file names the attempt that holds the lock. Who writes there has the lock alone, for a moment; when it is then
    shared, another process may have been faster, which the second look at the file notices.
    """
    if _try_lock(lock, fcntl.LOCK_EX):
        os.truncate(lock, 0)
        os.pwrite(lock, attempt.encode(), 0)
    if _read_attempt(lock) != attempt:
        return False
    fcntl.flock(lock, fcntl.LOCK_SH)
    if _read_attempt(lock) == attempt:
        return True
    fcntl.flock(lock, fcntl.LOCK_UN)
    return False


def _read_attempt(lock: int) -> str:
    return os.pread(lock, 4096, 0).decode(errors="replace")


def _name_holders(path: Path) -> str:
    holders = ", ".join(f"process {process.pid}" for process in find_lock_holders(path))
    return f"({holders or 'on another machine'})"


def _pass_over_missing_locks(error: OSError) -> None:
    if error.errno not in NO_LOCKS:
        raise error
    print("this file system has no locks: a job left over by a lost node is not noticed", file=sys.stderr)


def _open_lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; a run needs a working folder that it can write to") from error


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
