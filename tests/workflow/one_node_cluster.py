"""A SLURM of one node on this machine, for tests: started as root, ended by its own process ids.

Debian's packages are enough (`slurm-wlm`, `munge`). The configuration stands in /etc/slurm, because
Snakemake's plugin removes every SLURM variable, `SLURM_CONF` among them, inside a job. A machine
that has a SLURM already is left alone.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ETC = Path("/etc/slurm")
MUNGE_SOCKET = Path("/run/munge/munge.socket.2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
ReturnToService=1
KillWait=20
MinJobAge=600
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory_mb} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def find_obstacle() -> str | None:
    """Why a SLURM can't be started here; None if it can."""
    if os.getuid() != 0:
        return "starting a SLURM needs root"
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        return f"no {', '.join(missing)}; apt-get install slurm-wlm munge"
    if (ETC / "slurm.conf").exists() or MUNGE_SOCKET.exists():
        return "this machine has a SLURM of its own"
    return None


@contextmanager
def one_node_cluster() -> Iterator[str]:
    """Run a cluster for the time of the block; gives the node's name."""
    host = socket.gethostname().split(".")[0]
    made = not ETC.exists()
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            write_configuration(folder, host)
            start_daemons(folder, host)
            wait_for_node(host, folder)
            yield host
        finally:
            for daemon in ("slurmd", "slurmctld", "munge/munged"):
                end_daemon(folder / f"{daemon}.pid")
            for file in ("slurm.conf", "gres.conf", "cgroup.conf"):
                (ETC / file).unlink(missing_ok=True)
            if made:
                ETC.rmdir()


def write_configuration(folder: Path, host: str) -> None:
    """Write what the daemons and the commands read. A GPU is any device: jobs ask for it, nobody opens it."""
    for part in ("state", "spool", "munge"):
        (folder / part).mkdir()
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 9 // 10 // 2**20
    values = {
        "folder": folder,
        "host": host,
        "controller_port": find_free_port(),
        "node_port": find_free_port(),
        "cores": os.cpu_count(),
        "memory_mb": memory_mb,
    }
    ETC.mkdir(exist_ok=True)
    (ETC / "slurm.conf").write_text(SETTINGS.format(**values))
    (ETC / "gres.conf").write_text(f"NodeName={host} Name=gpu File=/dev/null\n")
    (ETC / "cgroup.conf").write_text("CgroupAutomount=no\n")


def start_daemons(folder: Path, host: str) -> None:
    """Start munge as its own user with a key of its own, then controller and node."""
    munge = folder / "munge"
    (munge / "munge.key").write_bytes(os.urandom(128))
    (munge / "munge.key").chmod(0o400)
    MUNGE_SOCKET.parent.mkdir(exist_ok=True)
    for path in (munge, munge / "munge.key", MUNGE_SOCKET.parent):
        shutil.chown(path, "munge", "munge")
    MUNGE_SOCKET.parent.chmod(0o755)
    files = {"key": "munge.key", "pid": "munged.pid", "log": "munged.log", "seed": "munged.seed"}
    options = [f"--{kind}-file={munge / file}" for kind, file in files.items()]
    as_munge = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"]
    subprocess.run([*as_munge, "munged", *options, f"--socket={MUNGE_SOCKET}"], check=True)
    with (folder / "daemons.txt").open("w") as output:
        subprocess.run(["slurmctld", "-c"], check=True, stdout=output, stderr=output)
        subprocess.run(["slurmd", "-N", host], check=True, stdout=output, stderr=output)


def wait_for_node(host: str, folder: Path, seconds: float = 30) -> None:
    """Wait until the node takes jobs."""
    deadline = time.monotonic() + seconds
    while (state := ask("sinfo", "--noheader", "--format=%T")) != "idle":
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
            raise RuntimeError(f"node {host} is {state!r}\n{logs}")
        time.sleep(0.2)


def ask(*command: str) -> str:
    """Output of a SLURM command; empty while the controller does not answer."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip()


def end_daemon(pid_file: Path) -> None:
    """End a daemon by its own process id, and wait for it."""
    if not pid_file.is_file():
        return
    pid = int(pid_file.read_text())
    for signal_number in [15] + [0] * 100:
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            return
        time.sleep(0.1)


def find_free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
