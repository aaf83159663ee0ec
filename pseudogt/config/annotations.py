"""Section ``annotations``: boxes and tags from the files of an annotation tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pseudogt.config.base import PathText, Section, listed_in
from pseudogt.parsing.values import Name

NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "_darknet.labels")
"""Files with the class names of YOLO labels, the first that is there; else any ``*.names``, as darknet calls them.

The last one is Roboflow's."""


def find_name_files(folder: Path) -> list[Path]:
    """Files of a folder that may hold the class names of YOLO labels, in any case, the best known names first."""
    # Labels are text files, too, and there may be a hundred thousand.
    named = [p for p in folder.glob("[!.]*.*") if p.name.lower() in NAME_FILES or p.suffix.lower() == ".names"]
    there = {path.name.lower(): path for path in sorted(named)}
    known = [there[name] for name in NAME_FILES if name in there and there[name].is_file()]
    return known or [path for name, path in there.items() if name.endswith(".names")]


AnnotationFormat = Annotated[str, listed_in("pseudogt.annotations.formats")]


class AnnotationsSettings(Section):
    """Source of the boxes and tags of training images if they are not derived from ground truth (docs/your-data.md)."""

    format: AnnotationFormat | None = Field(
        None,
        description="Format of `path`: COCO JSON, a folder of VOC XML or of YOLO txt, Label Studio's or VIA's JSON, a "
        "folder of LabelMe's, CVAT's images 1.1 XML, or a CSV with image,class,x0,y0,x1,y1. Null if there are only "
        "tags.",
    )
    path: PathText | None = Field(None, description="File or folder with the boxes; relative paths start at data_root.")
    boxes: bool = Field(True, description="If false, only tags are taken from `path`: a class with a box is present.")
    names: PathText | None = Field(
        None,
        description="YOLO: data.yaml or classes.txt with the class names; null searches `path` and the folders above "
        "it.",
    )
    attribute: str | None = Field(
        None,
        description="VIA: the attribute of regions that holds their class; null uses the only attribute, or the one "
        "called class, label, category, name or type.",
    )
    tags: PathText | None = Field(
        None,
        description="CSV or JSON with tags of whole images; Label Studio's choices and CVAT's tags are read from "
        "`path`.",
    )
    rename: dict[Name, Name | None] = Field(
        {},
        description="Class of the file -> class of dataset.classes; null leaves its boxes and tags out. The key '*' "
        "stands for all names that are neither listed here nor in dataset.classes.",
    )
    leave_out: tuple[Name, ...] = Field(
        (),
        description="Objects to ignore, by class or by kind, such as polyline or keypointlabels. Without this, an "
        "object that gives no box makes its class unknown in its image (check counts such objects by kind).",
    )
    stuff: Literal["tags", "error"] = Field(
        "tags", description="Boxes and polygons of stuff tag their image, or are an error."
    )
    points: Literal["unknown", "weak"] = Field(
        "unknown",
        description="Points, key points and polylines make their class unknown in their image, or are weak labels of "
        "the pixels they lie on. A point of a thing that has no box is an object of its own.",
    )
    masks: Literal["boxes", "scribbles"] = Field(
        "boxes",
        description="Brush masks are outlines, which give things a box and stuff a tag, or scribbles, which are weak "
        "labels of their pixels only.",
    )
    point_radius_px: float = Field(
        2.0,
        ge=0,
        description="Distance in pixels up to which pixels around a point or polyline get its class, too, unless the "
        "file gives a radius.",
    )
    unlisted: Literal["absent", "unknown"] = Field(
        "absent",
        description="A class that a labelled image does not name, though others do, is absent or unknown. Unknown tags "
        "train nothing.",
    )
    difficult: Literal["skip", "absent", "use"] = Field(
        "skip",
        description="Objects marked as difficult (VOC, LabelMe) or ignored (COCO): skip makes their class unknown in "
        "the image, absent treats them as not there, as in the paper of JTSM, and use treats them like the rest.",
    )
    bad_boxes: Literal["error", "skip"] = Field(
        "error",
        description="Unreadable records, and boxes without area or outside their image: error, or skip with a warning; "
        "the class is then unknown in the image.",
    )
    background: Literal["outside_boxes"] | None = Field(
        None,
        description="outside_boxes: the table's only stuff class is everything outside the boxes. For things without "
        "tags of stuff, such as nuclei.",
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
        if self.attribute is not None and self.format != "via":
            raise ValueError("attribute is for the format via; other formats have one place for the class")
        return self
