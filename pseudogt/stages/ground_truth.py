"""Convert the ground truth of one shard to COCO panoptic label files.

python -m pseudogt.stages.ground_truth --shard S.json --data-root R --out DIR --settings JSON

Apart from ``check``, this is the only stage that reads the dataset's label files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import class_table, read_ground_truth
from pseudogt.files.index import read_shard
from pseudogt.files.labels import write_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.shards import split_of_shard


def main(argv: Sequence[str] | None = None) -> None:
    """Write the label folder of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--out", type=Path, required=True, help="label folder to write")
    args = parser.parse_args(argv)
    settings = parse_settings(DatasetSettings, args.settings)
    classes = class_table(settings)
    split = split_of_shard(args.shard.stem)
    records, _ = read_shard(args.shard)
    with write_labels(args.out, classes) as labels:
        for record in tqdm(records, desc=f"ground truth {args.shard.stem}", unit="image"):
            panoptic_id, crowd_ids = read_ground_truth(settings, args.data_root, split, record.image_id, classes)
            if panoptic_id.shape != (record.height, record.width):
                raise ValueError(
                    f"{record.image}: the image is {record.width}x{record.height}, its label "
                    f"{panoptic_id.shape[1]}x{panoptic_id.shape[0]}; they must have one size"
                )
            labels.add(record.image_id, panoptic_id, crowd_ids=crowd_ids)


if __name__ == "__main__":
    run_stage(main)
