"""JTSM at the sizes of the authors' configs: seconds of a training step, of GrabCut evidence and of an image at test.

    python benchmarks/jtsm_authors.py --images DIR --json OUT
    python benchmarks/jtsm_authors.py --sides 480 576 --device cuda --json OUT

The image, its superpixels and its proposals are drawn, the weights of ResNet-WS-18 are random numbers: time depends on
sizes only. ``test_over_network`` divides the seconds of an image by those that its networks (backbone, neck and heads)
take: the rest is resizing, averaging, suppression and pasting of masks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jtsm_evidence import choose_photos, measure_evidence
from measurement import print_table, write_figures
from numpy.typing import NDArray
from torch import nn

from models.jtsm.detection import DetectionPlan, detect
from models.jtsm.network import JtsmArchitecture, JtsmNetwork, build_jtsm_network
from models.jtsm.samples import MiningAugmentation, MiningImage
from models.jtsm.step import Evidence, MiningStep
from models.jtsm.training import MiningBatches
from models.training import autocast, choose_device, choose_precision
from pseudogt.evidence.grabcut import BoxMask, take_segment
from pseudogt.proposals.members import Members

IMAGE_SIZE = (375, 500)
"""Height and width of most images of VOC."""

PROPOSALS = 4000
CELL_PX = 15
"""Side of a superpixel: 850 in an image, which is what MCG has in one of VOC."""

TAGS = 3
"""Tagged classes of the image of a step; VOC has 1.5 on average, COCO 2.9."""

TRAIN_SIDE = 832
"""The middle of ``INPUT.MIN_SIZE_TRAIN``, 480 to 1216."""

EVIDENCE_PHOTOS = 10

TEST_SIDES = (480, 576, 672, 768, 864, 960, 1056, 1152)
"""``TEST.AUG.MIN_SIZES``."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=TEST_SIDES, help="shorter sides of an image at test")
    parser.add_argument("--stuff", type=int, default=1, help="classes of stuff: 1 as in VOC, 53 as in COCO")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32", help="fp32, bf16 or auto")
    parser.add_argument("--images", type=Path, help="folder of photos, for the speed of evidence")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    precision = choose_precision(arguments.precision, device)
    figures = measure_step(arguments.stuff, device, precision, repeats=arguments.repeats)
    figures |= measure_test(tuple(arguments.sides), arguments.stuff, device, precision, repeats=arguments.repeats)
    if arguments.images:
        figures |= measure_evidence(choose_photos(arguments.images, EVIDENCE_PHOTOS))
    print_table(figures)
    write_figures(arguments.json, figures)


def measure_step(stuff: int, device: torch.device, precision: torch.dtype, *, repeats: int) -> dict[str, float | None]:
    """Median seconds of a training step of one image, and masks that it asks for."""
    network = build_network(things=20 if stuff == 1 else 80, stuff=stuff).train().to(device)
    # Boxes stay where proposals are: random numbers would move them away from all, and nothing would learn a mask.
    for head in network.refinements:
        head.move.weight.data.zero_()
    sample = draw_sample(network.order.count)
    tagged = replace(sample, tags=np.arange(network.order.count) < TAGS, known=np.ones(network.order.count, bool))
    asked: list[int] = []

    def find_masks(keys: Sequence[tuple[int, int]]) -> list[BoxMask]:
        asked.append(len(keys))
        return [take_segment(tagged.superpixels, tagged.members, row, tagged.boxes_xyxy[row]) for _, row in keys]

    step = MiningStep(network, Evidence(find_masks), top_k=10, mask_limit=None)
    augmentation = MiningAugmentation((TRAIN_SIDE,), long_side_px=2000, crop_fraction=0.9, flip=0.5, colour=0.5)
    batches = MiningBatches([tagged], augmentation, PROPOSALS, network.backbone.multiple)
    batch = {n: t.to(device) for n, t in batches.load(np.zeros(1, np.int64), np.random.default_rng(0)).items()}
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        with autocast(precision, device):
            losses = step(batch)
        torch.stack(list(losses.values())).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    # The first step compiles and allocates.
    return {
        "step_seconds_per_image": statistics.median(seconds[1:]),
        "step_evidence_per_image": statistics.mean(asked),
    }


def measure_test(
    sides: tuple[int, ...], stuff: int, device: torch.device, precision: torch.dtype, *, repeats: int
) -> dict[str, float | None]:
    """Median seconds of an image at test, mirrored too, and of the networks alone."""
    network = build_network(things=20 if stuff == 1 else 80, stuff=stuff).eval().to(device)
    sample = draw_sample(network.order.count)
    plan = DetectionPlan(
        short_sides_px=sides,
        long_side_px=4000,
        flip=True,
        max_proposals=PROPOSALS,
        masks="branch",
        min_score=1e-5,
        nms_overlap=0.3,
        max_detections=100,
        device=device,
        dtype=precision,
    )
    detect(network, sample, replace(plan, short_sides_px=sides[:1]))  # compiles and allocates
    whole, inside = [], []
    for _ in range(repeats):
        with time_networks(network, device) as spent:
            start = time.perf_counter()
            detect(network, sample, plan)
            whole.append(time.perf_counter() - start)
        inside.append(sum(spent))
    seconds, of_network = statistics.median(whole), statistics.median(inside)
    return {
        "test_seconds_per_image": seconds,
        "test_network_seconds_per_image": of_network,
        "test_other_seconds_per_image": seconds - of_network,
        "test_over_network": seconds / of_network,
    }


def build_network(*, things: int, stuff: int) -> JtsmNetwork:
    """The network of the authors' configs with ResNet-WS-18 and random weights."""
    torch.manual_seed(0)
    architecture = JtsmArchitecture(
        backbone="resnet_ws18",
        levels=4,
        freeze="all",
        neck_widths=(4096, 4096),
        dropout=0.5,
        things=things,
        stuff=stuff,
        refinements=4,
        mask_channels=256,
        semantic_channels=128 if stuff > 1 else 0,
    )
    return build_jtsm_network(architecture)


def draw_sample(class_count: int) -> MiningImage:
    """An image of noise; superpixels are squares, proposals are rectangles of them."""
    rng = np.random.default_rng(0)
    height, width = IMAGE_SIZE
    rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
    y, x = np.arange(height) // CELL_PX, np.arange(width) // CELL_PX
    superpixels = (y[:, None] * columns + x).astype(np.int32)
    cells = np.arange(rows * columns).reshape(rows, columns)
    members, boxes = [], []
    for _ in range(PROPOSALS):
        (top, bottom), (left, right) = draw_range(rows, rng), draw_range(columns, rng)
        members.append(cells[top:bottom, left:right].ravel())
        boxes.append([left * CELL_PX, top * CELL_PX, min(right * CELL_PX, width), min(bottom * CELL_PX, height)])
    starts = np.concatenate([[0], np.cumsum([len(each) for each in members])])
    return MiningImage(
        image=rng.integers(0, 256, (height, width, 3), np.uint8),
        superpixels=superpixels,
        members=Members(np.concatenate(members).astype(np.int32), starts),
        boxes_xyxy=np.array(boxes, np.int32),
        scores=rng.random(PROPOSALS, np.float32),
        tags=np.zeros(class_count, bool),
        known=np.zeros(class_count, bool),
    )


def draw_range(extent: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Start and end of a random part of a side."""
    return np.sort(rng.choice(extent + 1, 2, replace=False))


@contextmanager
def time_networks(network: JtsmNetwork, device: torch.device) -> Iterator[list[float]]:
    """Collect the seconds of each call of the network, of its semantic branch and of its second mask head."""
    spent: list[float] = []
    starts: dict[nn.Module, float] = {}

    def read_clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    def start(module: nn.Module, *_: Any) -> None:
        starts[module] = read_clock()

    def stop(module: nn.Module, *_: Any) -> None:
        spent.append(read_clock() - starts[module])

    modules = [network, *network.mask_heads[1:], *([network.semantic] if network.semantic is not None else [])]
    hooks = [module.register_forward_pre_hook(start) for module in modules]
    hooks += [module.register_forward_hook(stop) for module in modules]
    try:
        yield spent
    finally:
        for hook in hooks:
            hook.remove()


if __name__ == "__main__":
    main()
