"""Settings of the report."""

from pydantic import Field

from pseudogt.config.base import Section


class ReportSettings(Section):
    """What the report shows and how large."""

    examples: int = Field(
        8, ge=1, le=100, description="Images shown of train and of val each, spread evenly over the split."
    )
    worst: int = Field(
        8, ge=0, le=100, description="Images of val with the lowest PQ that are shown as well; 0 leaves the figure out."
    )
    panel_width_px: int = Field(
        360, ge=64, le=4096, description="Width of one image in the figures in pixels. Raise it to see thin objects."
    )
