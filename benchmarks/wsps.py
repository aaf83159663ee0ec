"""Label cleaning in the authors' form: time over that of reading and writing, scaling, their code, PQ.

    python benchmarks/wsps.py [--data DIR] [--reference DIR] [--quick] --json OUT

One core, except for the parallel part; medians of 5 or more, with the parts of a ratio measured in turns.

    clean_over_io       the five cleaning steps and the instance step over input and output of the image
    clean_over_io_max   the same of the slowest image
    parallel_scaling    images a second with N processes over N times those with one
    reference_speedup   time of the authors' code under Octave over ours, computing alone
    pq_...              see benchmarks/pq.py

Input is reading prediction, ground truth and box masks (8-bit PNG, OpenCV) and scores (float32, HDF5,
uncompressed), output is writing both labels with OpenCV (level 3, RLE). Boxes, palettes and renaming
files do not count, and all files are in the system's cache: what is left out would make the ratio smaller.

The parallel part runs ``process_images`` on files in the authors' layout (compressed scores, boxes
as .mat) in a temporary folder: 500 images with all cores, 100 with one, both five times. Their inputs
are hard links to those of a few images. The start of the processes, a second, counts.

Without ``--data`` images are made, 1024x2048 with 20, 40 and 60 boxes. ``--data`` is

- a tree in the authors' layout (docs/wsps.md): the split train of all inputs, predictions in ``pred_sem_raw``,
- or a folder with ``inputs/``: ``pred.png``, ``mcg_and_grabcut.png``, ``<id>_gtFine_labelTrainIds.png``,
  ``bboxes.mat`` and, unless step 1 is to be left out, ``pred_flat_feat.mat``,
- or a folder with ``instances/*.png`` as for benchmarks/pq.py: ground truth is real, the rest made of it.

``--reference`` is a copy of the authors' repository; it needs Octave. ``--quick`` takes fewer images.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # read when numpy is imported

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import cv2
import h5py
import numpy as np
from measurement import measure_in_turns, print_table, write_figures
from numpy.typing import NDArray
from scipy.io import savemat
from wsps_images import SPLIT, Image, find_images, find_maps
from wsps_reference import OctaveError, find_octave, run_reference

from pseudogt.files.images import PNG_FAST
from pseudogt.wsps.clean_labels import clean_image
from pseudogt.wsps.label_generation import cut_instances, generate_labels
from pseudogt.wsps.mat_files import write_boxes
from pseudogt.wsps.palette import CLASS_NAMES, make_palette, write_label
from pseudogt.wsps.processing import process_images
from pseudogt.wsps.tree import Tree

REPEATS = 11
ROUNDS = 5
Labels = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="images to work on; see above for the layouts")
    parser.add_argument("--reference", type=Path, help="a copy of the authors' repository, run under Octave")
    parser.add_argument("--quick", action="store_true", help="fewer images")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    images = find_images(arguments.data, 2 if arguments.quick else 3)
    figures = measure_cleaning(images)
    figures |= measure_parallel(images, one=2 if arguments.quick else 100, many=8 if arguments.quick else 500)
    figures |= measure_reference(images[0], arguments.reference)
    from pq import measure_pq  # not above: imports torch, and the processes of the parallel part import this file

    figures |= measure_pq(find_maps(arguments.data), quick=arguments.quick)
    print_table(figures)
    write_figures(arguments.json, figures)


def compute(image: Image) -> Labels:
    """Semantic and instance label of an image."""
    label = generate_labels(image.inputs, image.options)["final_pred"]
    assert image.inputs.boxes is not None
    return label, cut_instances(label, image.inputs.boxes, image.options).ins_pred


def measure_cleaning(images: list[Image]) -> dict[str, float | None]:
    """Milliseconds of computing and of input and output, and their ratio, the median over the images."""
    measured = []
    for image in images:
        labels = compute(image)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_inputs(folder, image)
            functions = {
                "clean": partial(compute, image),
                "input": partial(read_inputs, folder),
                "output": partial(write_outputs, folder, labels),
            }
            measured.append(measure_in_turns(functions, REPEATS)[0])
    ratios = [seconds["clean"] / (seconds["input"] + seconds["output"]) for seconds in measured]
    boxes = [len(image.inputs.boxes.classes) for image in images if image.inputs.boxes is not None]
    return {
        "images": len(images),
        "boxes_min": min(boxes),
        "boxes_max": max(boxes),
        **{f"{part}_ms": 1000 * statistics.median(s[part] for s in measured) for part in ("clean", "input", "output")},
        "clean_over_io": statistics.median(ratios),
        "clean_over_io_max": max(ratios),
    }


def write_inputs(folder: Path, image: Image) -> None:
    """Write the input files whose reading is measured."""
    for name in ("pred", "gt_label", "box_masks"):
        write_grey(folder / f"{name}.png", getattr(image.inputs, name))
    if image.inputs.scores is not None:
        with h5py.File(folder / "scores.h5", "w") as file:
            file.create_dataset("scores", data=image.inputs.scores)


def read_inputs(folder: Path) -> list[NDArray]:
    """Read them."""
    arrays = [cv2.imread(str(folder / f"{n}.png"), cv2.IMREAD_UNCHANGED) for n in ("pred", "gt_label", "box_masks")]
    if (folder / "scores.h5").exists():
        with h5py.File(folder / "scores.h5") as file:
            arrays.append(file["scores"][()])
    return arrays


def write_outputs(folder: Path, labels: Labels) -> None:
    """Write both labels."""
    for name, label in zip(("semantic", "instances"), labels, strict=True):
        write_grey(folder / f"{name}.png", label)


def write_grey(path: Path, label: NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), label, PNG_FAST):
        raise OSError(f"{path}: could not be written")


def measure_parallel(images: list[Image], *, one: int, many: int) -> dict[str, float | None]:
    """Images a second with one process and with all cores, and what that is of N times one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    speeds: dict[int, list[float]] = {1: [], cores: []}
    with tempfile.TemporaryDirectory() as name:
        tree = Tree(Path(name), SPLIT, images[0].options)
        ids = link_tree(tree, images, many)
        for _ in range(ROUNDS):
            speeds[1].append(run_all(tree, ids[:one], workers=1))
            if cores > 1:
                speeds[cores].append(run_all(tree, ids, workers=cores))
    single, all_cores = statistics.median(speeds[1]), statistics.median(speeds[cores])
    return {
        "parallel_cores": cores,
        "images_per_second_one_core": single,
        "images_per_second_all_cores": all_cores,
        "parallel_scaling": all_cores / (cores * single) if cores > 1 else None,
    }


def run_all(tree: Tree, ids: list[str], *, workers: int) -> float:
    """Images a second."""
    work = partial(clean_image, tree=tree, names=CLASS_NAMES, palette=make_palette())
    start = time.perf_counter()
    process_images(work, ids, workers=workers, description=f"{workers} processes")
    return len(ids) / (time.perf_counter() - start)


def link_tree(tree: Tree, images: list[Image], count: int) -> list[str]:
    """Write the images in the authors' layout; further ids are hard links to them."""
    ids = [f"made_{i:06d}_000019" for i in range(count)]
    same_size = [image for image in images if image.options.canvas_size == tree.options.canvas_size]
    for i, image_id in enumerate(ids):
        if i < len(same_size):
            write_image(tree, image_id, same_size[i])
        else:
            for path, source in zip(
                list_inputs(tree, image_id), list_inputs(tree, ids[i % len(same_size)]), strict=True
            ):
                if source.exists():
                    os.link(source, path)
    return ids


def list_inputs(tree: Tree, image_id: str) -> list[Path]:
    """Where the inputs of an image lie."""
    parts = ("prediction", "gt_label", "box_masks", "scores", "boxes")
    return [getattr(tree, f"locate_{part}")(image_id) for part in parts]


def write_image(tree: Tree, image_id: str, image: Image) -> None:
    """Write the inputs of one image in the authors' layout."""
    paths, palette = list_inputs(tree, image_id), make_palette()
    inputs = image.inputs
    for path, label in zip(paths[:3], (inputs.pred, inputs.gt_label, inputs.box_masks), strict=True):
        assert label is not None
        write_label(path, label, palette)
    paths[3].parent.mkdir(parents=True, exist_ok=True)
    if inputs.scores is not None:
        savemat(paths[3], {"feat": inputs.scores}, do_compression=True)
    assert inputs.boxes is not None
    write_boxes(paths[4], inputs.boxes, CLASS_NAMES)


def measure_reference(image: Image, reference: Path | None) -> dict[str, float | None]:
    """Time of the authors' code over ours and how many pixels of the labels differ; null where it can't run."""
    nothing = dict.fromkeys(("reference_ms", "reference_speedup", "reference_pixels_that_differ"))
    if reference is None or find_octave() is None:
        why = "no --reference folder was given" if reference is None else "Octave is not installed"
        print(f"reference_speedup is null: {why}")
        return nothing
    with tempfile.TemporaryDirectory() as name:
        tree = Tree(Path(name), SPLIT, image.options)
        image_id = link_tree(tree, [image], 1)[0]
        if image.inputs.scores is None:
            savemat(tree.locate_scores(image_id), {"feat": np.ones(image.inputs.pred.shape, np.float32)})
        try:
            theirs, labels = run_reference(reference, tree, image_id, ROUNDS)
        except OctaveError as error:
            raise SystemExit(f"--reference {reference}: {error}") from error
    ours, results = measure_in_turns({"ours": partial(compute, image)}, REPEATS)
    differ = sum(int((a != b).sum()) for a, b in zip(results["ours"], labels, strict=True))
    return {
        "reference_ms": 1000 * theirs,
        "reference_speedup": theirs / ours["ours"],
        "reference_pixels_that_differ": differ,
    }


if __name__ == "__main__":
    main()
