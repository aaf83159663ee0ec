"""Train the JTSM network, which learns the classes of segment proposals from tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.jtsm.evidence import open_mask_finder
from models.jtsm.model import JtsmModel
from models.jtsm.network import SEMANTIC_CHANNELS, JtsmArchitecture
from models.jtsm.samples import MiningAugmentation, MiningImage
from models.jtsm.step import MiningStep
from models.jtsm.training import (
    EvidencePlan,
    MiningBatches,
    list_mining_samples,
    make_evidence,
    measure_presence,
    prepare_mining_sample,
)
from models.training import TrainingPlan, is_main_process, list_drawn, train, write_training
from models.training_set import Preparation, TrainingSet
from pseudogt.config.machine import UNRECORDED
from pseudogt.config.mining import MiningSettings
from pseudogt.proposals.files import ProposalFile, read_proposal_files
from pseudogt.weak_labels.gaps import check_supervision
from pseudogt.workflow.cli import parse_settings, run_stage, training_parser
from pseudogt.workflow.provenance import name_training_files
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Train on the shards and write ``model.pt`` and ``record.json``."""
    parser = training_parser(__doc__)
    parser.add_argument("--proposals", type=Path, nargs="+", required=True)
    parser.add_argument("--evidence", type=Path, required=True, help="folder of masks that trainings share")
    for name in ("shards", "weak-labels", "proposals"):
        parser.add_argument(f"--val-{name}", type=Path, nargs="*", default=[])
    parser.add_argument("--weights", type=Path, help="where the backbone starts from; default: that of the settings")
    arguments = parser.parse_args(argv)
    settings = parse_settings(MiningSettings, arguments.settings)
    shard = Shard.open(arguments.shards, weak_labels=arguments.weak_labels)
    # This network learns nothing from boxes.
    check_supervision([image.weak.without_boxes() for image in shard])
    source = MiningSource.open(shard, arguments.proposals, settings.samples, needs_things=settings.needs_things)
    val = open_val(arguments.val_shards, arguments.val_weak_labels, arguments.val_proposals, shard, settings.samples)
    resolved = settings.model_dump(mode="json", exclude=UNRECORDED)
    architecture = settings.fill(
        JtsmArchitecture,
        decoder_channels=int(settings.decoder),
        mask_channels=settings.mask_channels if settings.masks else 0,
        semantic_channels=SEMANTIC_CHANNELS if settings.semantic else 0,
        things=len(shard.classes.thing_ids),
        stuff=len(shard.classes.stuff_ids),
    )
    model = JtsmModel.build(
        shard.classes,
        architecture,
        init=settings.init,
        weights=arguments.weights or settings.weights,
        max_proposals=settings.max_proposals,
        seed=settings.seed,
        settings=resolved,
    )
    inputs = [*arguments.shards, *arguments.weak_labels, *arguments.proposals]
    inputs += [arguments.weights] if arguments.weights else []
    plan = settings.fill(TrainingPlan, cores=arguments.cores)
    drawn = list_drawn(plan, len(source))
    sample_facts = [settings.samples, settings.needs_things, drawn.tolist()]
    files = name_training_files(arguments.scratch, __spec__.name, resolved, sample_facts, inputs)
    samples = TrainingSet(files.samples, drawn, MiningImage)
    finder = open_mask_finder(arguments.evidence, arguments.cores)
    evidence = make_evidence(samples, settings.fill(EvidencePlan), finder)
    augmentation, multiple = settings.fill(MiningAugmentation), model.network.backbone.multiple
    batches = MiningBatches(samples, augmentation, settings.max_proposals, multiple)
    record = train(
        MiningStep(model.network, evidence, **settings.model_dump(include={"top_k", "mask_limit", "polygons"})),
        sample_count=len(source),
        load_batch=batches.load,
        compute_losses=lambda step, batch: step(batch),
        plan=plan,
        preparation=Preparation(source, samples),
        checkpoint=files.checkpoint,
        description="mining",
        count=lambda: finder.counts,
    )
    if is_main_process():
        sizes = settings.model_dump(include={"short_sides_px", "long_side_px"})
        counts = record.pop("counts")
        measured = measure_presence(model, val, **sizes) if val else None
        facts = {**record, "evidence": counts, "init": settings.init, "samples": len(source), "val": measured}
        write_training(arguments.out, model, facts, files.checkpoint, samples)


def open_val(
    shards: Sequence[Path], weak_labels: Sequence[Path], proposals: Sequence[Path], train: Shard, kind: str
) -> MiningSource | None:
    """Open the images whose tags are predicted after training; None if there are none."""
    if not shards:
        return None
    val = Shard.open(shards, weak_labels=weak_labels)
    train.check_classes(val.classes, val.path)
    return MiningSource.open(val, proposals, kind)


@dataclass(frozen=True)
class MiningSource:
    """The images of a shard, or their crops, with their proposals, read when asked for."""

    shard: Shard
    proposals: Mapping[str, ProposalFile]
    samples: Sequence[tuple[int, int | None]]

    @classmethod
    def open(cls, shard: Shard, proposals: Sequence[Path], kind: str, *, needs_things: bool = False) -> MiningSource:
        """Find the proposals of all images; for ``kind`` see :func:`list_mining_samples`."""
        tagged = shard.classes.thing_ids if needs_things else None
        files = read_proposal_files(proposals)
        shard.check_images(files, proposals[0])
        return cls(shard, files, list_mining_samples([image.weak for image in shard], kind, tagged))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> MiningImage:
        position, crop = self.samples[number]
        image = self.shard[position]
        file = self.proposals[image.image_id]
        found, name = file.read(image.image_id), f"{file.path}: image {image.image_id!r}"
        return prepare_mining_sample(image.read(), found, image.weak, crop, self.shard.classes, name=name)


if __name__ == "__main__":
    run_stage(main)
