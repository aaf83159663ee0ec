"""Locks that end with the process that holds them: one per working folder, one per job.

All are ``flock`` locks, which the kernel releases however their holder dies. On a network file
system they work across machines where the mount supports them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from pathlib import Path

RUN_LOCK = Path(".snakemake") / "pseudogt.lock"
START_LOCK = Path(".snakemake") / "pseudogt-start.lock"
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


def wait_for_same_job() -> None:
    """Wait until no other process works on this job.

    The lock is on the job's log file, to which the workflow redirects standard error, so that the
    processes a job starts share its lock. It matters when a node is lost to the scheduler but not
    dead, or when a killed Snakemake left a job running: the second one waits for the first.
    Nothing happens where standard error is no file.
    """
    log = sys.__stderr__.fileno() if sys.__stderr__ else -1
    if log < 0 or not stat.S_ISREG(os.fstat(log).st_mode):
        return
    try:
        if not _try_lock(log, fcntl.LOCK_EX):
            print("another process still works on this job; waiting for it to end", file=sys.stderr, flush=True)
            fcntl.flock(log, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        print("this file system has no locks: a job left over by a lost node is not noticed", file=sys.stderr)


def _open_lock(path: Path) -> int:
    try:
        path.parent.mkdir(exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; a run needs a working folder that it can write to") from error


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
