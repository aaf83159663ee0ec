"""What benchmarks/faults.py calls equal, and, slowly, that its quick run finds nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ZERO = (
    *("different_files", "orphans", "manual_steps"),
    *("full_disk_unnoticed", "full_disk_half_files", "full_disk_different_files"),
    *("read_only_unnoticed", "read_only_half_files", "read_only_different_files"),
    *("memory_different_files", "broken_unnoticed", "two_runs_different_files"),
)


def write(folder, **files):
    for name, text in files.items():
        path = folder / "results" / "tiny" / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_times_and_benchmarks_do_not_count(faults, tmp_path):
    a = write(tmp_path / "a", record_json='{"loss": 1, "seconds": 2}', labels__x="1", benchmarks__x="3")
    b = write(tmp_path / "b", record_json='{"loss": 1, "seconds": 9}', labels__x="1", benchmarks__x="4")
    assert faults.report_differences(faults.digest_results(a), faults.digest_results(b)) == []


def test_values_missing_extra_and_half_written_files_count(faults, tmp_path):
    a = write(tmp_path / "a", record_json='{"loss": 1}', labels__x="1", labels__y="1")
    b = write(tmp_path / "b", record_json='{"loss": 2}', labels__x="1", labels__z="1", **{"labels/.w.12.part": "1"})
    found = faults.report_differences(faults.digest_results(a), faults.digest_results(b))
    assert found == ["labels/.w.12.part", "labels/y", "labels/z", "record.json"]


def test_a_file_that_only_the_log_names_is_not_named(faults):
    output = "1 job failed: mined train-0000.\nmined train-0000 (log: logs/train-0000.h5.log):\nerror: out of memory\n"
    assert "train-0000.h5" not in faults.find_complaint(output)
    assert "train-0000.h5" in faults.find_complaint(output + "error: cams/train-0000.h5: not an HDF5 file\n")
    assert faults.find_complaint("killed") == ""


@pytest.mark.slow
def test_quick_run_finds_no_difference(tmp_path):
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "faults.py"), "--quick"]
    subprocess.run([*command, "--json", str(tmp_path / "figures.json")], check=True, cwd=tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert figures["kills"] >= 8
    assert not {name: figures[name] for name in ZERO if figures[name]}
