"""Write labels in the formats of other tools.

``shard`` writes the files of one shard's images, image by image, and their records for the set, ``records.jsonl``.
``merge`` hard-links these files into one folder and writes the files of the whole set and ``manifest.json``. ``verify``
names every file that differs from the manifest, is missing or was added.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pseudogt.classes import INSTANCE_DIVISOR, VOID
from pseudogt.config.export import ExportSettings
from pseudogt.export import FORMATS
from pseudogt.export.copies import copy_image, name_copy
from pseudogt.export.documents import RECORDS, Records, write_records
from pseudogt.export.manifest import (
    MANIFEST_JSON,
    build_manifest,
    compute_checksum,
    list_files,
    measure_image,
    summarise_set,
    verify,
)
from pseudogt.export.segments import LabelledImage
from pseudogt.files.io import link_file, read_json, replace_atomically, write_json
from pseudogt.files.labels import LabelFolder
from pseudogt.parsing.image_lists import read_id_list
from pseudogt.parsing.problems import shorten_list
from pseudogt.weak_labels.files import read_weak_labels
from pseudogt.weak_labels.supervision import count_marks
from pseudogt.workflow.cli import parse_settings, run_stage
from pseudogt.workflow.shards import split_of_shard
from pseudogt.workflow.stage import Shard, ShardImage

FILES = "files"


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    part = commands.add_parser("shard", help="files of one shard")
    part.add_argument("--shard", required=True, type=Path, help="index/<shard>.json")
    part.add_argument("--labels", required=True, type=Path, help="label folder of the shard")
    part.set_defaults(run=export_shard)
    merge = commands.add_parser("merge", help="one set of all shards")
    merge.add_argument("--shards", required=True, nargs="+", type=Path, help="index/<shard>.json of all parts")
    merge.add_argument("--parts", required=True, nargs="+", type=Path, help="--out of all shards")
    merge.add_argument("--weak-labels", nargs="*", default=[], type=Path, help="of train, whose marks are counted")
    merge.add_argument("--provenance", default="{}", help="what the manifest says of the run, as JSON")
    merge.set_defaults(run=merge_set)
    for command in (part, merge):
        command.add_argument("--format", dest="name", required=True, choices=FORMATS.names)
        command.add_argument("--out", required=True, type=Path)
        command.add_argument("--settings", default="{}", help="the config section `export` as JSON")
    check = commands.add_parser("verify", help="compare a set with its manifest")
    check.add_argument("folder", type=Path)
    check.set_defaults(run=verify_set)
    arguments = vars(parser.parse_args(argv))
    arguments.pop("run")(**arguments)


def export_shard(shard: Path, labels: Path, name: str, out: Path, settings: str) -> None:
    """Write the files of one shard and its records."""
    section = parse_settings(ExportSettings, settings)
    opened, source = Shard.open(shard), LabelFolder(labels)
    if section.only is not None:
        opened = opened.take(read_id_list(Path(section.only)))
    with replace_atomically(out) as folder:
        (folder / FILES).mkdir(parents=True)
        images = opened.images(name)
        write_records(folder / RECORDS, (write_image(folder / FILES, i, source, opened, name, section) for i in images))


def write_image(
    folder: Path, image: ShardImage, labels: LabelFolder, shard: Shard, name: str, settings: ExportSettings
) -> dict[str, Any]:
    """Write the files of one image in a format and return its record."""
    panoptic_id, scores = labels.read(image.image_id), labels.scores(image.image_id)
    # Outside the things of box masks, the class is unknown.
    panoptic_id[panoptic_id // INSTANCE_DIVISOR == shard.classes.background_category_id] = VOID
    split, file_name = split_of_shard(shard.name), name_copy(image.record)
    labelled = LabelledImage(image.image_id, file_name, split, panoptic_id, scores)
    writer = FORMATS.load(name)
    try:
        entry = writer.write_image(folder, labelled, shard.classes, settings)
        measured = measure_image(panoptic_id, scores, shard.classes)
    except ValueError as error:
        raise ValueError(f"{labels.path}: {error}") from error
    if settings.images:
        copy_image(Path(image.record.image), folder / writer.place_image(image.image_id, split, file_name))
    return {
        "image_id": image.image_id,
        "file_name": file_name,
        "split": split,
        "height": image.record.height,
        "width": image.record.width,
        "entry": entry,
        "measured": measured,
    }


def check_listed(exported: set[str], only: str | None) -> None:
    """Warn of listed images that are not among the exported ones; that there is none is a ``ValueError``."""
    if not exported:
        raise ValueError("there is no image to export; export.only and the split have no image in common")
    missing = [image_id for image_id in read_id_list(Path(only)) if image_id not in exported] if only else []
    if missing:
        print(
            f"warning: {only}: {len(missing)} images are not exported, as the split has none of these ids: "
            f"{', '.join(shorten_list(missing))}",
            file=sys.stderr,
        )


def merge_set(
    shards: Sequence[Path],
    parts: Sequence[Path],
    weak_labels: Sequence[Path],
    provenance: str,
    name: str,
    out: Path,
    settings: str,
) -> None:
    """Write one set of all shards."""
    section = parse_settings(ExportSettings, settings)
    classes = Shard.open(shards).classes
    records = Records(part / RECORDS for part in parts)
    check_listed({record["image_id"] for record in records}, section.only)
    with replace_atomically(out) as folder:
        folder.mkdir()
        for part in tqdm(parts, desc=f"export {name}", unit="shard", mininterval=5):
            link_files(part / FILES, folder)
        FORMATS.load(name).write_set(folder, records, classes, section)
        summary = summarise_set((record["measured"] for record in records), classes)
        facts = {"format": name, **json.loads(provenance)}
        if weak_labels:
            facts["marks"] = count_marks(read_weak_labels(weak_labels)[0].values())
        checksums = ((file, compute_checksum(folder / file)) for file in list_files(folder))
        write_json(folder / MANIFEST_JSON, build_manifest(facts, summary, checksums))


def link_files(source: Path, target: Path) -> None:
    """Hard-link all files below a folder into another."""
    for name in list_files(source):
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            link_file(source / name, place)
        except FileExistsError as error:
            raise ValueError(f"two images want the file {name}; rename one of them") from error


def verify_set(folder: Path) -> None:
    """Print what differs from the manifest; end with exit code 1 if anything does."""
    problems = verify(folder)
    count = len(read_json(folder / MANIFEST_JSON)["files"])
    if problems:
        print("\n".join(problems))
        print(f"{folder}: {len(problems)} of {count} files are not as exported", file=sys.stderr)
        raise SystemExit(1)
    print(f"{folder}: {count} files, all as exported")


if __name__ == "__main__":
    run_stage(main)
