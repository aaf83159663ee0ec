"""PASCAL VOC's XML: one file per image, boxes with 1-based inclusive corners."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element

from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading, Source
from pseudogt.files.parsing import parse_extent, parse_number, parse_xml


def read_voc(path: Path) -> ImageAnnotations:
    """Read one file, named like its image (``<filename>`` inside is often that of another machine).

    ``<object>`` elements count, ``<part>`` elements inside them do not. A size of 0, which some tools
    write, counts as none.

    Raises
    ------
    ValueError
        If the file is not XML of this form.
    """
    root = parse_xml(path)
    if root.tag != "annotation":
        raise ValueError(f"{path}: its root is <{root.tag}>, that of a VOC file <annotation>")
    return ImageAnnotations(
        file_name=path.stem,
        boxes=[_read_object(element, f"{path}: object {i}") for i, element in enumerate(root.findall("object"), 1)],
        width=parse_extent(root.findtext("size/width"), f"{path}: width"),
        height=parse_extent(root.findtext("size/height"), f"{path}: height"),
    )


def _read_object(element: Element, where: str) -> AnnotatedBox:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError(f"{where} has no <name>")
    corners = [
        parse_number(element.findtext(f"bndbox/{side}"), f"{where} ({name}), {side}")
        for side in ("xmin", "ymin", "xmax", "ymax")
    ]
    difficult = (element.findtext("difficult") or "0").strip()
    if difficult not in ("0", "1"):
        raise ValueError(f"{where} ({name}): difficult is {difficult!r}; it must be 0 or 1")
    return AnnotatedBox(name, (corners[0] - 1, corners[1] - 1, corners[2], corners[3]), difficult=difficult == "1")


def read(source: Source) -> Reading:
    """As :func:`read_voc_folder`, called by the name of the format."""
    return read_voc_folder(source.path, source.image_ids)


def read_voc_folder(folder: Path, stems: Iterable[str]) -> Reading:
    """Read ``<stem>.xml`` of the given images; a missing file says nothing, one without objects that nothing is there.

    Raises
    ------
    ValueError
        If there is no folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; annotations.path must hold one .xml per image")
    images, problems = [], []
    for path in (folder / f"{stem}.xml" for stem in stems):
        if path.is_file():
            try:
                images.append(read_voc(path))
            except ValueError as error:
                problems.append(str(error))
    labels = frozenset(box.label for image in images for box in image.boxes)
    return Reading(images, box_labels=labels, problems=problems)
