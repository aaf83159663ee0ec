"""Propose segments of the images of one shard, without labels.

python -m pseudogt.stages.proposals --shard S.json --out F.h5 --settings JSON
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.cli import parse_settings, run_stage, stage_parser
from pseudogt.config.proposals import ProposalsSettings
from pseudogt.index import read_shard
from pseudogt.io import read_image
from pseudogt.proposal_files import write_proposals
from pseudogt.proposals.generation import MULTI_SCALES, SINGLE_SCALE, ImageSegments, Quotas, segment_image


def main(argv: Sequence[str] | None = None) -> None:
    """Write the proposals of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--out", type=Path, required=True, help="proposal file to write")
    args = parser.parse_args(argv)
    settings = parse_settings(ProposalsSettings, args.settings)
    records, _ = read_shard(args.shard)
    with write_proposals(args.out) as writer:
        for record in tqdm(records, desc=f"proposals {args.shard.stem}", unit="image", mininterval=5):
            writer.add(record.image_id, propose_segments(read_image(record.image), settings).proposals)


def propose_segments(image: NDArray[np.uint8], settings: ProposalsSettings) -> ImageSegments:
    """Hierarchies and proposals of one image ``(H, W, 3) uint8 RGB``."""
    kept = settings.kept_unions
    return segment_image(
        image,
        scales=SINGLE_SCALE if settings.mode == "single" else MULTI_SCALES,
        quotas=Quotas(grown=settings.grown_unions, kept=(2 * settings.max_regions, kept, kept, kept)),
        max_superpixels=settings.max_superpixels,
        max_regions=settings.max_regions,
        max_proposals=settings.max_proposals,
    )


if __name__ == "__main__":
    run_stage(main)
