"""The authors' MATLAB files: boxes in and out; scores, palette and class names in.

A file of boxes holds ``dets.annotation``: an empty array, or a struct whose only field ``object`` is
a 1xN struct array of ``name``, ``bndbox`` (``xmin``, ``ymin``, ``xmax``, ``ymax``), ``is_grp`` and
``is_stuff``, all of them text. Their corners are inclusive; here boxes are half-open.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, savemat, whosmat

from pseudogt.files.io import replace_atomically
from pseudogt.wsps.boxes import InstanceBoxes, half_open_to_inclusive, inclusive_to_half_open

_HEADER = b"MATLAB 5.0 MAT-file, written by pseudogt"
_HEADER_LENGTH = 116
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_FIELDS = ("name", "bndbox", "is_grp", "is_stuff")
_FLAGS = {"0": False, "1": True}


def read_boxes(path: Path, names: Sequence[str]) -> InstanceBoxes:
    """Boxes of one image in file order, not clipped to it.

    Parameters
    ----------
    path : Path
    names : sequence of str
        Class names by train id.

    Returns
    -------
    InstanceBoxes
        Without the field ``is_grp`` no box is a group. Boxes whose corners are empty text, which the
        authors' code writes for a group without pixels, are all zero.

    Raises
    ------
    ValueError
        If the file is missing, broken or of another structure, or has a class that ``names`` lacks;
        the message names the file and what was expected.
    """
    dets = _read_variables(path, simplify_cells=True)
    if not isinstance(dets.get("dets"), dict) or "annotation" not in dets["dets"]:
        raise ValueError(f"{path}: expected a struct dets with the field annotation, found {_list_variables(dets)}")
    annotation = dets["dets"]["annotation"]
    objects = annotation.get("object", []) if isinstance(annotation, dict) else annotation
    if isinstance(objects, dict):  # a struct array of one object
        objects = [objects]
    parsed = [_parse_object(path, index, each, names) for index, each in enumerate(objects, start=1)]
    return InstanceBoxes(
        boxes_xyxy=np.array([p[0] for p in parsed], np.int32).reshape(-1, 4),
        classes=np.array([p[1] for p in parsed], np.int32),
        iscrowd=np.array([p[2] for p in parsed], bool),
        isstuff=np.array([p[3] for p in parsed], bool),
    )


def _parse_object(
    path: Path, index: int, fields: Any, names: Sequence[str]
) -> tuple[NDArray[np.int32], int, bool, bool]:
    """Half-open box, train id, is a group, is stuff."""
    where = f"{path}: object {index}"
    if not isinstance(fields, dict) or not isinstance(fields.get("bndbox"), dict) or "name" not in fields:
        raise ValueError(f"{where}: expected a struct with the fields {', '.join(_FIELDS)}")
    name = fields["name"]
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        raise ValueError(
            f"{where}: unknown class {name!r}; "
            + (f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}")
        )
    texts = [_to_text(fields["bndbox"].get(corner)) for corner in _CORNERS]
    try:
        corners = np.array([int(text) for text in texts], np.int32) if any(texts) else np.array([0, 0, -1, -1])
        flags = [_FLAGS[_to_text(fields.get(flag, "0"))] for flag in ("is_grp", "is_stuff")]
    except (ValueError, OverflowError, KeyError) as error:
        found = {**dict(zip(_CORNERS, texts, strict=True)), **{f: fields.get(f) for f in ("is_grp", "is_stuff")}}
        raise ValueError(
            f"{where}: expected whole numbers as text for {', '.join(_CORNERS)} and '0' or '1' for is_grp and "
            f"is_stuff, found {found}"
        ) from error
    return inclusive_to_half_open(corners)[0], list(names).index(name), flags[0], flags[1]


def _to_text(value: Any) -> str:
    """Text as it is, the empty arrays that scipy makes of empty text as empty text."""
    return "" if isinstance(value, np.ndarray) and not value.size else str(value)


def write_boxes(path: Path, boxes: InstanceBoxes, names: Sequence[str]) -> None:
    """Write the boxes of one image, atomically; equal boxes give equal bytes.

    Parameters
    ----------
    path : Path
    boxes : InstanceBoxes
        An all-zero box gets empty text for corners, as the authors' code gives a group without pixels.
    names : sequence of str
        Class names by train id.
    """
    annotation: Any = np.zeros((0, 0))
    if len(boxes.classes):
        annotation = {"object": _make_objects(boxes, names)}
    buffer = io.BytesIO()
    savemat(buffer, {"dets": {"annotation": annotation}}, do_compression=True)
    content = _HEADER.ljust(_HEADER_LENGTH) + buffer.getvalue()[_HEADER_LENGTH:]  # scipy's header holds the time
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content)


def _make_objects(boxes: InstanceBoxes, names: Sequence[str]) -> NDArray[Any]:
    objects = np.empty((1, len(boxes.classes)), [(field, object) for field in _FIELDS])
    inclusive = half_open_to_inclusive(boxes.boxes_xyxy)
    for index, (corners, train_id) in enumerate(zip(inclusive.tolist(), boxes.classes, strict=True)):
        texts = [str(c) for c in corners] if boxes.boxes_xyxy[index].any() else [""] * 4
        flags = [str(int(column[index])) for column in (boxes.iscrowd, boxes.isstuff)]
        objects[0, index] = (names[train_id], dict(zip(_CORNERS, texts, strict=True)), *flags)
    return objects


def read_scores(path: Path) -> NDArray[np.floating[Any]]:
    """Scores ``(H, W)``, float32 or float64: the first variable of the file, whatever its name.

    Raises
    ------
    ValueError
        If the file is missing or broken or its first variable is not a matrix of numbers.
    """
    first = _find_first_variable(path)
    scores = _read_variables(path, variable_names=[first], mat_dtype=True)[first]
    if not isinstance(scores, np.ndarray) or scores.ndim != 2 or scores.dtype.kind not in "fiub":
        raise ValueError(f"{path}: expected scores, a matrix of numbers; found {_list_variables({first: scores})}")
    return np.ascontiguousarray(scores, scores.dtype if scores.dtype.kind == "f" else np.float64)


def read_palette(path: Path) -> NDArray[np.uint8]:
    """Palette ``(256, 3) uint8`` from the variable ``cmap`` of numbers in [0, 1]."""
    variables = _read_variables(path)
    cmap = variables.get("cmap")
    if cmap is None or cmap.shape != (256, 3) or cmap.dtype.kind not in "fiu" or cmap.min() < 0 or cmap.max() > 1:
        raise ValueError(
            f"{path}: expected a palette, 256x3 numbers in [0, 1] named cmap; found {_list_variables(variables)}"
        )
    # Round halves up; np.rint would round them to even.
    return np.floor(cmap * 255.0 + 0.5).astype(np.uint8)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names by train id from the variable ``objectNames``, a cell array of text."""
    variables = _read_variables(path)
    cells = variables.get("objectNames")
    if cells is None or cells.dtype != object or not all(np.asarray(cell).dtype.kind == "U" for cell in cells.flat):
        raise ValueError(
            f"{path}: expected class names, a cell array of text named objectNames; found {_list_variables(variables)}"
        )
    return tuple("".join(np.ravel(cell)) for cell in cells.flat)


def _find_first_variable(path: Path) -> str:
    variables = _parse(path, whosmat)
    if not variables:
        raise ValueError(f"{path}: expected scores, found no variable")
    return variables[0][0]


def _read_variables(path: Path, **options: Any) -> dict[str, Any]:
    variables = _parse(path, loadmat, **options)
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def _parse(path: Path, reader: Any, **options: Any) -> Any:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        return reader(path, **options)
    except NotImplementedError as error:
        raise ValueError(f"{path}: is a MATLAB file of version 7.3; save it with the option -v7") from error
    except Exception as error:  # scipy fails on broken files in many ways, down to KeyError and zlib.error
        raise ValueError(f"{path}: can't be read as a MATLAB 5 file ({error})") from error


def _list_variables(variables: dict[str, Any]) -> str:
    """Content of a file, for messages: ``feat 1024x2048 float32``."""
    described = []
    for name, value in variables.items():
        shape = "x".join(str(n) for n in np.shape(value))
        described.append(f"{name} ({shape} {value.dtype})" if isinstance(value, np.ndarray) else name)
    return ", ".join(described) or "no variable"
