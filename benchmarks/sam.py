"""Segment Anything of every kind at full size: time and memory, with random weights, which change neither.

    python benchmarks/sam.py [--kinds NAME ..] [--boxes N] [--images N] --json OUT

One process for each kind, on a GPU if there is one (the encoder in bfloat16 where that is native).

    <kind>_image_ms          encoding an image of 640x480 and decoding its boxes (20 unless told)
    <kind>_images_per_s      of that
    <kind>_box_ms            what one of the boxes adds
    <kind>_peak_mb           highest main memory of the process, everything included
    <kind>_gpu_peak_mb       highest memory of tensors on the GPU, if there is one
    <kind>_weights_mb        size of the weights in 32 bits
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measurement import print_table, write_figures

from models.pretrained.sam import SamModel
from models.training import choose_device, choose_precision
from pseudogt.box_masks.prompts import NO_POINTS
from pseudogt.box_masks.sam_folder import KINDS

CONFIGS = {
    "sam": ("SamConfig", {}),
    "sam_vit_h": (
        "SamConfig",
        {
            "vision_config": {
                "hidden_size": 1280,
                "num_hidden_layers": 32,
                "num_attention_heads": 16,
                "global_attn_indexes": [7, 15, 23, 31],
            }
        },
    ),
    "sam_hq": ("SamHQConfig", {}),
    "sam2": ("Sam2Config", {}),
    "sam3_tracker": ("Sam3TrackerConfig", {}),
}
"""Configurations of transformers and what differs from their defaults: ViT-B, ViT-H, ViT-B, Hiera-T, SAM 3."""

HEIGHT, WIDTH = 480, 640


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--boxes", type=int, default=20)
    parser.add_argument("--images", type=int, default=3, help="of which the median is taken, after one to warm up")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        arguments.json.write_text(json.dumps(measure(arguments.kinds[0], arguments.boxes, arguments.images)))
        return
    figures: dict[str, float | None] = {}
    for kind in arguments.kinds:
        # The highest memory is that of a process, so that each kind has one.
        counts = ["--boxes", str(arguments.boxes), "--images", str(arguments.images)]
        command = [sys.executable, __file__, "--alone", "--kinds", kind, *counts, "--json", str(arguments.json)]
        subprocess.run(command, check=True)
        figures |= {f"{kind}_{name}": value for name, value in json.loads(arguments.json.read_text()).items()}
    print_table(figures)
    write_figures(arguments.json, figures)


def build(kind: str) -> SamModel:
    """A model of full size with random weights."""
    import transformers

    name, changes = CONFIGS[kind]
    reader = KINDS[kind.removesuffix("_vit_h")]
    network: Any = getattr(transformers, reader.network)(getattr(transformers, name)(**changes))
    device = choose_device("auto")
    processor = getattr(transformers, reader.image_processor)()
    dtype = choose_precision("auto", device)
    return SamModel(network, processor, keeps_aspect=reader.keeps_aspect, device=device, dtype=dtype)


def measure(kind: str, count: int, images: int) -> dict[str, float]:
    """Figures of one kind."""
    model = build(kind)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    corners = rng.integers(0, [WIDTH - 100, HEIGHT - 100], (count, 2))
    boxes = np.column_stack([corners, corners + rng.integers(20, 100, (count, 2))]).astype(np.int32)

    def time_boxes(number: int) -> float:
        start = time.perf_counter()
        model.segment_boxes(image, boxes[:number], [NO_POINTS] * number)
        return time.perf_counter() - start

    time_boxes(count)
    all_boxes, one_box = (float(np.median([time_boxes(n) for _ in range(images)])) for n in (count, 1))
    figures = {
        "image_ms": 1e3 * all_boxes,
        "images_per_s": 1 / all_boxes,
        "box_ms": 1e3 * (all_boxes - one_box) / max(count - 1, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "weights_mb": 4 * sum(weight.numel() for weight in model.network.parameters()) / 1e6,
    }
    if torch.cuda.is_available():
        figures["gpu_peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
    return figures


if __name__ == "__main__":
    main()
