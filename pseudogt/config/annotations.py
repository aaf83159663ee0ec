"""Section ``annotations``: boxes and tags that you bring along, as an annotation tool wrote them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pseudogt.config.base import Section, listed_in

NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt")
"""Files with the class names of YOLO labels."""


AnnotationFormat = Annotated[str, listed_in("pseudogt.annotations.formats")]


class AnnotationsSettings(Section):
    """Where boxes and tags of the training images come from, if not from ground truth (docs/your-data.md)."""

    format: AnnotationFormat | None = Field(
        None,
        description="Kind of `path`: COCO JSON, a folder of VOC XML or of YOLO txt, Label Studio's JSON, CVAT's images "
        "1.1 XML, or a CSV with image,class,x0,y0,x1,y1. Null if there are tags only.",
    )
    path: str | None = Field(None, description="File or folder with the boxes; relative paths start at data_root.")
    boxes: bool = Field(True, description="False takes only tags from `path`: what has a box is present.")
    names: str | None = Field(
        None, description="YOLO: data.yaml or classes.txt with the class names; null looks in `path` and above it."
    )
    tags: str | None = Field(
        None,
        description="CSV or JSON with tags of whole images; Label Studio's choices and CVAT's tags are in `path`.",
    )
    rename: dict[str, str | None] = Field(
        {}, description="Class of the file -> class of dataset.classes; null leaves its boxes and tags out."
    )
    unlisted: Literal["absent", "unknown"] = Field(
        "absent",
        description="What is known of a class that a labelled image does not name though others do: it is absent, or "
        "unknown. Unknown tags train nothing.",
    )
    difficult: Literal["skip", "use"] = Field(
        "skip",
        description="Objects that VOC calls difficult: skip makes their class unknown in the image, use takes their "
        "boxes like others.",
    )
    bad_boxes: Literal["error", "skip"] = Field(
        "error", description="Boxes without area or wholly outside their image: error, or skip with a warning."
    )
    background: Literal["outside_boxes"] | None = Field(
        None,
        description="outside_boxes: the only stuff class of the table is wherever no box is. For things without tags "
        "of stuff, say nuclei.",
    )

    @property
    def given(self) -> bool:
        """Whether there are any."""
        return self.path is not None or self.tags is not None

    @model_validator(mode="after")
    def _check(self) -> AnnotationsSettings:
        if (self.format is None) != (self.path is None):
            raise ValueError("format and path go together; set both, or neither")
        if self.names is not None and self.format != "yolo":
            raise ValueError("names is for the format yolo; other formats hold the names of their classes")
        return self
