"""Decode every image of a shard once: its path, size and checksum.

python -m pseudogt.stages.index --data-root R --split train --image-ids '["a", "b"]' --out S.json --settings JSON

Which image is in which shard is decided before the first job, and recorded by :func:`record_plan`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import class_table, locate
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.files.io import write_json
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.shards import split_of_shard


def main(argv: Sequence[str] | None = None) -> None:
    """Write the records of one shard; an unreadable image is an error that names it."""
    parser = stage_parser(__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--split", choices=["train", "val"], required=True)
    parser.add_argument("--image-ids", required=True, help="the shard's images, a JSON list")
    parser.add_argument("--out", type=Path, required=True, help="record file to write")
    parser.add_argument("--threads", type=int, default=1, help="images decoded at the same time")
    args = parser.parse_args(argv)
    settings = parse_settings(DatasetSettings, args.settings)
    image_ids = json.loads(args.image_ids)

    def read(image_id: str) -> ImageRecord:
        return read_record(locate(settings, args.data_root, args.split, image_id).image, image_id)

    with ThreadPoolExecutor(args.threads) as pool:
        records = list(tqdm(pool.map(read, image_ids), total=len(image_ids), desc="index", unit="image"))
    write_shard(args.out, records, class_table(settings))


def record_plan(path: Path, plan: Mapping[str, Sequence[str]], settings: DatasetSettings, shard_size: int) -> None:
    """Write ``index.json``, which keeps images in their shards, and say what is legal but probably not meant.

    Parameters
    ----------
    path : Path
        Of ``index.json``; files of shards that no longer exist are removed from the folder ``index`` beside it.
    plan : mapping
        Shard -> image ids.
    settings : DatasetSettings
    shard_size : int
    """
    for warning in find_warnings(plan, shard_size):
        print(f"warning: {warning}", file=sys.stderr)
    for shard in path.with_name("index").glob("*.json"):
        if shard.stem not in plan:
            shard.unlink()
    images = sum(map(len, plan.values()))
    write_json(path, {"shards": plan, "categories": class_table(settings).to_categories(), "images": images})


def find_warnings(plan: Mapping[str, Sequence[str]], shard_size: int) -> list[str]:
    """Say what of the shards is legal but probably not meant."""
    warnings = []
    splits = {name: sum(len(i) for s, i in plan.items() if split_of_shard(s) == name) for name in ("train", "val")}
    if not splits["val"]:
        warnings.append("no image in val: the model will not be scored; set dataset.val_split or dataset.val_fraction")
    if splits["train"] == 1:
        warnings.append("only one image in train: the model will know this image and nothing else")
    images = sum(splits.values())
    if shard_size > images:
        warnings.append(f"shard_size {shard_size} exceeds the {images} images: one shard per split, no parallel work")
    return warnings


def read_record(path: Path, image_id: str) -> ImageRecord:
    """Size and SHA-1 of one image file."""
    height, width = read_image(path).shape[:2]
    checksum = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    return ImageRecord(image_id=image_id, image=str(path), height=height, width=width, checksum=checksum)


if __name__ == "__main__":
    run_stage(main)
