"""Write labels in the formats of other tools.

python -m pseudogt.stages.export shard --format F --shard S.json --labels DIR --out DIR --settings JSON
python -m pseudogt.stages.export merge --format F --shards S.json.. --parts DIR.. --out DIR --provenance JSON
python -m pseudogt.stages.export verify DIR

``shard`` writes the files of one shard's images, image by image, and ``records.jsonl`` with what the set needs of
them. ``merge`` hard-links these files into one folder, writes what is there once, and ``manifest.json``. ``verify``
names every file that differs from the manifest, is missing or extra.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from pseudogt.classes import ClassTable
from pseudogt.config.export import ExportSettings
from pseudogt.export import FORMATS
from pseudogt.export.documents import RECORDS, Records, write_records
from pseudogt.export.manifest import (
    MANIFEST_JSON,
    build_manifest,
    compute_checksum,
    list_files,
    measure_image,
    summarise_images,
    verify,
)
from pseudogt.export.segments import LabelledImage
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, read_shard, read_shards
from pseudogt.files.io import read_json, replace_atomically, write_json
from pseudogt.files.labels import LabelFolder
from pseudogt.files.parsing import read_id_list
from pseudogt.workflow.cli import parse_settings, run_stage
from pseudogt.workflow.shards import split_of_shard

FILES = "files"
JPEG_QUALITY = 95


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    arguments = _parse_arguments(argv)
    arguments.run(arguments)


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shard = commands.add_parser("shard", help="files of one shard")
    shard.add_argument("--shard", required=True, type=Path, help="index/<shard>.json")
    shard.add_argument("--labels", required=True, type=Path, help="label folder of the shard")
    shard.set_defaults(run=export_shard)
    merge = commands.add_parser("merge", help="one set of all shards")
    merge.add_argument("--shards", required=True, nargs="+", type=Path, help="index/<shard>.json of all parts")
    merge.add_argument("--parts", required=True, nargs="+", type=Path, help="--out of all shards")
    merge.add_argument("--provenance", default="{}", help="what the manifest says of the run, as JSON")
    merge.set_defaults(run=merge_shards)
    for command in (shard, merge):
        command.add_argument("--format", required=True, choices=list(FORMATS.names))
        command.add_argument("--out", required=True, type=Path)
        command.add_argument("--settings", default="{}", help="the config section `export` as JSON")
    check = commands.add_parser("verify", help="compare a set with its manifest")
    check.add_argument("folder", type=Path)
    check.set_defaults(run=verify_set)
    return parser.parse_args(argv)


def export_shard(arguments: argparse.Namespace) -> None:
    """Write the files of one shard and its records."""
    settings = parse_settings(ExportSettings, arguments.settings)
    records, classes = read_shard(arguments.shard)
    labels = LabelFolder(arguments.labels)
    if settings.only is not None:
        chosen = set(read_id_list(Path(settings.only)))
        records = [record for record in records if record.image_id in chosen]
    split = split_of_shard(arguments.shard.stem)
    with replace_atomically(arguments.out) as folder:
        (folder / FILES).mkdir(parents=True)
        progress = tqdm(records, desc=f"{arguments.format} {arguments.shard.stem}", unit="image", mininterval=5)
        written = (write_image(folder / FILES, r, labels, split, classes, arguments.format, settings) for r in progress)
        write_records(folder / RECORDS, written)


def write_image(
    folder: Path,
    record: ImageRecord,
    labels: LabelFolder,
    split: str,
    classes: ClassTable,
    name: str,
    settings: ExportSettings,
) -> dict[str, Any]:
    """Write the files of one image in a format and return its record."""
    panoptic_id = labels.read(record.image_id)
    scores = {s["id"]: s["score"] for s in labels.segments(record.image_id) if "score" in s}
    image = LabelledImage(record.image_id, Path(record.image).name, split, panoptic_id, scores)
    try:
        entry = FORMATS.load(name).write_image(folder, image, classes, settings)
        measured = measure_image(panoptic_id, scores, classes)
    except ValueError as error:
        raise ValueError(f"{labels.folder}: {error}") from error
    if settings.images:
        place = FORMATS.load(name).place_image(image.image_id, split, image.file_name)
        copy_image(Path(record.image), folder / place)
    return {
        "image_id": image.image_id,
        "file_name": image.file_name,
        "split": split,
        "height": record.height,
        "width": record.width,
        "entry": entry,
        "measured": measured,
    }


def copy_image(source: Path, target: Path) -> None:
    """Copy an image; where the format wants another kind of file, encode it anew."""
    target.parent.mkdir(parents=True, exist_ok=True)
    kinds = [path.suffix.lower().replace(".jpeg", ".jpg") for path in (source, target)]
    if kinds[0] == kinds[1]:
        target.write_bytes(source.read_bytes())
        return
    image = cv2.cvtColor(read_image(source), cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(target), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise OSError(f"{target}: could not be written")


def merge_shards(arguments: argparse.Namespace) -> None:
    """Write one set of all shards."""
    settings = parse_settings(ExportSettings, arguments.settings)
    _, classes = read_shards(arguments.shards)
    records = Records(part / RECORDS for part in arguments.parts)
    with replace_atomically(arguments.out) as folder:
        folder.mkdir()
        for part in tqdm(arguments.parts, desc=f"export {arguments.format}", unit="shard", mininterval=5):
            link_files(part / FILES, folder)
        FORMATS.load(arguments.format).write_set(folder, records, classes, settings)
        summary = summarise_images((record["measured"] for record in records), classes)
        provenance = {"format": arguments.format, **json.loads(arguments.provenance)}
        checksums = ((name, compute_checksum(folder / name)) for name in list_files(folder))
        write_json(folder / MANIFEST_JSON, build_manifest(provenance, summary, checksums))


def link_files(source: Path, target: Path) -> None:
    """Hard-link all files below a folder into another."""
    for name in list_files(source):
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source / name, place)
        except FileExistsError as error:
            raise ValueError(f"two images want the file {name}; rename one of them") from error


def verify_set(arguments: argparse.Namespace) -> None:
    """Print what differs from the manifest; end with exit code 1 if anything does."""
    problems = verify(arguments.folder)
    count = len(read_json(arguments.folder / MANIFEST_JSON)["files"])
    if problems:
        print("\n".join(problems))
        print(f"{arguments.folder}: {len(problems)} of {count} files are not as exported", file=sys.stderr)
        raise SystemExit(1)
    print(f"{arguments.folder}: {count} files, all as exported")


if __name__ == "__main__":
    run_stage(main)
