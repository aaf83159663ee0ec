"""The benchmark of scale reads what Snakemake measured, and calls a straight line straight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def write_benchmark(path: Path, seconds: str, mb: str, cpu_seconds: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{seconds}\t0:00:01\t{mb}\t1\t1\t1\t0\t0\t0\t{cpu_seconds}\n")


def test_jobs_on_shards_are_told_from_those_on_all_images(scale, tmp_path):
    write_benchmark(tmp_path / "labels" / "0" / "train-0000.tsv", "2.5", "100.5", "1.5")
    write_benchmark(tmp_path / "labels" / "1" / "train-0012.tsv", "3.5", "90", "2.0")
    write_benchmark(tmp_path / "weak_labels" / "train-0000.tsv", "0.3", "NA", "NA")
    write_benchmark(tmp_path / "weak_labels.tsv", "4.0", "80", "3.0")
    assert scale.read_benchmarks(tmp_path) == {
        "jobs_labels": 2,
        "seconds_labels": 6.0,
        "cpu_seconds_labels": 3.5,
        "mb_labels": 100.5,
        "jobs_weak_labels": 1,
        "seconds_weak_labels": 0.3,
        "cpu_seconds_weak_labels": 0.0,
        "mb_weak_labels": 0.0,
        "jobs_weak_labels_all": 1,
        "seconds_weak_labels_all": 4.0,
        "cpu_seconds_weak_labels_all": 3.0,
        "mb_weak_labels_all": 80.0,
    }


def test_growth_is_one_of_a_straight_line_and_two_of_a_square(scale):
    small = {"cpu_seconds_labels": 5.0, "cpu_seconds_report_all": 1.0, "cpu_seconds_index": 0.5, "mb_report_all": 200.0}
    large = {
        "cpu_seconds_labels": 50.0,
        "cpu_seconds_report_all": 100.0,
        "cpu_seconds_index": 90.0,
        "mb_report_all": 2e3,
    }
    small |= {"jobs_labels": 8, "jobs_report_all": 1, "jobs_index": 8}
    disk = {"files_per_image_labels": 3.0, "bytes_per_image_labels": 100.0}
    figures = scale.compare(small | disk, large | disk | {"bytes_per_image_report": 900.0}, 500, 5000)
    assert figures["growth_cpu_seconds_labels"] == pytest.approx(1)
    assert figures["largest_growth_seconds"] == figures["growth_cpu_seconds_report_all"] == pytest.approx(2)
    assert figures["largest_growth_mb"] == pytest.approx(1)
    assert "growth_cpu_seconds_index" not in figures
    assert figures["growth_files"] == pytest.approx(1)
    assert figures["growth_bytes"] == pytest.approx(2)


def test_a_plan_is_counted_and_a_failure_is_told(scale, tmp_path):
    settings = scale.SETTINGS | {"shard_size": 16}
    figures = scale.measure_plan(tmp_path, 64, settings, 1)
    shards = {"train": 4, "val": 1}
    labels, segmenter, predictions, evaluation = shards["train"], 1, sum(shards.values()), 2
    assert figures["jobs_per_round_64"] == labels + segmenter + predictions + evaluation
    assert figures["plan_mb_64"] > 50
    with pytest.raises(RuntimeError, match="no_such_setting"):
        scale.snakemake(tmp_path, settings | {"no_such_setting": 1}, 1, "--dry-run")


def test_repeated_shards_are_other_images_of_the_same_pixels(scale, tmp_path):
    from pseudogt.files.io import read_json, write_json

    results = tmp_path / "results" / "scale"
    for part in scale.REPEATED:
        (results / part).mkdir(parents=True)
    records = {"images": [{"image_id": "000007", "image": "/data/images/000007.png"}]}
    write_json(results / "index" / "train-0001.json", records, checksum=True)
    labels = results / "labels" / "0" / "train-0001"
    labels.mkdir()
    (labels / "000007.png").write_bytes(b"pixels")
    write_json(labels / "panoptic.json", {"annotations": [{"file_name": "000007.png"}]}, checksum=True)
    (tmp_path / "export_shards" / "train-0001").mkdir(parents=True)
    (tmp_path / "export_shards" / "train-0001" / "records.jsonl").write_text(json.dumps({"image_id": "000007"}))

    scale.repeat_shards(results, tmp_path / "many", 3)

    for k in range(3):
        shard = f"train-{3 + k:04d}"
        image = read_json(tmp_path / "many" / "index" / f"{shard}.json")["images"][0]
        assert image == {"image_id": f"0{k}000007", "image": "/data/images/000007.png"}
        folder = tmp_path / "many" / "labels" / "0" / shard
        assert read_json(folder / "panoptic.json")["annotations"] == [{"file_name": f"0{k}000007.png"}]
        assert (folder / f"0{k}000007.png").samefile(labels / "000007.png")
        part = (tmp_path / "many" / "export_shards" / shard / "records.jsonl").read_text()
        assert json.loads(part) == {"image_id": f"0{k}000007"}
