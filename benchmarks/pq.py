"""Scores: ours against cityscapesScripts, torchmetrics and hotcoco on the same pairs of maps.

    python benchmarks/pq.py [--data DIR] [--quick] --json OUT

The first three start from decoded arrays in one thread: what cityscapesScripts would read and decode is
handed to it. Without ``--data`` the maps are generated, 1024x2048 with about 60 segments. ``--data``
is a folder with ``instances/*.png`` (16 bit, ``class * 1000 + k``, a bare class for stuff and
groups); the prediction is the ground truth, shifted, with some segments removed or renamed.

    pq_speedup                          time of the faster peer over ours
    pq_difference_to_cityscapesscripts  how far the PQ of both is apart
    pq_files_over_decoding              time of ours from PNG files over that of decoding them with OpenCV alone
    pq_over_hotcoco                     time of ours from COCO panoptic files over that of hotcoco, PQ alone
    pq_difference_to_hotcoco            how far the PQ of both is apart
    ap_over_hotcoco                     time of our mask AP over that of hotcoco, from run-length masks in memory
    ap_difference_to_hotcoco            how far the AP of both is apart
    ap_pycocotools_over_ours            time of pycocotools over ours
    pq_cost_growth                      cost per image of the evaluation stage, 500 images over 50
    pq_memory_growth_mb                 its peak memory, 500 images less 50; null where /proc does not tell

For the last two the few maps are repeated by hard links, at half their size if they were generated,
in folders of 64 images. ``--quick`` takes one map, and 50 images over 10.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
import torch
from measurement import REPOSITORY, measure_in_turns, print_table, write_figures
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torchmetrics.detection import PanopticQuality

# hotcoco takes all cores otherwise.
os.environ["RAYON_NUM_THREADS"] = "1"
# Cityscapes' scripts print where they look for data when no folder is set.
os.environ.setdefault("CITYSCAPES_DATASET", os.curdir)

import cityscapesscripts.evaluation.evalPanopticSemanticLabeling as cityscapes  # noqa: N813
import hotcoco
from hotcoco.panoptic import PanopticEval
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.files.images import read_png
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import PANOPTIC_JSON, LabelFolder, describe_segments, write_labels
from pseudogt.metrics.average_precision import ImageThings, compute_average_precision, describe_things
from pseudogt.metrics.panoptic_counts import Counts, count_image
from pseudogt.metrics.panoptic_quality import summarise

FAST_REPEATS = 15  # of what takes milliseconds
SHARD = 64
TIMED_EVALUATION = """
import sys, time
from pathlib import Path
from pseudogt.stages.evaluation import main
start = time.perf_counter()
main(sys.argv[1:])
seconds, status = time.perf_counter() - start, Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
print(seconds, *[line.split()[1] for line in lines if line.startswith("VmHWM")])
"""
Pair = tuple[NDArray[np.int32], NDArray[np.int32]]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with instances/*.png")
    parser.add_argument("--quick", action="store_true", help="one map, fewer images")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    figures = measure_pq(find_maps(arguments.data), quick=arguments.quick)
    print_table(figures)
    write_figures(arguments.json, figures)


def find_maps(data: Path | None) -> list[Path]:
    """Instance maps of a folder; none without a folder, which means made ones."""
    paths = sorted((data / "instances").glob("*.png")) if data else []
    if data and not paths:
        raise SystemExit(f"{data / 'instances'}: no PNG files")
    return paths


def measure_pq(maps: Sequence[Path], *, quick: bool) -> dict[str, float | None]:
    """All figures, on the first of the instance maps or on made ones; one thread from here on."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    count = 1 if quick else 3
    truths = [read_map(path) for path in maps[:count]] or [make_map(seed) for seed in range(count)]
    pairs, classes = disturb_all(truths)
    figures = compare(pairs, classes) | compare_ap(pairs, classes)
    smaller = truths if maps else [truth[::2, ::2].copy() for truth in truths]
    return figures | measure_growth(*disturb_all(smaller), counts=(10, 50) if quick else (50, 500))


def make_map(seed: int) -> NDArray[np.int32]:
    """Voronoi cells of 8 stuff and 8 thing classes, some void, some crowds ``(1024, 2048) int32``."""
    rng = np.random.default_rng(seed)
    points = rng.random((60, 2)) * (1024, 2048)
    category_id = rng.integers(0, 17, len(points))
    k = np.where((category_id > 8) & (rng.random(len(points)) < 0.9), np.arange(len(points)) + 1, 0)
    ids = np.where(category_id == 0, VOID, category_id * INSTANCE_DIVISOR + k).astype(np.int32)
    pixels = np.stack(np.mgrid[:1024, :2048], axis=-1) + rng.normal(0, 1.5, (1024, 2048, 2))
    return ids[cKDTree(points).query(pixels)[1]]


def read_map(path: Path) -> NDArray[np.int32]:
    """Panoptic ids ``(H, W) int32`` of an instance map; class 0 becomes category 1, and so on."""
    ids = read_png(path).astype(np.int32)
    has_instance = ids >= INSTANCE_DIVISOR
    category_id = np.where(has_instance, ids // INSTANCE_DIVISOR, ids) + 1
    return (category_id * INSTANCE_DIVISOR + np.where(has_instance, ids % INSTANCE_DIVISOR + 1, 0)).astype(np.int32)


def find_classes(truths: Sequence[NDArray[np.int32]]) -> ClassTable:
    """Make a class table of the categories that occur; things are those with instances."""
    ids = np.unique(np.concatenate([np.unique(truth) for truth in truths]))
    ids = ids[ids != VOID]
    categories = tuple(np.unique(ids // INSTANCE_DIVISOR).tolist())
    things = set((ids[ids % INSTANCE_DIVISOR > 0] // INSTANCE_DIVISOR).tolist())
    return ClassTable(
        tuple(f"class {c}" for c in categories),
        categories,
        tuple(c in things for c in categories),
        ((0, 0, 0),) * len(categories),
    )


def disturb(truth: NDArray[np.int32], seed: int) -> NDArray[np.int32]:
    """Make a prediction: shifted by a few pixels, a tenth of the segments void, a tenth another segment."""
    rng = np.random.default_rng(seed)
    ids, position = np.unique(truth, return_inverse=True)
    changed = ids.copy()
    changed[rng.random(len(ids)) < 0.1] = VOID
    renamed = rng.random(len(ids)) < 0.1
    changed[renamed] = rng.choice(ids, renamed.sum())
    return np.roll(changed[position.reshape(truth.shape)], rng.integers(-4, 5, 2), axis=(0, 1))


def disturb_all(truths: Sequence[NDArray[np.int32]]) -> tuple[list[Pair], ClassTable]:
    """Pairs of ground truth and prediction that all three accept, and their classes."""
    classes = find_classes(truths)
    # cityscapesScripts knows no thing without instance in a prediction; to it such pixels must be void.
    crowds = sorted(find_thing_crowds(classes))
    predicted = [disturb(truth, seed) for seed, truth in enumerate(truths)]
    predicted = [np.where(np.isin(p, crowds), VOID, p).astype(np.int32) for p in predicted]
    return list(zip(truths, predicted, strict=True)), classes


def find_thing_crowds(classes: ClassTable) -> set[int]:
    """Panoptic ids of things without instance."""
    return {classes.category_ids[i] * INSTANCE_DIVISOR for i in classes.thing_ids}


def compare(pairs: list[Pair], classes: ClassTable) -> dict[str, float | None]:
    """Milliseconds per image of each, their ratios, and by how much the PQ differs."""
    metric = PanopticQuality(
        things={classes.category_ids[i] for i in classes.thing_ids},
        stuffs={classes.category_ids[i] for i in classes.stuff_ids},
        allow_unknown_preds_category=True,
    )
    tensors = [tuple(map(split_ids, pair)) for pair in pairs]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        annotations = write_both(folder, pairs, classes)
        number_images(folder)
        seconds, results = measure_in_turns(
            {
                "ours": lambda: sum((count_image(t, p, classes) for t, p in pairs), Counts.zeros(len(classes))),
                "cityscapesscripts": lambda: run_cityscapes_on_arrays(annotations, pairs, classes),
                "ours_from_files": lambda: run_ours_on_files(folder, classes),
                "hotcoco_from_files": lambda: run_hotcoco(folder),
                "decoding": lambda: [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in folder.glob("*/*.png")],
                "cityscapesscripts_from_files": lambda: run_cityscapes(annotations, folder, classes),
            },
            FAST_REPEATS,
        )
    slow, _ = measure_in_turns({"torchmetrics": lambda: run_torchmetrics(metric, tensors)})
    seconds |= slow
    categories = {c["id"]: c for c in classes.to_categories()}
    pq = summarise(results["ours"], classes)["pq"]
    expected = cityscapes.PQStat.pq_average(results["cityscapesscripts"], categories, isthing=None)[0]["pq"]
    from_files = seconds["ours_from_files"]
    return {
        "pq_images": len(pairs),
        **{f"pq_{name}_ms": value * 1000 / len(pairs) for name, value in seconds.items()},
        "pq_cityscapesscripts_over_ours": seconds["cityscapesscripts"] / seconds["ours"],
        "pq_torchmetrics_over_ours": seconds["torchmetrics"] / seconds["ours"],
        "pq_speedup": min(seconds["cityscapesscripts"], seconds["torchmetrics"]) / seconds["ours"],
        "pq_files_over_decoding": from_files / seconds["decoding"],
        "pq_over_hotcoco": from_files / seconds["hotcoco_from_files"],
        "pq_difference_to_hotcoco": abs(pq - results["hotcoco_from_files"]["All"]["pq"]),
        "pq_cityscapesscripts_from_files_over_ours": seconds["cityscapesscripts_from_files"] / from_files,
        "pq": pq,
        "pq_difference_to_cityscapesscripts": abs(pq - expected),
    }


def write_both(folder: Path, pairs: list[Pair], classes: ClassTable) -> list[tuple[dict, dict]]:
    """Write the maps as COCO panoptic; return the annotations of each pair."""
    annotations, thing_crowds = [], find_thing_crowds(classes)
    with write_labels(folder / "truth", classes) as truths, write_labels(folder / "predicted", classes) as predictions:
        for i, (truth, predicted) in enumerate(pairs):
            truths.add(str(i), truth, crowd_ids=thing_crowds)
            predictions.add(str(i), predicted)
            both = ((truth, thing_crowds), (predicted, set()))
            annotations.append(
                tuple(
                    {"image_id": str(i), "file_name": f"{i}.png", "segments_info": describe_segments(ids, crowds, {})}
                    for ids, crowds in both
                )
            )
    return annotations


def number_images(folder: Path) -> None:
    """Write the descriptions once more with whole numbers as image ids, which hotcoco needs."""
    for kind in ("truth", "predicted"):
        document = read_json(folder / kind / PANOPTIC_JSON)
        for image, annotation in zip(document["images"], document["annotations"], strict=True):
            image["id"] = annotation["image_id"] = int(image["id"])
        write_json(folder / f"{kind}.json", document)


def run_hotcoco(folder: Path) -> dict:
    evaluation = PanopticEval(
        folder / "truth.json",
        folder / "predicted.json",
        gt_folder=folder / "truth",
        pred_folder=folder / "predicted",
    )
    evaluation.evaluate()
    return evaluation.results()


def compare_ap(pairs: list[Pair], classes: ClassTable) -> dict[str, float | None]:
    """Compare the mask AP of all three on the same run-length masks; hotcoco and pycocotools are called directly."""
    rng = np.random.default_rng(0)
    scores = [{i: float(rng.random()) for i in np.unique(predicted).tolist()} for _, predicted in pairs]
    things = [describe_things(*pair, of_image, classes) for pair, of_image in zip(pairs, scores, strict=True)]
    documents = [describe_for_coco(things, classes, side) for side in ("truth", "detections")]
    seconds, results = measure_in_turns(
        {
            "ours": lambda: compute_average_precision(things, classes, max_detections=100),
            "hotcoco": lambda: run_coco(hotcoco.COCOeval, [hotcoco.COCO(document) for document in documents]),
            "pycocotools": lambda: run_coco(COCOeval, [load_coco(document) for document in documents]),
        },
        FAST_REPEATS,
    )
    precision = results["hotcoco"]
    return {
        **{f"ap_{name}_ms": value * 1000 / len(pairs) for name, value in seconds.items()},
        "ap_over_hotcoco": seconds["ours"] / seconds["hotcoco"],
        "ap_pycocotools_over_ours": seconds["pycocotools"] / seconds["ours"],
        "ap_difference_to_hotcoco": abs(results["ours"].ap - precision[precision > -1].mean()),
    }


def describe_for_coco(things: Sequence[ImageThings], classes: ClassTable, side: str) -> dict:
    """Make a COCO document of one side of the images."""
    annotations = [{**a, "image_id": i} for i, of_image in enumerate(things, 1) for a in getattr(of_image, side)]
    return {
        "images": [{"id": i, "height": t.height, "width": t.width} for i, t in enumerate(things, 1)],
        "categories": classes.to_categories(),
        "annotations": [{**a, "id": n} for n, a in enumerate(annotations, 1)],
    }


def load_coco(document: dict) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = document
        coco.createIndex()
    return coco


def run_coco(engine: type, documents: Sequence[object]) -> NDArray[np.float64]:
    """Precision over objects of all areas, at most 100 per image, by an evaluator with pycocotools' interface."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = engine(*documents, "segm")
        evaluation.params.maxDets = [100]
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        evaluation.evaluate()
        evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"])


def run_cityscapes(annotations: list[tuple[dict, dict]], folder: Path, classes: ClassTable) -> object:
    categories = {c["id"]: c for c in classes.to_categories()}
    with contextlib.redirect_stdout(io.StringIO()):
        return cityscapes.pq_compute_single_core(0, annotations, folder / "truth", folder / "predicted", categories)


def run_cityscapes_on_arrays(annotations: list[tuple[dict, dict]], pairs: list[Pair], classes: ClassTable) -> object:
    """Run its function with reader and decoder replaced by a look-up of the array."""
    arrays = {
        str(Path(kind) / f"{i}.png"): m for i, pair in enumerate(pairs) for kind, m in zip("tp", pair, strict=True)
    }
    categories = {c["id"]: c for c in classes.to_categories()}
    with (
        mock.patch.object(cityscapes, "Image", SimpleNamespace(open=arrays.__getitem__)),
        mock.patch.object(cityscapes, "rgb2id", lambda ids: ids),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        return cityscapes.pq_compute_single_core(0, annotations, "t", "p", categories)


def split_ids(panoptic_id: NDArray[np.int32]) -> torch.Tensor:
    pair = np.stack([panoptic_id // INSTANCE_DIVISOR, panoptic_id % INSTANCE_DIVISOR], axis=-1)
    return torch.from_numpy(pair[None])


def run_torchmetrics(metric: PanopticQuality, tensors: list[tuple[torch.Tensor, ...]]) -> float:
    metric.reset()
    for truth, predicted in tensors:
        metric.update(predicted, truth)
    return float(metric.compute())


def run_ours_on_files(folder: Path, classes: ClassTable) -> Counts:
    truths, predictions = LabelFolder(folder / "truth"), LabelFolder(folder / "predicted")
    images = (count_image(truths.read(i), predictions.read(i), classes) for i in truths.image_ids)
    return sum(images, Counts.zeros(len(classes)))


def measure_growth(pairs: list[Pair], classes: ClassTable, counts: tuple[int, int]) -> dict[str, float | None]:
    """How cost per image and peak memory of the evaluation stage grow from few images to many."""
    few, many = counts
    measured: dict[int, list[tuple[float, float | None]]] = {few: [], many: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_both(folder, pairs, classes)
        for count in counts:
            for kind in ("truth", "predicted"):
                link_shards(folder / kind, folder / str(count) / kind, count)
        for _ in range(5):
            for count in counts:
                measured[count].append(run_evaluation(folder / str(count)))
    seconds = {count: statistics.median(s for s, _ in measured[count]) for count in counts}
    peaks = {count: [peak for _, peak in measured[count] if peak is not None] for count in counts}
    known = all(peaks.values())
    return {
        "pq_evaluation_ms": seconds[many] * 1000 / many,
        "pq_cost_growth": (seconds[many] / many) / (seconds[few] / few),
        "pq_memory_growth_mb": statistics.median(peaks[many]) - statistics.median(peaks[few]) if known else None,
    }


def link_shards(source: Path, target: Path, count: int) -> None:
    """Make shards of ``count`` images in all, whose files are hard links to the few of ``source``."""
    document = read_json(source / PANOPTIC_JSON)
    for start in range(0, count, SHARD):
        shard, annotations = target / str(start), []
        shard.mkdir(parents=True)
        for i in range(start, min(start + SHARD, count)):
            annotation = document["annotations"][i % len(document["annotations"])]
            os.link(source / annotation["file_name"], shard / f"{i}.png")
            annotations.append(annotation | {"image_id": str(i), "file_name": f"{i}.png"})
        write_json(shard / PANOPTIC_JSON, document | {"annotations": annotations})


def run_evaluation(folder: Path) -> tuple[float, float | None]:
    """Seconds and peak memory in MB of the stage in a process of its own; its start does not count."""
    shards = {kind: [str(path) for path in sorted((folder / kind).iterdir())] for kind in ("truth", "predicted")}
    arguments = ["score", "--subject", "made", "--ground-truth", *shards["truth"], "--labels", *shards["predicted"]]
    arguments += ["--out", str(folder / "scores.json")]
    command = [sys.executable, "-c", TIMED_EVALUATION, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the evaluation stage failed:\n{done.stderr}")
    seconds, *peak = map(float, done.stdout.split())
    return seconds, peak[0] / 1024 if peak else None


if __name__ == "__main__":
    main()
