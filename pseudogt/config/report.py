"""Section ``report``: what the report shows."""

from pydantic import Field

from pseudogt.config.base import Section


class ReportSettings(Section):
    """Content and size of the report."""

    examples: int = Field(
        8,
        ge=1,
        le=100,
        description="Number of images shown from each of train and val whatever their score: drawn at random on the "
        "page, spread evenly over the split in the figures.",
    )
    worst: int = Field(
        8,
        ge=0,
        le=100,
        description="Number of images with the lowest PQ that are also shown, and on the page as many with the "
        "highest; without ground truth, trust takes the place of PQ. The figure shows those of val; 0 leaves it out.",
    )
    panel_width_px: int = Field(
        360,
        ge=64,
        le=4096,
        description="Width in pixels of one image in the figures; the page shows up to twice as many. Raise it to see "
        "thin objects.",
    )
