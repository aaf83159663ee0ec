"""Convert the ground truth of one shard to COCO panoptic label files.

Apart from ``check``, and ``objects`` for a dataset that has only boxes, no other stage reads the dataset's label files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import class_table, list_images
from pseudogt.datasets.coco_segments import find_unknown_classes
from pseudogt.datasets.ground_truth import read_panoptic
from pseudogt.files.labels import write_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Write the label folder of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--out", type=Path, required=True, help="label folder to write")
    arguments = parser.parse_args(argv)
    settings = parse_settings(DatasetSettings, arguments.settings)
    classes = class_table(settings)
    shard = Shard.open(arguments.shard)
    images = list_images(settings, arguments.data_root)
    with write_labels(arguments.out, classes) as labels:
        for image in shard.images("ground truth"):
            files = images.locate(image.image_id)
            panoptic_id, crowd_ids = read_panoptic(files, settings, classes)
            image.check_size(panoptic_id.shape, "its label")
            unknown = find_unknown_classes(files, settings)
            labels.add(image.image_id, panoptic_id, crowd_ids=crowd_ids, unknown_ids=unknown)


if __name__ == "__main__":
    run_stage(main)
