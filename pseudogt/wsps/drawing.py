"""Pictures of the boxes of an image, and the figure of a cleaned label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.files.io import replace_atomically
from pseudogt.wsps.boxes import InstanceBoxes
from pseudogt.wsps.label_generation import GeneratedInstances, ImageInputs, cut_instances, generate_labels
from pseudogt.wsps.options import Options

LINE_WIDTH_PX = 4
LABEL_OPACITY = 0.5
_WIDTH_EDGES_PX = 25 * np.array([0, 1.55, 1.80, 2.05, 2.30, 2.55])
_MIN_FONT_SIZE = 12.5
_WIDTH_PER_FONT_SIZE = 2.6


class BoxLabel(NamedTuple):
    """How one box is drawn.

    Attributes
    ----------
    box_xyxy : (4,) int
        Half-open.
    color : (3,) uint8
        RGB.
    text : str
        The class, with "group" directly behind it for a group.
    font_size : int
        In pixels; grows with the width of the box.
    """

    box_xyxy: NDArray[np.int32]
    color: NDArray[np.uint8]
    text: str
    font_size: int


def plan_box_labels(boxes: InstanceBoxes, names: Sequence[str], palette: NDArray[np.uint8]) -> list[BoxLabel]:
    """The authors' drawing of boxes, in file order: all boxes, including those of stuff."""
    return [
        BoxLabel(
            box, palette[train_id], names[train_id] + ("group" if crowd else ""), choose_font_size(box[2] - box[0])
        )
        for box, train_id, crowd in zip(boxes.boxes_xyxy, boxes.classes, boxes.iscrowd, strict=True)
    ]


def choose_font_size(width_px: int) -> int:
    """Font size for a box of that width: one of six, by the largest edge that the width reaches."""
    edge = _WIDTH_EDGES_PX[np.searchsorted(_WIDTH_EDGES_PX, width_px, side="right") - 1]
    return int(max(edge / _WIDTH_PER_FONT_SIZE, _MIN_FONT_SIZE))


def draw_boxes(
    image: NDArray[np.uint8], boxes: InstanceBoxes, names: Sequence[str], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Boxes with the names of their classes on an image.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    boxes : InstanceBoxes
    names : sequence of str
        By train id.
    palette : (256, 3) uint8

    Returns
    -------
    (H, W, 3) uint8
        Without boxes the image itself. The font is OpenCV's, not that of the authors.
    """
    drawn = image.copy()
    labels = plan_box_labels(boxes, names, palette)
    for label in labels:
        x0, y0, x1, y1 = label.box_xyxy.tolist()
        cv2.rectangle(drawn, (x0, y0), (x1 - 1, y1 - 1), label.color.tolist(), LINE_WIDTH_PX)
    for label in sorted(labels, key=lambda each: -each.font_size):  # small boxes' names stay readable on top
        _draw_label(drawn, label)
    return drawn


def _draw_label(image: NDArray[np.uint8], label: BoxLabel) -> None:
    """Write the text on a half-transparent ground that stands on the box, or hangs from the image's upper edge."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, label.font_size)
    (width, height), baseline = cv2.getTextSize(label.text, font, scale, 1)
    x, y = label.box_xyxy[:2].tolist()
    y = max(y, height + baseline)
    ground = image[y - height - baseline : y, x : x + width]
    ground[...] = np.rint((1 - LABEL_OPACITY) * ground + LABEL_OPACITY * label.color)
    cv2.putText(image, label.text, (x, y - baseline), font, scale, (255, 255, 255), 1, cv2.LINE_AA)


def draw_results(
    path: Path, inputs: ImageInputs, options: Options, names: Sequence[str], palette: NDArray[np.uint8]
) -> None:
    """Write the authors' figure of one image: prediction, box masks or scores, semantic and instance label."""
    from matplotlib.figure import Figure  # takes a second to import, few runs need it

    label = generate_labels(inputs, options)["final_pred"]
    figure = Figure(figsize=(18, 10), layout="constrained")
    axes = figure.subplots(2, 2)
    _show_semantic(axes[0, 0], inputs.pred, "Prediction", names, palette)
    _show_evidence(axes[0, 1], inputs, palette)
    _show_semantic(axes[1, 0], label, "Processed semantic ground truth", names, palette)
    if options.run_ins_box_process and inputs.boxes is not None:
        _show_instances(axes[1, 1], cut_instances(label, inputs.boxes, options), names, palette)
    else:
        axes[1, 1].set_title("No instances (run_ins_box_process is off)")
    for each in axes.flat:
        each.set_axis_off()
    with replace_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _show_semantic(
    axis: Any, label: NDArray[np.uint8], title: str, names: Sequence[str], palette: NDArray[np.uint8]
) -> None:
    axis.imshow(palette[label])
    axis.set_title(title)
    _add_legend(axis, [(i, names[i]) for i in np.unique(label) if i < len(names)], palette)


def _show_evidence(axis: Any, inputs: ImageInputs, palette: NDArray[np.uint8]) -> None:
    """Scores in later rounds, box masks in the first, which has no scores."""
    if inputs.scores is not None:
        axis.imshow(inputs.scores, cmap="gray")
        axis.set_title("Scores of the prediction")
    elif inputs.box_masks is not None:
        axis.imshow(palette[inputs.box_masks])
        axis.set_title("Masks by MCG and GrabCut")
    else:
        axis.set_title("Neither scores nor box masks are used")


def _show_instances(axis: Any, instances: GeneratedInstances, names: Sequence[str], palette: NDArray[np.uint8]) -> None:
    axis.imshow(palette[instances.ins_pred])
    axis.set_title("Generated instance ground truth")
    numbered = enumerate(instances.classes, start=1)
    _add_legend(axis, [(i, f"{i}: {names[c]}") for i, c in numbered if i < 256], palette)


def _add_legend(axis: Any, entries: Sequence[tuple[int, str]], palette: NDArray[np.uint8]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=palette[value] / 255, label=text) for value, text in entries]
    if patches:
        axis.legend(handles=patches, loc="upper left", bbox_to_anchor=(1, 1), fontsize=6, ncols=1 + len(patches) // 30)
