"""Propose segments of the images of one shard, without labels, or convert those that others proposed.

python -m pseudogt.stages.proposals --shard S.json --out F.h5 --settings JSON
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from pseudogt.config.proposals import ProposalsSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, read_shard
from pseudogt.proposals.engine import prepare_segmentation
from pseudogt.proposals.files import write_proposals
from pseudogt.proposals.foreign import FOREIGN_SOURCES, find_proposal_files
from pseudogt.proposals.generation import Proposals
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write the proposals of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--out", type=Path, required=True, help="proposal file to write")
    args = parser.parse_args(argv)
    settings = parse_settings(ProposalsSettings, args.settings)
    records, _ = read_shard(args.shard)
    propose = prepare_engine(settings) if settings.source == "engine" else prepare_conversion(settings, records)
    with write_proposals(args.out) as writer:
        for record in tqdm(records, desc=f"proposals {args.shard.stem}", unit="image", mininterval=5):
            writer.add(record.image_id, propose(record))


def prepare_engine(settings: ProposalsSettings) -> Callable[[ImageRecord], Proposals]:
    """Return what proposes segments of an image."""
    segment = prepare_segmentation(settings)
    return lambda record: segment(read_image(record.image)).proposals


def prepare_conversion(
    settings: ProposalsSettings, records: Sequence[ImageRecord]
) -> Callable[[ImageRecord], Proposals]:
    """Return what reads the proposals of an image from ``proposals.folder``, the first ``max_proposals`` of them."""
    suffix, read = FOREIGN_SOURCES[settings.source]
    assert settings.folder is not None
    files = find_proposal_files(settings.folder, suffix, [record.image_id for record in records])

    def convert(record: ImageRecord) -> Proposals:
        found = read(files[record.image_id])
        height, width = found.superpixels.shape
        if (height, width) != (record.height, record.width):
            raise ValueError(
                f"{files[record.image_id]}: superpixels of {width}x{height}, but {record.image} has "
                f"{record.width}x{record.height}; the archive is of another image or scale"
            )
        return found.take(settings.max_proposals)

    return convert


if __name__ == "__main__":
    run_stage(main)
