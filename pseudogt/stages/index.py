"""Decode every image of a shard once: its path, size and checksum.

Images are assigned to shards before the first job, by :func:`pseudogt.workflow.assignment.assign_shards`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import class_table, list_images
from pseudogt.files.headers import read_header
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write the records of one shard; an unreadable image is an error that names it."""
    parser = stage_parser(__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--image-ids", required=True, help="the shard's images, a JSON list")
    parser.add_argument("--out", type=Path, required=True, help="record file to write")
    parser.add_argument("--threads", type=int, default=1, help="images decoded at the same time")
    arguments = parser.parse_args(argv)
    settings = parse_settings(DatasetSettings, arguments.settings)
    image_ids = json.loads(arguments.image_ids)

    images = list_images(settings, arguments.data_root)

    def read(image_id: str) -> ImageRecord:
        return read_record(images.locate(image_id).image, image_id)

    with ThreadPoolExecutor(arguments.threads) as pool:
        records = list(tqdm(pool.map(read, image_ids), total=len(image_ids), desc="index", unit="image"))
    write_shard(arguments.out, records, class_table(settings))


def read_record(path: Path, image_id: str) -> ImageRecord:
    """Size, orientation and SHA-1 of one image file."""
    height, width = read_image(path).shape[:2]
    orientation = read_header(path).orientation
    checksum = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    return ImageRecord(
        image_id=image_id, image=str(path), height=height, width=width, checksum=checksum, orientation=orientation
    )


if __name__ == "__main__":
    run_stage(main)
