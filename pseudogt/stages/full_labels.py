"""Give the images of a shard that have full labels these labels, and weak labels that follow from them.

python -m pseudogt.stages.full_labels --shard S.json --all-shards S.json.. --weak-labels F.json
    [--ground-truth DIR --listed ID..] --out DIR --weak-out F.json --settings JSON --weak-settings JSON

``--out`` holds the full labels, ``--weak-out`` the weak labels of all images. An image may have a full label alone:
it need not be in ``--weak-labels``. With ``stages.weak_labels`` this is all that training knows of the ground truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.annotations.matching import match_names
from pseudogt.classes import ClassTable, find_crowds
from pseudogt.config.full_labels import FullLabelsSettings
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.export.opening import open_labels
from pseudogt.export.segments import LabelSource
from pseudogt.files.index import ImageRecord, read_shard, read_shards
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.weak_labels.from_masks import derive_weak_labels
from pseudogt.weak_labels.records import read_weak_labels, write_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write full and weak labels of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--all-shards", type=Path, nargs="+", required=True, help="to tell other images from strangers")
    parser.add_argument("--weak-labels", type=Path, required=True, help="of the shard, as given")
    parser.add_argument("--ground-truth", type=Path, help="label folder of the shard, for the listed images")
    parser.add_argument("--listed", nargs="+", default=[], help="ids of images whose labels of the dataset are used")
    parser.add_argument("--out", type=Path, required=True, help="label folder to write")
    parser.add_argument("--weak-out", type=Path, required=True, help="weak-label file to write")
    parser.add_argument("--weak-settings", required=True, help="the config section `weak_labels` as JSON")
    args = parser.parse_args(argv)
    settings = parse_settings(FullLabelsSettings, args.settings)
    weak_settings = parse_settings(WeakLabelsSettings, args.weak_settings)
    records, classes = read_shard(args.shard)
    weak_labels, _ = read_weak_labels([args.weak_labels])
    sources = {} if args.ground_truth is None else list_sources(LabelFolder(args.ground_truth), args.listed)
    if settings.folder is not None:
        sources |= find_in_folder(Path(settings.folder), records, read_shards(args.all_shards)[0], classes)
    images = []
    with write_labels(args.out, classes) as writer:
        for record in tqdm(records, desc=f"full labels {args.shard.stem}", unit="image", mininterval=5):
            if record.image_id not in sources:
                if record.image_id not in weak_labels:
                    raise ValueError(f"{args.weak_labels}: image {record.image_id!r} has neither weak nor full labels")
                images.append(weak_labels[record.image_id])
                continue
            panoptic_id = read_full_label(*sources[record.image_id], record)
            crowd_ids = find_crowds(panoptic_id, classes)
            writer.add(record.image_id, panoptic_id, crowd_ids=crowd_ids)
            images.append(derive_weak_labels(record.image_id, panoptic_id, crowd_ids, classes, weak_settings))
    write_weak_labels(args.weak_out, images, classes)


def list_sources(truth: LabelFolder, listed: Sequence[str]) -> dict[str, tuple[LabelSource, str]]:
    """Labels of the dataset, and the name in them, of each listed image."""
    return {image_id: (truth, image_id) for image_id in listed}


def find_in_folder(
    folder: Path, records: Sequence[ImageRecord], everywhere: Sequence[ImageRecord], classes: ClassTable
) -> dict[str, tuple[LabelSource, str]]:
    """Labels of a folder, and the name in them, of each image of ``records`` that is in it.

    ``everywhere`` are the images of all shards.
    """
    labels = open_labels(folder, classes)
    names = match_images(labels.image_ids, everywhere, folder)
    return {r.image_id: (labels, names[r.image_id]) for r in records if r.image_id in names}


def match_images(names: Sequence[str], records: Sequence[ImageRecord], folder: Path) -> dict[str, str]:
    """Image id -> name in a folder of labels, which is an image's id or that of its file.

    Raises
    ------
    ValueError
        If a name means no image, or two mean the same.
    """
    images = {Path(record.image).stem: record for record in records} | {r.image_id: r for r in records}
    matches = match_names(names, {key: record.image for key, record in images.items()})
    if matches.strangers:
        raise ValueError(
            f"{folder}: {matches.strangers[0]!r} (and {len(matches.strangers) - 1} more) is no image of the dataset; "
            "labels must have the names of their images"
        )
    found: dict[str, str] = {}
    for key, positions in matches.by_image.items():
        for name in (names[position] for position in positions):
            if images[key].image_id in found:
                raise ValueError(f"{folder}: {found[images[key].image_id]!r} and {name!r} label one image; remove one")
            found[images[key].image_id] = name
    return found


def read_full_label(source: LabelSource, name: str, record: ImageRecord) -> NDArray[np.int32]:
    """Panoptic ids ``(H, W) int32`` of an image, of its size."""
    panoptic_id = source.read(name)
    if panoptic_id.shape != (record.height, record.width):
        raise ValueError(
            f"the full label of {record.image_id!r} is {panoptic_id.shape[1]}x{panoptic_id.shape[0]}, its image "
            f"{record.width}x{record.height}; they must have one size"
        )
    return panoptic_id


if __name__ == "__main__":
    run_stage(main)
