"""Put the labels of all shards into one COCO panoptic set: ``panoptic.json`` and ``panoptic/*.png``."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from pseudogt.cli import run_stage
from pseudogt.index import read_shards
from pseudogt.io import read_json, replace_atomically, write_json
from pseudogt.label_files import PANOPTIC_JSON


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", required=True, nargs="+", type=Path)
    parser.add_argument("--labels", required=True, nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args(argv)

    records, classes = read_shards(arguments.shards)
    file_names = {record.image_id: Path(record.image).name for record in records}
    document: dict[str, list] = {"images": [], "annotations": [], "categories": classes.to_categories()}
    with replace_atomically(arguments.out) as folder:
        (folder / "panoptic").mkdir(parents=True)
        for labels in tqdm(arguments.labels, desc="export", unit="shard"):
            part = read_json(labels / PANOPTIC_JSON)
            document["images"] += [image | {"file_name": file_names[image["id"]]} for image in part["images"]]
            document["annotations"] += part["annotations"]
            for annotation in part["annotations"]:
                shutil.copyfile(labels / annotation["file_name"], folder / "panoptic" / annotation["file_name"])
        write_json(folder / PANOPTIC_JSON, document)


if __name__ == "__main__":
    run_stage(main)
