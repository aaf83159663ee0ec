"""Propose segments of the images of one shard, without labels, or convert proposals of other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from models.pretrained.loading import load_engine
from pseudogt.config.proposals import ProposalsSettings
from pseudogt.proposals.files import write_proposals
from pseudogt.proposals.foreign import FOREIGN_SOURCES, find_proposal_files
from pseudogt.proposals.generation import Proposals
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard, ShardImage


def main(argv: Sequence[str] | None = None) -> None:
    """Write the proposals of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--out", type=Path, required=True, help="proposal file to write")
    arguments = parser.parse_args(argv)
    settings = parse_settings(ProposalsSettings, arguments.settings)
    shard = Shard.open(arguments.shard)
    propose = open_engine(settings) if settings.source == "engine" else open_archives(settings, shard)
    with write_proposals(arguments.out) as proposals:
        for image in shard.images("proposals"):
            proposals.add(image.image_id, propose(image))


def open_engine(settings: ProposalsSettings) -> Callable[[ShardImage], Proposals]:
    """Return what reads an image and proposes segments of it."""
    segment = load_engine(settings)
    return lambda image: segment(image.read()).proposals


def open_archives(settings: ProposalsSettings, shard: Shard) -> Callable[[ShardImage], Proposals]:
    """Return what reads the proposals of an image from ``proposals.folder``, the first ``max_proposals`` of them."""
    suffix, read = FOREIGN_SOURCES[settings.source]
    files = find_proposal_files(settings.folders, suffix, shard.image_ids)

    def read_foreign(image: ShardImage) -> Proposals:
        path = files[image.image_id]
        found = read(path)
        image.check_size(found.superpixels.shape, path)
        # Cut last: a list whose equal boxes are left out afterwards would be shorter than it may be.
        return (found.keep_distinct_boxes() if settings.distinct else found).take(settings.max_proposals)

    return read_foreign


if __name__ == "__main__":
    run_stage(main)
