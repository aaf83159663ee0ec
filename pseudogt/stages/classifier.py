"""Train the tag classifier, whose score map locates classes, on tags and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.augmentation import Augmentation
from models.backbones import Freeze
from models.classifier.batches import TagSample
from models.classifier.losses import ClassifierLoss
from models.classifier.model import ClassifierModel
from models.classifier.network import resize_for_classifier
from models.classifier.training import TagBatches, list_tag_samples, measure_tag_precision
from models.training import TrainingPlan, is_main_process, list_drawn, train, write_training
from models.training_set import Preparation, TrainingSet
from pseudogt.config.classifier import ClassifierSettings
from pseudogt.config.machine import UNRECORDED
from pseudogt.weak_labels.gaps import check_supervision
from pseudogt.weak_labels.widths import ClassWidths, find_narrowness, measure_class_widths
from pseudogt.weak_labels.windows import Windows, check_windows
from pseudogt.workflow.cli import parse_settings, run_stage, training_parser
from pseudogt.workflow.provenance import name_training_files
from pseudogt.workflow.stage import Shard

WIDTH_IMAGES = 500
"""Images with marks in which widths are measured, spread evenly."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train on the shards and write ``model.pt`` and ``record.json``."""
    parser = training_parser(__doc__)
    parser.add_argument("--val-shards", type=Path, nargs="*", default=[])
    parser.add_argument("--val-weak-labels", type=Path, nargs="*", default=[])
    arguments = parser.parse_args(argv)
    settings = parse_settings(ClassifierSettings, arguments.settings)
    shard = Shard.open(arguments.shards, weak_labels=arguments.weak_labels)
    weak_labels = [image.weak for image in shard]
    check_supervision(weak_labels)
    check_windows(weak_labels, shard.classes, settings.fill(Windows))
    resolved = settings.model_dump(mode="json", exclude=UNRECORDED)
    model = ClassifierModel.build(
        shard.classes,
        backbone=settings.backbone,
        weights=settings.weights,
        levels=settings.levels,
        channels=settings.decoder_channels,
        scale=settings.scale,
        sharpness=settings.sharpness,
        seed=settings.seed,
        settings=resolved,
        freeze=settings.fill(Freeze),
    )
    widths = measure_widths(shard)
    # Marks have surroundings, if these are learned from.
    surroundings = widths if settings.ring_weight else None
    source = TagSource(shard, settings.scale, settings.point_region_scale, surroundings)
    samples = list_tag_samples(weak_labels, settings.samples)
    plan = settings.fill(TrainingPlan, cores=arguments.cores)
    drawn = np.unique([samples[number][0] for number in list_drawn(plan, len(samples))])
    sample_facts = [settings.scale, settings.point_region_scale, [w.tolist() for w in surroundings or ()]]
    inputs = [*arguments.shards, *arguments.weak_labels]
    files = name_training_files(arguments.scratch, __spec__.name, resolved, [*sample_facts, drawn.tolist()], inputs)
    images = TrainingSet(files.samples, drawn, TagSample)
    batches = TagBatches(
        images=images,
        samples=samples,
        classes=shard.classes,
        augmentation=settings.fill(Augmentation),
        with_marks=any(len(weak.marks) for weak in weak_labels),
    )
    record = train(
        model.network,
        sample_count=len(samples),
        load_batch=batches.load,
        compute_losses=settings.fill(ClassifierLoss, narrowness=tuple(find_narrowness(widths.mean))),
        plan=plan,
        preparation=Preparation(source, images),
        checkpoint=files.checkpoint,
        description="classifier",
    )
    if is_main_process():
        measured = measure_on_val(model, shard, arguments.val_shards, arguments.val_weak_labels)
        facts = {**record, "images": len(shard), "val": measured}
        model = replace(model, widths=tuple(widths.mean.tolist() if widths.mean.any() else ()))
        write_training(arguments.out, model, facts, files.checkpoint, images)


def measure_on_val(
    model: ClassifierModel, train_shard: Shard, shards: Sequence[Path], weak_labels: Sequence[Path]
) -> dict[str, Any] | None:
    """Read other images and measure the average precision of their tags; None without images."""
    if not shards:
        return None
    val = Shard.open(shards, weak_labels=weak_labels)
    train_shard.check_classes(val.classes, val.path)
    return measure_tag_precision(model, TagSource(val, model.scale))


def measure_widths(shard: Shard) -> ClassWidths:
    """Half widths of the marked segments of each class in at most ``WIDTH_IMAGES`` images."""
    marked = [number for number, image in enumerate(shard) if len(image.weak.marks)]
    places = np.linspace(0, len(marked) - 1, min(WIDTH_IMAGES, len(marked))).astype(int)
    images = (shard[marked[place]] for place in np.unique(places))
    return measure_class_widths(((image.read(), image.weak) for image in images), len(shard.classes))


@dataclass(frozen=True)
class TagSource:
    """The images of a shard at the network's resolution, read when asked for."""

    shard: Shard
    scale: float
    point_region_scale: float = 0
    widths: ClassWidths | None = None

    def __len__(self) -> int:
        return len(self.shard)

    def __getitem__(self, number: int) -> TagSample:
        image = self.shard[number]
        resized = resize_for_classifier(image.read(), self.scale)
        return TagSample.make(resized, image.weak, region_scale=self.point_region_scale, widths=self.widths)


if __name__ == "__main__":
    run_stage(main)
