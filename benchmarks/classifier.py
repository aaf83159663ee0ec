"""The tag classifier on whole images against crops as single samples, for the same minutes of training.

    python benchmarks/classifier.py --run results/camvid [--seconds 120] [--quick] --json OUT

``--run`` is a finished run. Printed are, for each way, the mAP of the crop tags on val, and mIoU and
precision of the CAM labels on train against the ground truth, all else as in the settings of the
run. Steps are found by timing some first, so the two trainings differ by a few per cent in time.
``--quick`` takes one shard and five seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from measurement import print_table, write_figures

from pseudogt.files.io import read_json
from pseudogt.stages import cams, classifier, evaluation

PROBE_STEPS = 20


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="results/<name> of a run")
    parser.add_argument("--seconds", type=float, default=120, help="training time of each way")
    parser.add_argument("--quick", action="store_true", help="one shard, five seconds of training")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    seconds = 5 if arguments.quick else arguments.seconds
    shards = find_shards(arguments.run, "train")[: 1 if arguments.quick else None]
    settings = read_json(arguments.run / "classifier" / "record.json")["settings"]
    figures: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        for samples in ("image", "crop"):
            own = {**settings, "samples": samples, **(crop_window(settings) if samples == "crop" else {})}
            out = Path(folder) / samples
            for key, value in measure(arguments.run, shards, own, seconds, out).items():
                figures[f"{samples}_{key}"] = value
    print_table(figures)
    write_figures(arguments.json, figures)


def find_shards(run: Path, split: str) -> list[str]:
    """Names of the shards of a split."""
    found = sorted(path.stem for path in (run / "weak_labels").glob(f"{split}-*.json"))
    if not found:
        raise SystemExit(f"{run}: no weak labels of {split}; name a finished run")
    return found


def crop_window(settings: dict) -> dict:
    """A crop is 0.39 x 0.24 of the image: smaller windows, and as many more of them in a batch of equal pixels."""
    height = max(32, round(settings["crop_height_px"] * 0.4 / 32 + 0.5) * 32)
    width = max(32, round(settings["crop_width_px"] * 0.25 / 32 + 0.5) * 32)
    share = settings["crop_height_px"] * settings["crop_width_px"] / (height * width)
    return {"crop_height_px": height, "crop_width_px": width, "batch_size": round(settings["batch_size"] * share)}


def measure(run: Path, shards: list[str], settings: dict, seconds: float, out: Path) -> dict[str, float | None]:
    """Train for about ``seconds`` and score."""
    probe = train(run, shards, {**settings, "steps": PROBE_STEPS}, out / "probe")
    steps = max(PROBE_STEPS, round(PROBE_STEPS * seconds / probe["seconds"]))
    record = train(run, shards, {**settings, "steps": steps}, out / "classifier")
    view = "image" if settings["samples"] == "image" else "crops"
    for shard in shards:
        files = ["--shard", run / "index" / f"{shard}.json", "--weak-labels", run / "weak_labels" / f"{shard}.json"]
        files += ["--model", out / "classifier" / "model.pt", "--out", out / "cams" / f"{shard}.h5"]
        cams.main([*map(str, files), "--settings", json.dumps({"view": view})])
    scores = out / "scores.json"
    files = ["--ground-truth", *(run / "ground_truth" / s for s in shards)]
    files += ["--cams", *(out / "cams" / f"{s}.h5" for s in shards), "--out", scores]
    evaluation.main(["score", "--subject", "cams", *map(str, files)])
    cam = read_json(scores)
    return {
        "seconds": record["seconds"],
        "steps": steps,
        "tag_map_val": record["val"]["map"] if record["val"] else None,
        "cam_miou_train": cam["miou"],
        "cam_precision_train": cam["precision"],
    }


def train(run: Path, shards: list[str], settings: dict, out: Path) -> dict:
    """Train the classifier and return its record."""
    val = find_shards(run, "val")
    lists = {
        "--shards": [run / "index" / f"{s}.json" for s in shards],
        "--weak-labels": [run / "weak_labels" / f"{s}.json" for s in shards],
        "--val-shards": [run / "index" / f"{s}.json" for s in val],
        "--val-weak-labels": [run / "weak_labels" / f"{s}.json" for s in val],
    }
    files = [text for option, paths in lists.items() for text in (option, *map(str, paths))]
    scratch = out.parent / "scratch"
    classifier.main([*files, "--out", str(out), "--scratch", str(scratch), "--settings", json.dumps(settings)])
    return read_json(out / "record.json")


if __name__ == "__main__":
    main()
