"""Decode every image of the dataset once and assign images to shards.

python -m pseudogt.stages.index --data-root R --out index.json --shards-dir index --shard-size N --settings JSON

An earlier ``index.json`` (``--previous``, by default the one at ``--out``) keeps images in their shards.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from pseudogt.cli import parse_settings, run_stage, stage_parser
from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import class_table, list_image_ids, locate
from pseudogt.index import ImageRecord, write_shard
from pseudogt.io import read_image, read_json, write_json
from pseudogt.labels import ClassTable
from pseudogt.shards import plan_shards, split_of_shard


def main(argv: Sequence[str] | None = None) -> None:
    """Write ``index.json`` and one record file per shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--out", type=Path, required=True, help="index.json to write")
    parser.add_argument("--shards-dir", type=Path, required=True, help="folder for <shard>.json")
    parser.add_argument("--shard-size", type=int, required=True, help="largest number of images in a shard")
    parser.add_argument("--previous", type=Path, help="index.json of an earlier run; default: --out if it is there")
    parser.add_argument("--threads", type=int, default=1, help="images decoded at the same time")
    args = parser.parse_args(argv)
    settings = parse_settings(DatasetSettings, args.settings)
    ids_by_split = list_image_ids(settings, args.data_root)
    for warning in find_warnings(ids_by_split, args.shard_size):
        print(f"warning: {warning}", file=sys.stderr)
    plan = plan_shards(read_previous_plan(args.previous or args.out), ids_by_split, args.shard_size)
    records = read_records(settings, args.data_root, plan, args.threads)
    classes = class_table(settings)
    for shard, image_ids in plan.items():
        write_if_changed(args.shards_dir / f"{shard}.json", [records[i] for i in image_ids], classes)
    remove_stale_shards(args.shards_dir, plan)
    document = {"shards": plan, "categories": classes.to_categories(), "images": len(records)}
    write_json(args.out, document)


def read_previous_plan(path: Path) -> dict[str, list[str]] | None:
    """Return the shards recorded in an ``index.json``, None if there is none."""
    return read_json(path)["shards"] if path.is_file() else None


def find_warnings(ids_by_split: Mapping[str, Sequence[str]], shard_size: int) -> list[str]:
    """Say what is legal but probably not meant."""
    warnings = []
    if not ids_by_split["val"]:
        warnings.append("no image in val: the model will not be scored; set dataset.val_split or dataset.val_fraction")
    if len(ids_by_split["train"]) == 1:
        warnings.append("only one image in train: the model will know this image and nothing else")
    images = sum(map(len, ids_by_split.values()))
    if shard_size > images:
        warnings.append(f"shard_size {shard_size} exceeds the {images} images: one shard per split, no parallel work")
    return warnings


def read_records(
    settings: DatasetSettings, data_root: Path, plan: Mapping[str, Sequence[str]], threads: int
) -> dict[str, ImageRecord]:
    """Decode all images; an unreadable one is an error that names it."""
    members = [(split_of_shard(shard), image_id) for shard, image_ids in plan.items() for image_id in image_ids]

    def read(member: tuple[str, str]) -> ImageRecord:
        return read_record(locate(settings, data_root, *member).image, member[1])

    with ThreadPoolExecutor(threads) as pool:
        records = tqdm(pool.map(read, members), total=len(members), desc="index", unit="image")
        return {record.image_id: record for record in records}


def read_record(path: Path, image_id: str) -> ImageRecord:
    """Size and SHA-1 of one image file."""
    height, width = read_image(path).shape[:2]
    checksum = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    return ImageRecord(image_id=image_id, image=str(path), height=height, width=width, checksum=checksum)


def write_if_changed(path: Path, records: Iterable[ImageRecord], classes: ClassTable) -> None:
    """Write a shard; an equal file stays untouched, so that nothing that depends on it reruns."""
    fresh = path.with_suffix(".json.new")
    write_shard(fresh, records, classes)
    if path.is_file() and path.read_bytes() == fresh.read_bytes():
        fresh.unlink()
    else:
        fresh.replace(path)


def remove_stale_shards(folder: Path, plan: Mapping[str, Sequence[str]]) -> None:
    """Remove files of shards that no longer exist."""
    for path in folder.glob("*.json"):
        if path.stem not in plan:
            path.unlink()


if __name__ == "__main__":
    run_stage(main)
