"""The supervision of each training image in words: tags, boxes, a full label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from pseudogt.weak_labels.records import ImageWeakLabels

FULL, NOTHING = "full label", "nothing"


def describe_image(weak: ImageWeakLabels, *, has_full_label: bool) -> str:
    """Supervision of one image, its parts joined by ``+``.

    ===================================  ==========================
    the image has                        words
    ===================================  ==========================
    a full label                         ``full label``
    tags of crops                        ``crop tags``
    no tags of crops, some of the image  ``image tags``
    boxes                                ``boxes``
    points, scribbles, masks             ``points``, ``scribbles``, ``masks``
    none of these                        ``nothing``
    ===================================  ==========================

    Absent tags are tags, too; unknown ones are not.
    """
    if has_full_label:
        return FULL
    parts = []
    if len(weak.crops_xyxy):
        parts.append("crop tags")
    elif weak.known.any():
        parts.append("image tags")
    if len(weak.boxes_xyxy):
        parts.append("boxes")
    parts += count_marks([weak])
    return " + ".join(parts) or NOTHING


def count_marks(images: Iterable[ImageWeakLabels]) -> dict[str, int]:
    """Number of points, scribbles and masks, without kinds that do not occur."""
    kinds = Counter(mark.kind for image in images for mark in image.marks)
    return {f"{kind}s": kinds[kind] for kind in ("point", "scribble", "mask") if kinds[kind]}


def describe_images(weak_labels: Mapping[str, ImageWeakLabels], full: Collection[str]) -> dict[str, str]:
    """Image id -> words of :func:`describe_image`; ``full`` are the ids of images with full labels."""
    return {i: describe_image(weak, has_full_label=i in full) for i, weak in weak_labels.items()}


def count_images(described: Mapping[str, str]) -> dict[str, int]:
    """Number of images with each kind of supervision, most frequent first."""
    return dict(Counter(described.values()).most_common())
