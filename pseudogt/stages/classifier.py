"""Train the tag classifier, whose score map says which class is where, on tags and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.augmentation import Augmentation
from models.classifier.batches import TagSample
from models.classifier.network import ClassifierModel, resize_for_classifier
from models.classifier.training import ClassifierLoss, TagBatches, list_tag_samples, measure_tag_precision
from models.training import TrainingPlan, is_main_process, train, write_training
from models.training_set import TrainingSet
from pseudogt.config.classifier import ClassifierSettings
from pseudogt.weak_labels.gaps import check_supervision
from pseudogt.workflow.cli import parse_settings, run_stage, training_parser
from pseudogt.workflow.provenance import name_checkpoint
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Train on the shards and write ``model.pt`` and ``record.json``."""
    parser = training_parser(__doc__)
    parser.add_argument("--val-shards", type=Path, nargs="*", default=[])
    parser.add_argument("--val-weak-labels", type=Path, nargs="*", default=[])
    arguments = parser.parse_args(argv)
    settings = parse_settings(ClassifierSettings, arguments.settings)
    shard = Shard.open(arguments.shards, weak_labels=arguments.weak_labels)
    val = Shard.open(arguments.val_shards, weak_labels=arguments.val_weak_labels) if arguments.val_shards else None
    resolved = settings.model_dump(mode="json")
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
    )
    weak_labels = [image.weak for image in shard]
    check_supervision(weak_labels)
    images = read_tag_samples(shard, settings)
    batches = TagBatches(
        images=images,
        samples=list_tag_samples(weak_labels, settings.samples),
        classes=shard.classes,
        augmentation=settings.fill(
            Augmentation,
            crop_size=(settings.crop_height_px, settings.crop_width_px),
            zoom=(settings.zoom_min, settings.zoom_max),
        ),
    )
    inputs = [*arguments.shards, *arguments.weak_labels]
    checkpoint = name_checkpoint(arguments.scratch, __spec__.name, resolved, inputs)
    record = train(
        model.network,
        sample_count=len(batches.samples),
        load_batch=batches.load,
        compute_losses=settings.fill(ClassifierLoss),
        plan=settings.fill(TrainingPlan),
        checkpoint=checkpoint,
        description="classifier",
    )
    if is_main_process():
        if val is not None:
            shard.check_classes(val.classes, val.path)
        measured = measure_tag_precision(model, read_tag_samples(val, settings)) if val else None
        write_training(arguments.out, model, {**record, "images": len(images), "val": measured}, checkpoint)


def read_tag_samples(shard: Shard, settings: ClassifierSettings) -> TrainingSet[TagSample]:
    """The images of a shard at the network's resolution, read when asked for."""

    def prepare(number: int) -> TagSample:
        image = shard[number]
        return TagSample(resize_for_classifier(image.read(), settings.scale), image.weak)

    return TrainingSet(len(shard), prepare, cache_gb=settings.cache_gb)


if __name__ == "__main__":
    run_stage(main)
