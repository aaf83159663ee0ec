"""Write the true objects of one shard, against which detections are scored, as COCO's instances JSON.

They are the things of the ground truth, with masks, or the boxes of a dataset that has only boxes (VOC 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pseudogt.annotations.objects import find_true_objects
from pseudogt.annotations.voc import read_voc
from pseudogt.classes import ClassTable
from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import list_images
from pseudogt.files.detections import Annotation, write_true_objects
from pseudogt.files.labels import LabelFolder
from pseudogt.metrics.average_precision import describe_true_things
from pseudogt.metrics.detection import describe_objects
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Write the objects of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--ground-truth", type=Path, help="label folder of the shard")
    source.add_argument("--data-root", type=Path, help="folder of a dataset with boxes")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    arguments = parser.parse_args(argv)
    settings = parse_settings(DatasetSettings, arguments.settings)
    shard = Shard.open(arguments.shard)
    read = (
        open_true_masks(arguments.ground_truth, shard.classes)
        if arguments.ground_truth
        else open_true_boxes(arguments.data_root, settings, shard.classes)
    )
    objects = {image.image_id: read(image.image_id) for image in shard.images("objects")}
    sizes = {image.image_id: image.size for image in shard}
    write_true_objects(arguments.out, sizes, objects, shard.classes)


def open_true_masks(folder: Path, classes: ClassTable) -> Callable[[str], list[Annotation]]:
    """Return what reads an image's things, with masks."""
    labels = LabelFolder(folder)
    return lambda image_id: describe_true_things(labels.read(image_id), classes)


def open_true_boxes(root: Path, settings: DatasetSettings, classes: ClassTable) -> Callable[[str], list[Annotation]]:
    """Return what reads an image's boxes."""
    images = list_images(settings, root)

    def read_boxes(image_id: str) -> list[Annotation]:
        path = images.locate(image_id).boxes
        if path is None or not path.is_file():
            raise ValueError(
                f"image {image_id!r}: there is no {path}, which holds its boxes; unpack the archive with the "
                "annotations of its split (of test, VOCtest_06-Nov-2007.tar)"
            )
        return describe_objects(find_true_objects(read_voc(path, image_id), classes), classes)

    return read_boxes


if __name__ == "__main__":
    run_stage(main)
