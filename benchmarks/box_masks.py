"""Box masks: every segmenter and their consensus against annotated things, from their tight boxes.

    python benchmarks/box_masks.py [--data DIR] [--quick] [--split NAME] [--fused NAME ..] [--sure P] [--photos N]
        --json OUT
    python benchmarks/box_masks.py --photos 1000 --photos-only --json OUT

``--data`` is a folder of folder datasets (``images/``, ``instances/``) in which ``voc2007_seg``,
``coco_panoptic``, ``cityscapes_aachen8`` and ``dsb2018_120`` are looked for, or one folder dataset.
Figures of the first set that is there have no prefix, the others their set's. The boxes are made
from the annotations; void pixels are ignored.

``<segmenter>_iou``, ``_r50``, ``_r70``: mean IoU per thing, shares above 0.5 and 0.7; with
``_small`` (under 32x32 pixels of mask), ``_medium``, ``_large`` (96x96 or more). ``grabcut`` is
OpenCV's from the plain rectangle, ``guided_grabcut`` ours; ``best_iou`` the highest mean of ours.
``<segmenter>_ms`` is the time of an image over its boxes, ``_ms_64px`` what one more box of 64x64
takes, ``<segmenter>_image_ms`` what the image takes.

``consensus_precision``: of the pixels that ``--fused`` agree are a thing of a class, the share that
are of the class; ``consensus_recall``: of the things' pixels, the share so found;
``consensus_ignored``: of the boxes' pixels, the share left open. ``consensus_thing_precision`` and
``_recall`` count only the pixels of the thing itself. ``authors_precision``, ``authors_recall`` and
``frame_precision``, ``frame_recall``: of the masks that the authors of WSPS published for one
Cityscapes image, and of ours there.

``folder_minutes``: wall clock of ``snakemake --cores 2 boxes_to_masks`` on ``--photos`` drawn photos
of 640x480 with five boxes each, from a folder of images and one COCO JSON to masks and review page;
``folder_minutes_per_1000`` is that number scaled to 1,000 photos, ``folder_cpu_minutes_per_1000`` the
processor time of all its jobs, which other programs on the machine change little.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import cv2
import numpy as np
from folder_images import AnnotatedImage, draw_image, read_images, write_photos
from measurement import print_table, write_figures
from numpy.typing import NDArray
from workflow_runs import SNAKEMAKE, make_environment

from models.pretrained.loading import load_engine, load_segmenters
from pseudogt.box_masks.consensus import BoxLabels, combine_boxes, fuse_masks
from pseudogt.box_masks.scene import BoxScene, PrepareScene
from pseudogt.boxes import box_slices
from pseudogt.classes import IGNORE_LABEL
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.config.proposals import ProposalsSettings
from pseudogt.files.images import read_image, read_png
from pseudogt.wsps.boxes import find_instance_boxes

SETS = {
    "": ("voc2007_seg", "dev"),
    "coco_": ("coco_panoptic", "val_dev"),
    "cityscapes_": ("cityscapes_aachen8", "dev"),
    "nuclei_": ("dsb2018_120", "dev"),
}
SEGMENTERS = ("network", "proposal", "hierarchy", "guided_grabcut", "ellipse", "fill")
OURS = ("network", "proposal", "hierarchy", "guided_grabcut")
GRABCUT_SIDE_PX = 640
SMALL, LARGE = 32**2, 96**2
AUTHORS = Path("cityscapes_aachen8/reference_qizhuli")

Images = Callable[[], Iterator[AnnotatedImage]]
Mask = NDArray[np.bool_]


class Fusion(NamedTuple):
    """Which segmenters must agree, and with what confidence."""

    segmenters: tuple[str, ...]
    sure: float


class Counts(NamedTuple):
    """Pixels of a consensus."""

    claimed: int
    of_class: int
    of_thing: int
    things: int
    boxes: int
    ignored: int


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the sets, or one folder dataset")
    parser.add_argument("--split", help="list of image ids in a single dataset, without .txt; default: all images")
    parser.add_argument("--quick", action="store_true", help="three images of each set")
    parser.add_argument("--fused", nargs="+", choices=SEGMENTERS, default=["network", "proposal"])
    parser.add_argument("--sure", type=float, default=0.7, help="see box_masks.sure")
    parser.add_argument("--photos", type=int, help="photos of the folder; default: 1000, none with --quick")
    parser.add_argument("--photos-only", action="store_true", help="measure only the folder")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    photos = (0 if arguments.quick else 1000) if arguments.photos is None else arguments.photos
    figures = measure_folder(photos) if photos else {}
    if not arguments.photos_only:
        figures |= measure_segmenters(arguments)
    print_table(figures)
    write_figures(arguments.json, figures)


def measure_folder(photos: int) -> dict[str, float | None]:
    """Minutes that ``boxes_to_masks`` takes for a folder of drawn photos, and those of its jobs' processor time."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_photos(root / "photos", photos)
        command = [*SNAKEMAKE, "-d", str(root), "--cores", "2", "boxes_to_masks", "--config"]
        settings = [f"boxes_from={root / 'photos'}", f"masks_to={root / 'masks'}"]
        start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, *settings], check=True, env=make_environment())
        minutes, after = (time.perf_counter() - start) / 60, resource.getrusage(resource.RUSAGE_CHILDREN)
    computed = (after.ru_utime - used.ru_utime + after.ru_stime - used.ru_stime) / 60
    return {
        "folder_photos": photos,
        "folder_minutes": minutes,
        "folder_minutes_per_1000": minutes / photos * 1000,
        "folder_cpu_minutes_per_1000": computed / photos * 1000,
    }


def measure_segmenters(arguments: argparse.Namespace) -> dict[str, float | None]:
    """All figures of segmenters and their consensus."""
    cv2.setNumThreads(1)
    segmenters = load_all(arguments.sure)
    fusion = Fusion(tuple(arguments.fused), arguments.sure)
    figures: dict[str, float | None] = {}
    for prefix, images in find_sets(arguments.data, arguments.split, 3 if arguments.quick else None):
        figures |= {f"{prefix}{name}": value for name, value in measure(images, segmenters, fusion).items()}
    figures |= measure_speed(segmenters)
    if arguments.data and (arguments.data / AUTHORS).is_dir():
        figures |= compare_with_authors(arguments.data / AUTHORS, segmenters, fusion)
    return figures


def load_all(sure: float) -> dict[str, PrepareScene]:
    """Our segmenters by the names of the figures."""
    names = {name: "grabcut" if name == "guided_grabcut" else name for name in SEGMENTERS}
    settings = {
        name: BoxMasksSettings.model_validate({"segmenters": [engine], "smoothness": "learned", "sure": sure})
        for name, engine in names.items()
    }
    return {name: load_segmenters(of_name)[0] for name, of_name in settings.items()}


def find_sets(data: Path | None, split: str | None, limit: int | None) -> list[tuple[str, Images]]:
    """Prefix of the figures and images of each set; they are read when they are asked for."""
    if data is None:
        return [("", lambda: (draw_image(seed) for seed in range(limit or 8)))]
    present = [(prefix, data / name, split) for prefix, (name, split) in SETS.items() if (data / name).is_dir()]
    return [
        (prefix, lambda folder=folder, split=split: read_images(folder, split, limit))
        for prefix, folder, split in present or [("", data, split)]
    ]


def measure(images: Images, segmenters: dict[str, PrepareScene], fusion: Fusion) -> dict[str, float | None]:
    """All figures of one set."""
    propose = load_engine(ProposalsSettings(mode="multi", max_proposals=5200))
    overlaps: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    areas: list[int] = []
    counts: list[Counts] = []
    for annotated in images():
        if not annotated.masks:
            continue
        boxes = annotated.boxes_xyxy
        scene = BoxScene(annotated.image, boxes, np.array(annotated.classes), propose(annotated.image).proposals)
        found: dict[str, list[NDArray]] = {"grabcut": [run_grabcut(annotated.image, box) for box in boxes]}
        for name, prepare in segmenters.items():
            start = time.perf_counter()
            segment = prepare(scene)
            found[name] = [segment(index) for index in range(len(boxes))]
            seconds[name].append((time.perf_counter() - start) / len(boxes))
        for name, masks in found.items():
            overlaps[name] += [
                find_overlap(mask > 0.5, truth[box_slices(box)], annotated.void[box_slices(box)])
                for mask, truth, box in zip(masks, annotated.masks, boxes, strict=True)
            ]
        areas += [int(mask.sum()) for mask in annotated.masks]
        counts.append(count_consensus(annotated, [found[name] for name in fusion.segmenters], fusion.sure))
    figures = summarise_overlaps({name: np.array(values) for name, values in overlaps.items()}, np.array(areas))
    figures |= {f"{name}_ms": 1000 * statistics.median(values) for name, values in seconds.items()}
    return figures | summarise_consensus(counts)


def run_grabcut(image: NDArray[np.uint8], box: NDArray[np.int32]) -> Mask:
    """OpenCV's GrabCut from the rectangle, five iterations, in the box; larger images at 640 pixels, to end in time."""
    height, width = image.shape[:2]
    scale = min(1.0, GRABCUT_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    x0, y0, x1, y1 = (round(v * scale) for v in box.tolist())
    rectangle = (x0, y0, max(x1 - x0, 1), max(y1 - y0, 1))
    shape = image[box_slices(box)].shape[:2]
    if rectangle[2:] == size:
        return np.ones(shape, bool)  # nothing outside to learn from
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    states = np.zeros(small.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(small, states, rectangle, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_RECT)
    cut = (states & 1)[y0 : y0 + rectangle[3], x0 : x0 + rectangle[2]].astype(np.float32)
    return np.asarray(cv2.resize(cut, shape[::-1], interpolation=cv2.INTER_LINEAR)) > 0.5


def find_overlap(found: Mask, truth: Mask, void: Mask) -> float:
    """IoU of two masks of a box, void left out."""
    found = found & ~void
    return float((found & truth).sum() / max((found | truth).sum(), 1))


def summarise_overlaps(overlaps: dict[str, NDArray], areas: NDArray) -> dict[str, float | None]:
    """Means by segmenter and size."""
    figures: dict[str, float | None] = {}
    sizes = {"": areas >= 0, "_small": areas < SMALL, "_large": areas >= LARGE}
    sizes["_medium"] = ~sizes["_small"] & ~sizes["_large"]
    for name, values in overlaps.items():
        for size, chosen in sizes.items():
            figures[f"{name}_iou{size}"] = float(values[chosen].mean()) if chosen.any() else None
            for share in (0.5, 0.7):
                key = f"{name}_r{100 * share:.0f}{size}"
                figures[key] = float((values[chosen] > share).mean()) if chosen.any() else None
    figures["things"] = len(areas)
    figures["best_iou"] = max((float(overlaps[name].mean()) for name in OURS if name in overlaps), default=None)
    return figures


def count_consensus(annotated: AnnotatedImage, masks: Sequence[Sequence[NDArray]], sure: float) -> Counts:
    """Pixels of the consensus of some segmenters on one image."""
    kinds = sorted(set(annotated.classes))
    train_ids = [kinds.index(kind) for kind in annotated.classes]
    boxes = annotated.boxes_xyxy
    labels = fuse_image(masks, boxes, train_ids, annotated.void.shape, sure)
    truth = np.full(annotated.void.shape, IGNORE_LABEL, np.uint8)
    for mask, train_id in zip(annotated.masks, train_ids, strict=True):
        truth[mask] = train_id
    known = ~annotated.void
    claimed = (labels.semantic < len(kinds)) & known
    in_boxes = np.zeros(known.shape, bool)
    for box in boxes:
        in_boxes[box_slices(box)] = True
    in_boxes &= known
    return Counts(
        claimed=int(claimed.sum()),
        of_class=int((claimed & (labels.semantic == truth)).sum()),
        of_thing=sum(int(((labels.owner == index) & mask & known).sum()) for index, mask in enumerate(annotated.masks)),
        things=int(((truth != IGNORE_LABEL) & known).sum()),
        boxes=int(in_boxes.sum()),
        ignored=int((in_boxes & (labels.semantic == IGNORE_LABEL)).sum()),
    )


def fuse_image(
    masks: Sequence[Sequence[NDArray]],
    boxes: NDArray[np.int32],
    train_ids: Sequence[int],
    shape: tuple[int, ...],
    sure: float,
) -> BoxLabels:
    """Labels of an image from the masks of each segmenter for each box."""
    verdicts = [
        fuse_masks(of_box, train_id, sure=sure)
        for of_box, train_id in zip(zip(*masks, strict=True), train_ids, strict=True)
    ]
    return combine_boxes(verdicts, boxes, train_ids, np.zeros(len(boxes), bool), (shape[0], shape[1]))


def summarise_consensus(counts: Sequence[Counts]) -> dict[str, float | None]:
    """Shares over all images."""
    total = Counts(*np.sum(counts, axis=0).tolist()) if counts else Counts(0, 0, 0, 0, 0, 0)

    def divide(a: int, b: int) -> float | None:
        return a / b if b else None

    return {
        "consensus_precision": divide(total.of_class, total.claimed),
        "consensus_recall": divide(total.of_class, total.things),
        "consensus_thing_precision": divide(total.of_thing, total.claimed),
        "consensus_thing_recall": divide(total.of_thing, total.things),
        "consensus_ignored": divide(total.ignored, total.boxes),
    }


def measure_speed(segmenters: dict[str, PrepareScene], repeats: int = 7) -> dict[str, float | None]:
    """Milliseconds of an image of VOC's size, and of each box of 64x64 in it."""
    image = draw_image(0).image
    boxes = np.array([[x, y, x + 64, y + 64] for y in (30, 130, 230) for x in (20, 170, 320)], np.int32)
    proposals = load_engine(ProposalsSettings())(image).proposals

    def run(prepare: PrepareScene, count: int) -> float:
        scene = BoxScene(image, boxes[:count], np.zeros(count, int), proposals)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            segment = prepare(scene)
            for index in range(count):
                segment(index)
            seconds.append(time.perf_counter() - start)
        return 1000 * statistics.median(seconds)

    figures: dict[str, float | None] = {}
    for name, prepare in segmenters.items():
        one, all_boxes = run(prepare, 1), run(prepare, len(boxes))
        of_box = max(all_boxes - one, 0.0) / (len(boxes) - 1)
        figures |= {f"{name}_ms_64px": of_box, f"{name}_image_ms": max(one - of_box, 0.0)}
    return figures


def compare_with_authors(folder: Path, segmenters: dict[str, PrepareScene], fusion: Fusion) -> dict[str, float | None]:
    """Precision and recall of things, by class, of the published masks of one image and of ours."""
    stem = next(folder.glob("*_gtFine_labelTrainIds.png")).name.removesuffix("_gtFine_labelTrainIds.png")
    truth = read_png(folder / f"{stem}_gtFine_labelTrainIds.png")
    theirs = read_png(next(folder.glob(f"mcg_and_grabcut*{stem}*.png")))
    image = read_image(folder / f"{stem}_leftImg8bit.png")
    instance_ids = read_png(folder / f"{stem}_gtFine_instanceTrainIds.png").astype(np.int64)
    things = range(11, 19)
    found = find_instance_boxes(
        instance_ids, stuff_ids=range(11), thing_ids=things, num_classes=19, include_stuff=False
    )
    proposals = load_engine(ProposalsSettings())(image).proposals if "proposal" in fusion.segmenters else None
    scene = BoxScene(image, found.boxes_xyxy, found.classes, proposals)
    prepared = [segmenters[name](scene) for name in fusion.segmenters]
    masks = [[segment(index) for index in range(len(found.classes))] for segment in prepared]
    ours = fuse_image(masks, found.boxes_xyxy, found.classes.tolist(), truth.shape, fusion.sure).semantic

    def score(labels: NDArray) -> tuple[float, float]:
        is_thing = np.isin(truth, things)
        right = (labels == truth) & is_thing
        return float(right.sum() / (np.isin(labels, things) & (truth != 255)).sum()), float(
            right.sum() / is_thing.sum()
        )

    figures: dict[str, float | None] = {}
    for name, labels in (("authors", theirs), ("frame", ours)):
        figures[f"{name}_precision"], figures[f"{name}_recall"] = score(labels)
    return figures


if __name__ == "__main__":
    main()
