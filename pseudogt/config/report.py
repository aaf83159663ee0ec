"""Settings of the report."""

from pydantic import Field

from pseudogt.config.base import Section


class ReportSettings(Section):
    """Content and size of the report."""

    examples: int = Field(
        8, ge=1, le=100, description="Number of images shown from each of train and val, spread evenly over the split."
    )
    worst: int = Field(
        8,
        ge=0,
        le=100,
        description="Number of val images with the lowest PQ that are also shown; 0 leaves the figure out.",
    )
    panel_width_px: int = Field(
        360, ge=64, le=4096, description="Width in pixels of one image in the figures. Raise it to see thin objects."
    )
