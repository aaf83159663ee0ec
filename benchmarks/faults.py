"""Compare runs that were killed, starved or fed broken files with an undisturbed run.

Kills the tiny chain of the tests at random moments in five ways (SIGKILL to Snakemake, to a job, to
the whole group; SIGTERM; SIGINT), continues it with `python -m pseudogt.workflow.resume`, several times in a
chain, and compares every label, score, model, metric and exported file with the uninterrupted run;
times, dates and logs apart. Then, one by one: a full disk and a read-only folder in each stage, a
job killed for memory, a broken file of every kind, two runs at once in one folder and in two.

    python benchmarks/faults.py [--quick] [--only PART ...] [--kills N] [--seed N] --json OUT

``--quick`` kills 8 times and tries one stage of each part. Full disks, read-only folders and memory
limits need root; without it their figures are null.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from measurement import print_table, write_figures
from workflow_runs import SNAKEMAKE, TINY, make_environment

from pseudogt.workflow.resume import RUN_RECORD, find_left_processes, find_part_files

RESULTS = Path("results") / "tiny"
TARGETS = ("all", "export", "proposals")
WAYS = ("kill_snakemake", "kill_job", "kill_group", "terminate", "interrupt")
KILLS_PER_CHAIN = 6
# What holds times and dates, or nothing that anyone reads after the run.
WITHOUT = {"benchmarks", "scratch"}
TIMES = {"seconds", "images_per_second", "created", "date"}
PARTS = ("kills", "full_disk", "read_only", "memory", "broken_files", "two_runs")

STAGES = {
    "streets": "streets",
    "index": "index/train-0000.json",
    "ground_truth": "ground_truth/train-0000",
    "weak_labels": "weak_labels/train-0000.json",
    "classifier": "classifier/model.pt",
    "cams": "cams/train-0000.h5",
    "proposals": "proposals/train-0000.h5",
    "box_masks": "box_masks/train-0000",
    "labels": "labels/1/train-0000",
    "segmenter": "segmenter/1/model.pt",
    "predictions": "predictions/1/train-0000",
    "reference": "reference/model.pt",
    "reference_predictions": "reference_predictions/val-0000",
    "evaluation": "evaluation/labels-1.json",
    "summary": "evaluation/summary.json",
    "report": "report",
    "export": "export/labels-2/coco_panoptic",
}
"""One output of each stage."""

READERS = {
    "index/train-0000.json": "labels/1/train-0000",
    "weak_labels/train-0000.json": "labels/1/train-0000",
    "ground_truth/train-0000/panoptic.json": "evaluation/labels-1.json",
    "ground_truth/train-0000/*.png": "evaluation/labels-1.json",
    "streets/leftImg8bit/train/*/*.png": "box_masks/train-0000",
    "classifier/model.pt": "cams/train-0000.h5",
    "cams/train-0000.h5": "labels/0/train-0000",
    "box_masks/train-0000/*.png": "labels/1/train-0000",
    "labels/1/train-0000/panoptic.json": "evaluation/labels-1.json",
    "labels/1/train-0000/*.png": "evaluation/labels-1.json",
    "segmenter/0/model.pt": "predictions/0/val-0000",
    "segmenter/0/record.json": "segmenter/1/model.pt",
    "predictions/0/train-0000.h5": "labels/1/train-0000",
    "predictions/0/val-0000/*.png": "evaluation/model-0.json",
    "evaluation/labels-1.json": "evaluation/summary.json",
}
"""A file of each kind, and an output of a stage that reads it."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--kills", type=int, help="at least this many; 60, with --quick 8")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work and keep the whole run (default: a temporary one)")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    figures: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = (arguments.folder or Path(temporary)).resolve()
        whole, seconds = run_whole(place / "whole")
        figures["seconds_whole"] = seconds
        for part in arguments.only:
            figures |= globals()[f"try_{part}"](place, whole, arguments, seconds)
    print_table(figures)
    write_figures(arguments.json, figures)


def run_whole(folder: Path) -> tuple[Path, float]:
    """Run the chain and let it be; a run that is there is taken."""
    path = folder / "seconds.txt"
    if not path.is_file():
        start = time.monotonic()
        done = snakemake(folder, *TARGETS)
        if done.returncode:
            raise RuntimeError(f"the run that nobody disturbs failed\n{done.stdout}\n{done.stderr}")
        path.write_text(str(time.monotonic() - start))
    return folder, float(path.read_text())


def try_kills(place: Path, whole: Path, arguments: argparse.Namespace, seconds: float) -> dict[str, float | None]:
    """Kill and resume until there were enough kills; each chain is killed several times before it may end."""
    rng = random.Random(arguments.seed)
    wanted = arguments.kills or (8 if arguments.quick else 60)
    expected = digest_results(whole)
    ways = itertools.cycle(WAYS)
    counts = {f"kills_{way}": 0 for way in WAYS}
    figures = {"kills": 0, "different_files": 0, "orphans": 0, "manual_steps": 0, "chains": 0, "resume_seconds": 0.0}
    while figures["kills"] < wanted:
        folder = place / f"killed-{figures['chains']}"
        process = start(folder, [*command(folder), *TARGETS])
        for _ in range(KILLS_PER_CHAIN):
            if not survive(process, folder, rng.uniform(0, 2 * seconds / KILLS_PER_CHAIN)):
                break
            way = next(ways)
            end(process, folder, way, rng)
            figures["kills"] += 1
            counts[f"kills_{way}"] += 1
            process = start(folder, resume_command(folder))
        begin = time.monotonic()
        while process.wait():
            # A job that was killed makes its run fail; any other failure is one that a person would have to look at.
            figures["manual_steps"] += 1
            print((folder / "output.txt").read_text()[-3000:], file=sys.stderr)
            process = start(folder, resume_command(folder))
        figures["resume_seconds"] = max(figures["resume_seconds"], time.monotonic() - begin)
        figures["orphans"] += len(find_left_processes(folder))
        figures["different_files"] += len(report_differences(expected, digest_results(folder)))
        figures["chains"] += 1
        shutil.rmtree(folder)
    return figures | counts


def survive(process: subprocess.Popen, folder: Path, seconds: float) -> bool:
    """Let a run work for some time after it has read its configuration; False if it ends by itself."""
    before = (folder / RUN_RECORD).stat().st_mtime_ns if (folder / RUN_RECORD).is_file() else 0
    while process.poll() is None:
        if (folder / RUN_RECORD).is_file() and (folder / RUN_RECORD).stat().st_mtime_ns != before:
            break
        time.sleep(0.02)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def end(process: subprocess.Popen, folder: Path, way: str, rng: random.Random) -> None:
    """Kill a run in one of the ways, and wait until its Snakemake is gone."""
    jobs: list[psutil.Process] = []
    while way == "kill_job" and not jobs and process.poll() is None:
        jobs = [p for p in find_left_processes(folder) if is_stage(p)]
        time.sleep(0.02)
    if way == "kill_job" and jobs:
        rng.choice(jobs).kill()
    elif way == "kill_snakemake":
        process.kill()
    elif way == "kill_group":
        os.killpg(process.pid, signal.SIGKILL)
    elif way == "terminate":
        process.terminate()
    elif way == "interrupt":
        os.killpg(process.pid, signal.SIGINT)
    process.wait(1200)


def is_stage(process: psutil.Process) -> bool:
    """Whether a process is a stage, not the shell around it."""
    try:
        return any(part.startswith("pseudogt.stages.") for part in process.cmdline()[:4])
    except psutil.Error:
        return False


def try_full_disk(place: Path, whole: Path, arguments: argparse.Namespace, seconds: float) -> dict[str, float | None]:
    """Each stage writes into a file system without a free byte; then there is space, and it is resumed."""
    return try_folders("full_disk", whole, arguments, fill_disk, r"No space left|could not be written|can't write")


def try_read_only(place: Path, whole: Path, arguments: argparse.Namespace, seconds: float) -> dict[str, float | None]:
    """Each stage writes into a folder that is read-only; then it is not, and it is resumed."""
    pattern = r"Read-only|[Ww]rite-protected|could not be written"
    return try_folders("read_only", whole, arguments, make_read_only, pattern)


def try_folders(part, whole, arguments, spoil, pattern) -> dict[str, float | None]:
    """Stages that did not fail, failed without saying why, left a half file, or were not right after a resume."""
    names = ("stages", "unnoticed", "unclear", "half_files", "different_files")
    if os.getuid() != 0:
        return dict.fromkeys(f"{part}_{name}" for name in names)
    counts = dict.fromkeys(names, 0)
    stages = ("labels",) if arguments.quick else STAGES
    for stage in stages:
        target = whole / RESULTS / STAGES[stage]
        expected = digest_results(target)
        counts["stages"] += 1
        with spoil(target):
            done = snakemake(whole, str(RESULTS / STAGES[stage]))
            text = done.stdout + done.stderr
            counts["unnoticed"] += done.returncode == 0
            if not re.search(pattern, text):
                counts["unclear"] += 1
                print(f"{part}, {stage}:\n{text[-2000:]}", file=sys.stderr)
            counts["half_files"] += target.exists()
        # Snakemake refuses some of these runs before they start, and then an earlier one would be continued.
        done = run(whole, [*resume_command(whole), "--", *command(whole)[3:], str(RESULTS / STAGES[stage])])
        differences = report_differences(expected, digest_results(target))
        counts["different_files"] += len(differences) + (done.returncode != 0)
    return {f"{part}_{name}": count for name, count in counts.items()}


@contextmanager
def fill_disk(target: Path) -> Iterator[None]:
    """A file system without free space holds the folder of ``target`` for some time."""
    # A set is hard-linked from its parts, which are on the same file system.
    parent = target.parents[2] if target.parents[1].name == "export" else target.parent
    aside = parent.with_name(f"{parent.name}.aside")
    parent.rename(aside)
    parent.mkdir()
    size = sum(4096 + f.stat().st_size for f in aside.rglob("*") if f.is_file()) + 2**20
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", parent], check=True)
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", parent], check=True)
        remove(target)
        fill(parent / "ballast")
        yield
    finally:
        subprocess.run(["umount", parent], check=True)
        parent.rmdir()
        aside.rename(parent)
        remove(target)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


@contextmanager
def make_read_only(target: Path) -> Iterator[None]:
    """The folder of ``target`` can't be written for some time; ``target`` is gone."""
    remove(target)
    parent = target.parent
    # Snakemake removes folders that are empty after a failed job, which it can't where something is mounted.
    stone = parent / "stone"
    stone.touch()
    subprocess.run(["mount", "--bind", parent, parent], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", parent], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", parent], check=True)
        stone.unlink()


def try_memory(place: Path, whole: Path, arguments: argparse.Namespace, seconds: float) -> dict[str, float | None]:
    """The kernel kills a training that takes more memory than its control group has."""
    names = ("memory_kills", "memory_different_files")
    group = Path("/sys/fs/cgroup/memory") / f"faults-{os.getpid()}"
    if os.getuid() != 0 or not os.access(group.parent, os.W_OK):
        return dict.fromkeys(names)
    target = whole / RESULTS / STAGES["segmenter"]
    expected = digest_results(target)
    remove(target)
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(300 * 2**20))
        join = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
        done = run(whole, [*join, *command(whole), str(RESULTS / STAGES["segmenter"])])
        killed = re.search(r"oom_kill (\d+)", (group / "memory.oom_control").read_text())
    finally:
        group.rmdir()
    again = run(whole, resume_command(whole))
    differences = report_differences(expected, digest_results(target))
    return {
        "memory_kills": float(killed[1]) if killed and done.returncode else 0.0,
        "memory_different_files": float(len(differences) + again.returncode),
    }


def try_broken_files(
    place: Path, whole: Path, arguments: argparse.Namespace, seconds: float
) -> dict[str, float | None]:
    """Cut, empty and change a file of each kind; a stage that reads it must name it, or not be touched by it."""
    counts = dict.fromkeys(("files", "named", "rebuilt", "harmless", "unclear", "unnoticed"), 0)
    rng = random.Random(arguments.seed)
    readers = dict(list(READERS.items())[3:4]) if arguments.quick else READERS
    for pattern, reader in readers.items():
        path = sorted((whole / RESULTS).glob(pattern))[0]
        for damage in (cut_file, empty_file, change_byte):
            outcome = read_broken(whole, path, reader, damage, rng)
            counts["files"] += 1
            counts[outcome] += 1
            if outcome in ("unclear", "unnoticed"):
                print(f"{damage.__name__} {path.relative_to(whole)}: {outcome}", file=sys.stderr)
    return {f"broken_{name}": count for name, count in counts.items()}


def find_complaint(output: str) -> str:
    """What a failed run says is wrong: from the first message of a stage on; what comes before names jobs and logs."""
    return output.partition("error: ")[2]


def read_broken(whole: Path, path: Path, reader: str, damage, rng: random.Random) -> str:
    """Break a file, remake what is read from it, and restore all results; returns the outcome."""
    target = whole / RESULTS / reader
    expected = digest_results(target)
    with keep(whole / RESULTS):
        times = path.stat()
        good = path.read_bytes()
        damage(path, rng)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        remove(target)
        done = snakemake(whole, str(RESULTS / reader))
        if done.returncode:
            return "named" if path.name in find_complaint(done.stdout + done.stderr) else "unclear"
        if path.read_bytes() == good:
            return "rebuilt"
        return "harmless" if digest_results(target) == expected else "unnoticed"


@contextmanager
def keep(folder: Path) -> Iterator[None]:
    """Whatever happens to a folder, put it back with its times: a job that fails removes all its outputs."""
    aside = folder.with_name(f"{folder.name}.aside")
    subprocess.run(["cp", "-a", folder, aside], check=True)
    try:
        yield
    finally:
        remove(folder)
        aside.rename(folder)


def cut_file(path: Path, rng: random.Random) -> None:
    """Lose the second half, as after a crash of the machine."""
    os.truncate(path, path.stat().st_size // 2)


def empty_file(path: Path, rng: random.Random) -> None:
    """Lose everything but the name."""
    os.truncate(path, 0)


def change_byte(path: Path, rng: random.Random) -> None:
    """One wrong byte somewhere."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    data[place] = (data[place] + 1 + rng.randrange(255)) % 256
    path.write_bytes(data)


def try_two_runs(place: Path, whole: Path, arguments: argparse.Namespace, seconds: float) -> dict[str, float | None]:
    """Two runs at once: in one folder one of them is refused, in two both succeed."""
    expected = digest_results(whole)
    figures = {"two_runs_refused": 0.0, "two_runs_different_files": 0.0}
    for folders in ([place / "one"] * 2, [place / "left", place / "right"]):
        processes = [start(folder, [*command(folder), *TARGETS], f"output-{i}.txt") for i, folder in enumerate(folders)]
        codes = [process.wait() for process in processes]
        if folders[0] == folders[1]:
            texts = [(folders[0] / f"output-{i}.txt").read_text() for i in range(2)]
            busy = ["Directory cannot be locked" in text.replace("\n", " ") for text in texts]
            figures["two_runs_refused"] = float(sum(b and c != 0 for b, c in zip(busy, codes, strict=True)))
        for folder in set(folders):
            figures["two_runs_different_files"] += len(report_differences(expected, digest_results(folder)))
            shutil.rmtree(folder)
    return figures


def command(folder: Path) -> list[str]:
    """Snakemake on the tiny chain in a folder, without targets."""
    return [*SNAKEMAKE, "--directory", str(folder), "--configfile", str(TINY), "--cores", "2", "--"]


def resume_command(folder: Path) -> list[str]:
    """The command behind `make resume`."""
    return [sys.executable, "-m", "pseudogt.workflow.resume", "--directory", str(folder)]


def start(folder: Path, words: list[str], output: str = "output.txt") -> subprocess.Popen:
    """Start a command in a group of its own; what it says is in ``folder / output``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / output).open("w") as stream:
        return subprocess.Popen(
            words,
            env=make_environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            # A shell's background job, such as this may be, passes Ctrl-C over, and so would what it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def run(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.run(words, env=make_environment(), capture_output=True, text=True, check=False)


def snakemake(folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """Run targets of the tiny chain to their end."""
    return run(folder, [*command(folder), *targets])


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def digest_results(place: Path) -> dict[str, str]:
    """Checksums of a file, or of all files below a folder, by name; times and dates apart."""
    root = place / RESULTS if (place / RESULTS).is_dir() else place
    files = [root] if root.is_file() else sorted(f for f in root.rglob("*") if f.is_file())
    parts = {str(p.relative_to(root)): "half-written" for p in find_part_files(root)}
    kept = [f for f in files if not WITHOUT & set(f.relative_to(root).parts)]
    return parts | {str(f.relative_to(root)): hashlib.sha256(read_timeless(f)).hexdigest() for f in kept}


def read_timeless(path: Path) -> bytes:
    """Bytes of a file, without the times in JSON documents and pages."""
    data = path.read_bytes()
    if path.suffix == ".json":
        return json.dumps(drop_times(json.loads(data))).encode()
    if path.suffix == ".html":
        return re.sub(rb"(?s)<h2>Time</h2>.*?</table>", b"", data)
    return data


def drop_times(value: Any) -> Any:
    """A JSON value without its times."""
    if isinstance(value, dict):
        return {k: drop_times(v) for k, v in value.items() if k not in TIMES}
    return [drop_times(v) for v in value] if isinstance(value, list) else value


def report_differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names of files that are missing, extra or different; printed, too."""
    names = sorted(n for n in expected | found if expected.get(n) != found.get(n))
    for name in names:
        state = "missing" if name not in found else "extra" if name not in expected else "different"
        print(f"{name}: {state}", file=sys.stderr)
    return names


if __name__ == "__main__":
    main()
