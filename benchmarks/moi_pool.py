"""MoIPool: our fast path against the same in plain PyTorch and against torchvision's RoIPool.

    python benchmarks/moi_pool.py [--data DIR] [--quick] --json OUT

4,000 proposals whose boxes cover three tenths of the map or more on average, about 1,000
superpixels, 512 channels, a map of 86x128 for an input of 688x1024. Building the masks of the
proposals counts, and so does recording where each maximum comes from. ``--data`` is a folder with
``images/``: SLIC superpixels of the first image take the place of made ones.

    seconds                  of ours, on as many cores as torch takes
    peak_gb                  highest memory of the process after a first run of ours, everything included
    max_abs_error            of ours from plain PyTorch, on a part of the proposals
    wrong_positions          of maxima in that part
    max_gradient_error       of ours from plain PyTorch in that part, relative to the largest gradient
    speedup                  time of plain PyTorch (of that part, scaled) over that of ours
    over_roi_pool            time of ours over that of torchvision's roi_pool on the same boxes
    backward_seconds         of ours
    mean_box_area, mean_fill shares of the map that boxes cover, and of the boxes that segments cover

With a CUDA device the same follow with the prefix ``gpu_``; ``gpu_peak_gb`` is what tensors take on
it. ``--quick`` takes a tenth of the proposals and of the channels.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from measurement import measure_in_turns, print_table, write_figures
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.segmentation import slic
from torch import Tensor
from torchvision.ops import roi_pool

from models.jtsm.moi_pool import moi_pool, pool_by_crops
from pseudogt.files.images import read_image
from pseudogt.proposals.members import Members

STRIDE = 8
MAP_SIZE = (86, 128)
SUPERPIXELS = 1000
PART = 40
"""One in so many proposals goes through plain PyTorch."""

Case = dict[str, Any]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with images/")
    parser.add_argument("--quick", action="store_true", help="a tenth of the proposals and of the channels")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    superpixels = segment_image(find_image(arguments.data)) if arguments.data else make_superpixels()
    count, channels = (400, 51) if arguments.quick else (4000, 512)
    case = make_case(superpixels, count, channels)
    figures = describe(case) | measure(case, torch.device("cpu"))
    if torch.cuda.is_available():
        gpu = measure(case, torch.device("cuda"))
        figures |= {f"gpu_{name}": value for name, value in gpu.items()}
    print_table(figures)
    write_figures(arguments.json, figures)


def find_image(data: Path) -> Path:
    """First image of the folder."""
    paths = sorted(path for path in (data / "images").glob("*") if path.suffix.lower() in {".jpg", ".png"})
    if not paths:
        raise SystemExit(f"{data / 'images'}: no images")
    return paths[0]


def segment_image(path: Path) -> NDArray[np.int32]:
    """Superpixels of an image at the size of the input."""
    height, width = (STRIDE * extent for extent in MAP_SIZE)
    image = cv2.resize(read_image(path), (width, height), interpolation=cv2.INTER_LINEAR)
    return slic(image, n_segments=SUPERPIXELS, start_label=0).astype(np.int32)


def make_superpixels() -> NDArray[np.int32]:
    """Voronoi cells of random points at the size of the input."""
    height, width = (STRIDE * extent for extent in MAP_SIZE)
    points = np.random.default_rng(0).random((SUPERPIXELS, 2)) * (height, width)
    return cKDTree(points).query(np.stack(np.mgrid[:height, :width], -1))[1].astype(np.int32)


def make_case(superpixels: NDArray[np.int32], count: int, channels: int) -> Case:
    """Proposals of the superpixels whose centres lie in random ellipses; half of the features are 0."""
    rng = np.random.default_rng(1)
    rows, columns = np.indices(superpixels.shape)
    labels = superpixels.ravel()
    total = int(labels.max()) + 1
    sizes = np.maximum(np.bincount(labels, minlength=total), 1)
    centres = np.stack([np.bincount(labels, axis.ravel(), total) / sizes for axis in (rows, columns)], -1)
    lows = [np.full(total, max(superpixels.shape)) for _ in range(2)]
    highs = [np.zeros(total, int) for _ in range(2)]
    for low, high, axis in zip(lows, highs, (columns, rows), strict=True):
        np.minimum.at(low, labels, axis.ravel())
        np.maximum.at(high, labels, axis.ravel() + 1)
    chosen, boxes = [], []
    while len(boxes) < count:
        middle = rng.random(2) * superpixels.shape
        radii = rng.uniform(0.2, 0.46, 2) * superpixels.shape
        inside = np.flatnonzero((((centres - middle) / radii) ** 2).sum(1) < 1)
        if len(inside):
            chosen.append(inside)
            boxes.append([*(low[inside].min() for low in lows), *(high[inside].max() for high in highs)])
    features = torch.randn((1, channels, *MAP_SIZE), generator=torch.Generator().manual_seed(0)).relu_()
    return {
        "features": features,
        "boxes_xyxy": torch.from_numpy(np.array(boxes)),
        "batch_index": torch.zeros(count, dtype=torch.long),
        "members": tuple(torch.from_numpy(part) for part in Members.from_lists(chosen)),
        "superpixels": torch.from_numpy(superpixels)[None],
        "spatial_scale": 1 / STRIDE,
    }


def describe(case: Case) -> dict[str, float | None]:
    """Counts and shares that make a case hard or easy."""
    superpixels, (indices, starts) = case["superpixels"][0], case["members"]
    extents = case["boxes_xyxy"][:, 2:] - case["boxes_xyxy"][:, :2]
    areas = extents.prod(1).double()
    sizes = torch.bincount(superpixels.flatten())[indices.long()].cumsum(0)
    segments = torch.diff(sizes[starts[1:] - 1], prepend=torch.zeros(1, dtype=torch.long))
    return {
        "proposals": len(areas),
        "superpixels": int(superpixels.max()) + 1,
        "channels": case["features"].shape[1],
        "mean_box_area": float(areas.mean()) / superpixels.numel(),
        "mean_fill": float((segments / areas).mean()),
    }


def measure(case: Case, device: torch.device) -> dict[str, float | None]:
    """All figures of one device."""
    case = {name: move(value, device) for name, value in case.items()}
    features, boxes = case["features"], case["boxes_xyxy"]
    first = moi_pool(**case)
    peak_gb = measure_peak_gb(device)
    last = torch.tensor([0, 0, 1, 1], device=device)
    regions = torch.cat([case["batch_index"][:, None], boxes - last], 1).float()
    part = take_part(case)
    count = len(part["boxes_xyxy"])
    seconds, results = measure_in_turns(
        {
            "ours": finish(lambda: moi_pool(**case), device),
            "roi_pool": finish(lambda: roi_pool(features, regions, 7, spatial_scale=case["spatial_scale"]), device),
            "reference": finish(lambda: pool_by_crops(**part), device),
        }
    )
    own, reference = moi_pool(**part), results["reference"]
    reference_seconds = seconds["reference"] * len(boxes) / count
    return {
        "seconds": seconds["ours"],
        "peak_gb": peak_gb,
        "max_abs_error": float((own.features - reference.features).abs().max()),
        "wrong_positions": int((own.argmax != reference.argmax).sum()),
        "max_gradient_error": compare_gradients(part),
        "speedup": reference_seconds / seconds["ours"],
        "over_roi_pool": seconds["ours"] / seconds["roi_pool"],
        "reference_seconds": reference_seconds,
        "roi_pool_seconds": seconds["roi_pool"],
        "backward_seconds": measure_backward(case, first.features, device),
    }


def move(value: Any, device: torch.device) -> Any:
    if isinstance(value, tuple):
        return tuple(tensor.to(device) for tensor in value)
    return value.to(device) if isinstance(value, Tensor) else value


def finish(function: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """Wait for the device, so that its work is timed and not its queue."""

    def run() -> Any:
        result = function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result

    return run


def measure_peak_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def take_part(case: Case) -> Case:
    """Case with one in ``PART`` of the proposals."""
    kept = torch.arange(0, len(case["boxes_xyxy"]), PART)
    members = Members(*(part.cpu().numpy() for part in case["members"])).take(kept.numpy())
    chosen = {name: case[name][kept] for name in ("boxes_xyxy", "batch_index")}
    return case | chosen | {"members": tuple(torch.from_numpy(part).to(case["features"].device) for part in members)}


def compare_gradients(case: Case) -> float:
    """Largest difference of the gradients of ours and of plain PyTorch over the largest gradient."""
    gradients = []
    for pool in (moi_pool, pool_by_crops):
        features = case["features"].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(pool(**case | {"features": features}).features.square().sum(), features)
        gradients.append(gradient)
    return float((gradients[0] - gradients[1]).abs().max() / gradients[1].abs().max())


def measure_backward(case: Case, gradient: Tensor, device: torch.device) -> float:
    """Median seconds of the gradient; any tensor of the right shape serves as what arrives."""
    features = case["features"].clone().requires_grad_()
    pooled = moi_pool(**case | {"features": features}).features
    backward = finish(lambda: torch.autograd.grad(pooled, features, gradient, retain_graph=True), device)
    return measure_in_turns({"backward": backward})[0]["backward"]


if __name__ == "__main__":
    main()
