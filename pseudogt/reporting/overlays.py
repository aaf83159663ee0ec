"""Colour overlays of panoptic labels and the grids of panels made from them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import BACKGROUND, IGNORE_LABEL, INSTANCE_DIVISOR, ClassTable, panoptic_to_semantic
from pseudogt.weak_labels.records import ImageWeakLabels

BORDER_COLOR = (255, 255, 255)
HUE_RANGE = 0.12
LIGHTNESS_RANGE = 0.4
"""By how much the instances of a class differ in hue and in lightness at most, of 1."""

HATCHING_LIFT = 70
"""How much brighter, of 255, the lines over pixels without a label are."""

SMALLEST_MARK_PX = 3
"""Minimum radius of a mark on a picture."""

_GOLDEN_RATIO = (np.sqrt(5) - 1) / 2


def color_segments(panoptic_id: NDArray[np.int32], classes: ClassTable) -> NDArray[np.uint8]:
    """Colours ``(H, W, 3) uint8`` of panoptic ids: the class colour, varied by instance.

    Parameters
    ----------
    panoptic_id : (H, W) int32
    classes : ClassTable
        Pixels without label get the palette's black, background its grey.
    """
    # Colour each id once, then look up its colour for each pixel.
    ids, position = np.unique(panoptic_id, return_inverse=True)
    colors = classes.palette[panoptic_to_semantic(ids, classes)]
    varied = np.array(
        [_vary_color(color, k) for color, k in zip(colors, ids % INSTANCE_DIVISOR, strict=True)], np.uint8
    )
    return varied.reshape(-1, 3)[position.reshape(panoptic_id.shape)]


def _vary_color(color: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    """Shift hue and lightness of the colour for instance ``k``; ``k = 0`` is the class colour itself.

    Multiples of irrational numbers keep neighbouring instances apart, however many there are.
    """
    if k == 0:
        return color
    hue, lightness, saturation = colorsys.rgb_to_hls(*(color / 255.0))
    hue += HUE_RANGE * (k * np.sqrt(2) % 1 - 0.5)
    lightness = np.clip(lightness, 0.3, 0.7) + LIGHTNESS_RANGE * (k * _GOLDEN_RATIO % 1 - 0.5)
    return np.rint(np.array(colorsys.hls_to_rgb(hue % 1, lightness, saturation)) * 255).astype(np.uint8)


def find_borders(panoptic_id: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels ``(H, W) bool`` whose right or lower neighbour belongs to another segment."""
    borders = np.zeros(panoptic_id.shape, bool)
    borders[:, :-1] |= panoptic_id[:, :-1] != panoptic_id[:, 1:]
    borders[:-1] |= panoptic_id[:-1] != panoptic_id[1:]
    return borders


def draw_panoptic(
    image: NDArray[np.uint8], panoptic_id: NDArray[np.int32], classes: ClassTable, *, opacity: float = 0.65
) -> NDArray[np.uint8]:
    """Lay a panoptic label over an image.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    panoptic_id : (H, W) int32
    classes : ClassTable
    opacity : float
        Opacity of the colours over the image, in [0, 1].

    Returns
    -------
    (H, W, 3) uint8
        Segments in their colours with white borders. Pixels without label are dark with
        diagonal lines, what box masks call background is light grey.

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    if image.shape[:2] != panoptic_id.shape:
        raise ValueError(f"image {image.shape[:2]} and label {panoptic_id.shape} differ in size")
    semantic = panoptic_to_semantic(panoptic_id, classes)
    grey = image.mean(axis=2, keepdims=True)
    colored = image * (1 - opacity) + color_segments(panoptic_id, classes) * opacity
    unlabelled = np.where(draw_hatching(*semantic.shape)[..., None], 0.35 * grey + HATCHING_LIFT, 0.35 * grey)
    colored = np.where((semantic == IGNORE_LABEL)[..., None], unlabelled, colored)
    colored = np.where((semantic == BACKGROUND)[..., None], 0.5 * grey + 64, colored)
    overlay = np.rint(colored).astype(np.uint8)
    overlay[find_borders(panoptic_id)] = BORDER_COLOR
    return overlay


def draw_marks(panel: NDArray[np.uint8], weak: ImageWeakLabels, classes: ClassTable) -> NDArray[np.uint8]:
    """Draw the points, scribbles and masks of an image in the colours of their classes, with white rims.

    Parameters
    ----------
    panel : (h, w, 3) uint8
        The image, resized. Marks are drawn large enough to be seen on it.
    weak : ImageWeakLabels
    classes : ClassTable
    """
    drawn = panel.copy()
    scale = np.array([panel.shape[1] / weak.width, panel.shape[0] / weak.height])
    for mark in weak.marks:
        color = classes.palette[mark.train_id].tolist()
        if mark.kind == "mask":
            rows, columns = mark.find_pixels(weak.height, weak.width).T
            drawn[(rows * scale[1]).astype(int), (columns * scale[0]).astype(int)] = color
            continue
        radius = max(SMALLEST_MARK_PX, round(mark.radius * float(scale[0])))
        vertices = np.floor(mark.values * scale).astype(np.int32)
        ends = vertices[1:] if len(vertices) > 1 else vertices
        # A line of no length is a disc; all rims come first, so that strokes join.
        for shade, thickness in ((BORDER_COLOR, 2 * radius + 4), (color, 2 * radius)):
            for start, stop in zip(vertices.tolist(), ends.tolist(), strict=False):
                cv2.line(drawn, start, stop, shade, thickness, cv2.LINE_AA)
    return drawn


def draw_weak_boxes(panel: NDArray[np.uint8], weak: ImageWeakLabels, classes: ClassTable) -> NDArray[np.uint8]:
    """Draw the boxes of an image in the colours of their classes, with white rims.

    Parameters
    ----------
    panel : (h, w, 3) uint8
        The image, resized.
    weak : ImageWeakLabels
    classes : ClassTable
    """
    drawn = panel.copy()
    scale = np.tile([panel.shape[1] / weak.width, panel.shape[0] / weak.height], 2)
    corners = np.rint(weak.boxes_xyxy * scale).astype(int).tolist()
    colors = classes.palette[weak.box_classes].tolist()
    # All rims come first, so that none covers another box.
    for thickness, shades in ((4, [BORDER_COLOR] * len(colors)), (2, colors)):
        for (x0, y0, x1, y1), shade in zip(corners, shades, strict=True):
            cv2.rectangle(drawn, (x0, y0), (max(x1 - 1, x0), max(y1 - 1, y0)), shade, thickness)
    return drawn


def draw_hatching(height: int, width: int) -> NDArray[np.bool_]:
    """Diagonal lines ``(H, W) bool``; no class colour looks like that."""
    return np.add.outer(np.arange(height), np.arange(width)) % 8 < 2


def resize_to_width(values: NDArray[Any], width_px: int) -> NDArray[Any]:
    """Scale an image ``(H, W, 3)`` smoothly, or a map ``(H, W)`` by the nearest pixel, to a width."""
    height, width = values.shape[:2]
    size = (width_px, max(1, round(height * width_px / width)))
    if values.ndim == 2:
        return cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA if width_px < width else cv2.INTER_LINEAR)


def draw_legend(classes: ClassTable, train_ids: Sequence[int], width_px: int) -> NDArray[np.uint8]:
    """Colour patches with the names of classes ``(h, width_px, 3) uint8``, as many lines as it takes."""
    entries = [(classes.names[i], classes.palette[i], bool(classes.isthing[i])) for i in train_ids]
    line_px, patch_px, gap_px = 26, 16, 18
    hatched = np.where(draw_hatching(patch_px, patch_px), 40 + HATCHING_LIFT, 40)[..., None].astype(np.uint8)
    entries.append(("no label", hatched, False))
    # Place the entries from left to right; one that does not fit starts a new line.
    positions, x, y = [], gap_px, 0
    for name, _, is_thing in entries:
        wide = patch_px + 8 + _measure_text(_label_class(name, is_thing)) + gap_px
        if x + wide > width_px and x > gap_px:
            x, y = gap_px, y + line_px
        positions.append((x, y))
        x += wide
    legend = np.full((y + line_px, width_px, 3), 255, np.uint8)
    for (name, color, is_thing), (x, y) in zip(entries, positions, strict=True):
        top = y + (line_px - patch_px) // 2
        legend[top : top + patch_px, x : x + patch_px] = color
        _write_text(legend, _label_class(name, is_thing), x + patch_px + 8, y + line_px - 9)
    return legend


def _label_class(name: str, is_thing: bool) -> str:
    return f"{name} (thing)" if is_thing else name


def draw_grid(
    rows: Sequence[Sequence[NDArray[np.uint8] | None]],
    columns: Sequence[str],
    captions: Sequence[str],
    legend: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Rows of panels under column titles, a caption above each row.

    Parameters
    ----------
    rows
        Panels ``(h, w, 3) uint8`` of one width; heights may differ between rows. None leaves a gap.
    columns
        Title of each column.
    captions
        Text above each row.
    legend : (h, W, 3) uint8, optional
        Put below, cut or padded to the width of the grid.

    Returns
    -------
    (H, W, 3) uint8
    """
    panel_px = next(panel.shape[1] for row in rows for panel in row if panel is not None)
    gap_px, text_px = 4, 24
    width = len(columns) * (panel_px + gap_px) + gap_px
    bands = [_draw_titles(columns, panel_px, gap_px)]
    for row, caption in zip(rows, captions, strict=True):
        height = max(panel.shape[0] for panel in row if panel is not None)
        band = np.full((height + text_px, width, 3), 255, np.uint8)
        _write_text(band, caption, gap_px, text_px - 7, color=(90, 90, 90))
        for i, panel in enumerate(row):
            if panel is not None:
                x = gap_px + i * (panel_px + gap_px)
                band[text_px : text_px + panel.shape[0], x : x + panel_px] = panel
        bands.append(band)
    if legend is not None:
        below = np.full((legend.shape[0] + 8, width, 3), 255, np.uint8)
        shown = min(width, legend.shape[1])
        below[8:, :shown] = legend[:, :shown]
        bands.append(below)
    return np.concatenate(bands)


def _draw_titles(columns: Sequence[str], panel_px: int, gap_px: int) -> NDArray[np.uint8]:
    """Band ``(H, W, 3) uint8`` of titles above panels, each in as many lines as its panel's width needs."""
    line_px, scale = 18, 0.55
    titles = [_wrap_text(text, panel_px, scale) for text in columns]
    height = 12 + line_px * max(map(len, titles))
    band = np.full((height, len(columns) * (panel_px + gap_px) + gap_px, 3), 255, np.uint8)
    for i, lines in enumerate(titles):
        for number, line in enumerate(lines):
            _write_text(band, line, gap_px + i * (panel_px + gap_px), 20 + number * line_px, scale=scale)
    return band


def _wrap_text(text: str, width_px: int, scale: float) -> list[str]:
    """Lines of whole words, no wider than a width unless a single word is."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _measure_text(longer, scale) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _write_text(
    canvas: NDArray[np.uint8], text: str, x: int, y: int, *, scale: float = 0.45, color: Sequence[int] = (0, 0, 0)
) -> None:
    """Write onto the canvas; OpenCV's fonts know ASCII only, so the rest becomes ``?``."""
    plain = text.encode("ascii", "replace").decode("ascii")
    cv2.putText(canvas, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, tuple(color), 1, cv2.LINE_AA)


def _measure_text(text: str, scale: float = 0.45) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]
