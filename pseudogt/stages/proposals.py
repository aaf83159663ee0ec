"""Propose segments of the images of one shard, without labels.

python -m pseudogt.stages.proposals --shard S.json --out F.h5 --settings JSON
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from pseudogt.cli import parse_settings, run_stage, stage_parser
from pseudogt.config.proposals import ProposalsSettings
from pseudogt.index import read_shard
from pseudogt.io import read_image
from pseudogt.proposal_files import write_proposals
from pseudogt.segmentation import prepare_segmentation


def main(argv: Sequence[str] | None = None) -> None:
    """Write the proposals of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--out", type=Path, required=True, help="proposal file to write")
    args = parser.parse_args(argv)
    settings = parse_settings(ProposalsSettings, args.settings)
    records, _ = read_shard(args.shard)
    segment = prepare_segmentation(settings)
    with write_proposals(args.out) as writer:
        for record in tqdm(records, desc=f"proposals {args.shard.stem}", unit="image", mininterval=5):
            writer.add(record.image_id, segment(read_image(record.image)).proposals)


if __name__ == "__main__":
    run_stage(main)
