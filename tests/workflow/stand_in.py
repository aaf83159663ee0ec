"""Stands in for ``python`` in tests of the graph: the data stages run, the others write their files without work.

What Snakemake decides depends on which files there are and on their times, not on what is in them.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pseudogt.workflow.cli import run_stage

REAL = {"index", "ground_truth", "weak_labels", "annotations", "full_labels"}
TRAININGS = {"classifier", "segmenter", "reference", "mining"}
PROGRAM = f"""#!/bin/sh
exec {sys.executable} {Path(__file__).resolve()} "$@"
"""


def install(folder: Path) -> Path:
    """Write a ``python`` into ``folder``, to be the first of PATH."""
    folder.mkdir()
    for name in ("python", "torchrun"):
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(0o755)
    return folder


def main() -> None:
    words = sys.argv[sys.argv.index("-m") :]
    stage = words[1].rpartition(".")[2]
    if stage in REAL:
        os.execv(sys.executable, [sys.executable, *words])
    out = Path(words[words.index("--out") + 1])
    paths = [out if out.suffix else out / "file"]
    if stage in TRAININGS:
        paths = [out / "model.pt", out / "record.json"]
    if stage in ("predictions", "mined"):
        paths += [Path(words[words.index(name) + 1]) for name in ("--scores", "--detections") if name in words]
    run_stage(lambda _: write(paths, stage))


def write(paths: list[Path], stage: str) -> None:
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", 0)))
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{stage}\n")


if __name__ == "__main__":
    main()
