"""Section ``predictions``: how a trained model is applied."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pseudogt.config.machine import ComputingSettings

EXPORTED_SUFFIXES = (".onnx", ".pt2")
"""Suffixes of the files to which a model can be exported: ONNX, and the archive of ``torch.export.save``."""


class PredictionsSettings(ComputingSettings):
    """Inference, and how pixels are grouped into segments."""

    batch_size: int = Field(
        8,
        ge=1,
        description="Number of images of equal size that the network processes at once; lower it if memory runs out. "
        "Results may differ in the last bit between batch sizes.",
    )
    tile_px: Annotated[int, Field(ge=64)] | Literal["auto"] = Field(
        "auto",
        description="Maximum side of what the network sees at once, in pixels of the scaled image; larger images are "
        "cut into overlapping tiles, at some cost for objects larger than a tile. auto: `snakemake predict` cuts only "
        "images too large for the free memory, and the images of the run stay whole.",
    )
    flip: bool = Field(True, description="Average with the mirror image: slightly better, twice the time.")
    centre_threshold: float = Field(
        0.1, ge=0, le=1, description="Minimum peak height of an instance centre; raise it if false instances appear."
    )
    nms_cells: int = Field(
        5,
        ge=1,
        description="A centre is the maximum of a window of this many cells each way (a cell is 4 px of the scaled "
        "image); 3 for many small objects, 7 or more if large ones fall apart.",
    )
    min_query_score: float = Field(
        0.5,
        ge=0,
        le=1,
        description="For a mask transformer: minimum probability that a query has found a thing; raise "
        "it if false instances appear.",
    )
    min_mask_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="For a mask transformer: a query is left out if queries with a higher score cover "
        "more than the rest of its mask; 0.8 in Mask2Former.",
    )
    min_stuff_fraction: float = Field(
        0.002,
        ge=0,
        lt=1,
        description="A stuff class that covers a smaller share of an image becomes void there; raises PQ and lowers "
        "mIoU a little.",
    )
    min_instance_px: int = Field(
        16, ge=0, description="Instances with fewer pixels become void; lower it if objects are that small."
    )

    @property
    def fixed_tile_px(self) -> int | None:
        """Side of the tiles if it is given."""
        return None if self.tile_px == "auto" else self.tile_px
