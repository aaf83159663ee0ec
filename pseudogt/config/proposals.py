"""Section ``proposals``: ranked segments that may be things."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pseudogt.config.base import Section


class ProposalsSettings(Section):
    """Which regions, and unions of regions, are proposed as segments; made by the target `proposals`."""

    source: Literal["engine", "mcg", "converted"] = Field(
        "engine",
        description="Where proposals come from: this project's engine, MCG's segment files (superpixels, labels, "
        "scores), or the JTSM authors' conversion of these. For the latter two, only distinct and max_proposals of "
        "the settings below apply.",
    )
    folder: str | tuple[str, ...] | None = Field(
        None,
        description="For mcg and converted: folder with one file <image>.mat or <image>.pkl per image, or a list of "
        "folders; an image uses the file of the first folder that has one.",
    )
    distinct: bool = Field(
        False,
        description="For mcg and converted: of proposals with equal boxes, keep only the best, as in the paper of "
        "JTSM, before max_proposals applies.",
    )
    mode: Literal["single", "multi"] = Field(
        "single",
        description="Contours and regions at one scale, or at three scales and their mean, which is better and slower.",
    )
    contours: Literal["learned", "gradient"] = Field(
        "learned",
        description="Contours from a network trained on borders that people drew (BSDS500, no classes), or from "
        "differences of colour and texture, which need no training.",
    )
    ranking: Literal["learned", "rule"] = Field(
        "learned",
        description="Order by trees trained on the masks of 100 images of COCO train and on learned contours, or by a "
        "fixed rule, which needs no training.",
    )
    max_proposals: int = Field(
        2100, ge=1, description="Maximum number of proposals per image, best first; 5200 suits multi."
    )
    max_superpixels: int = Field(
        1200,
        ge=1,
        description="Maximum number of smallest regions per image; more give finer borders and larger files.",
    )
    max_regions: int = Field(
        120,
        ge=1,
        le=2000,
        description="Number of regions of a hierarchy from which unions are formed; more find smaller things.",
    )
    grown_unions: int = Field(
        2000,
        ge=0,
        description="Number of unions of two and of three regions, per hierarchy, to which one more region is added.",
    )
    kept_unions: int = Field(
        3000, ge=0, description="Number of unions of each size, per hierarchy, that are compared and listed."
    )

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of foreign proposals, in their order."""
        return (self.folder,) if isinstance(self.folder, str) else self.folder or ()

    @model_validator(mode="after")
    def check_folder(self) -> Self:
        """Foreign proposals lie somewhere; our own don't."""
        if (self.source == "engine") != (not self.folder):
            remedy = "takes no folder" if self.source == "engine" else "needs the folder of its files; set folder"
            raise ValueError(f"source: {self.source} {remedy} (got {self.folder!r})")
        if self.source == "engine" and self.distinct:
            raise ValueError("source: engine with distinct: true; only mcg and converted can leave equal boxes out")
        return self

    @model_validator(mode="after")
    def check_ranking(self) -> Self:
        """Trees trained on learned contours can't rank others, so an engine without learning needs both settings."""
        if self.contours == "gradient" and self.ranking == "learned":
            raise ValueError("contours: gradient needs ranking: rule; the learned ranking knows learned contours only")
        return self
