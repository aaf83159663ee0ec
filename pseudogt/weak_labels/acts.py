"""How often each act of labelling was done, counted from what an image holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import ClassTable
from pseudogt.weak_labels.records import ImageWeakLabels

MOST = 0.5
"""Share of the images that must have a kind of label for the set to count as labelled by it."""


def count_acts(weak: ImageWeakLabels) -> Counter[str]:
    """Acts (names of ``seconds.PRICES``) by which one image got its weak labels.

    A box, a point, a stroke or a mask shows that its class is present, so its tag takes no time. The annotator was
    asked about every other known class once and, if it is present, once more for every crop.
    """
    shown = np.zeros(len(weak.tags), bool)
    shown[weak.box_classes] = True
    shown[weak.marks.classes] = True
    kinds = Counter(mark.kind for mark in weak.marks)
    pointed = len({mark.train_id for mark in weak.marks if mark.kind == "point"})
    acts = {
        "tag": int(np.count_nonzero(weak.known & ~shown)),
        "crop_tag": len(weak.crops_xyxy) * int(np.count_nonzero(weak.tags & ~shown)),
        "box": len(weak.boxes_xyxy),
        "point": pointed,
        "further_point": kinds["point"] - pointed,
        "scribble": kinds["scribble"],
        "outline": kinds["mask"],
    }
    return Counter({act: count for act, count in acts.items() if count})


def count_full_acts(
    segment_classes: Sequence[int] | NDArray[np.integer], class_count: int, outline: str = "outline"
) -> Counter[str]:
    """Acts by which one image got its full label: an outline for each segment, a tag for each class that is not there.

    Parameters
    ----------
    segment_classes : sequence of int
        Train id of each segment of things and stuff.
    class_count : int
    outline : str
        Act that draws a segment: ``compact_outline`` for objects such as nuclei.
    """
    return Counter({"tag": class_count - len(np.unique(segment_classes)), outline: len(segment_classes)})


def find_kinds(images: Iterable[ImageWeakLabels], classes: ClassTable) -> tuple[str, ...]:
    """Kinds of weak labels that at least half of the images have, from ``image tags`` to ``thing masks``."""
    counts: Counter[str] = Counter()
    total = 0
    for weak in images:
        total += 1
        counts.update(_list_kinds(weak, classes.thing_ids))
    return tuple(kind for kind in counts if counts[kind] >= MOST * total)


def _list_kinds(weak: ImageWeakLabels, thing_ids: Collection[int]) -> list[str]:
    """Kinds of one image, each once, in a fixed order."""
    kinds = ["crop tags" if len(weak.crops_xyxy) else "image tags"] if weak.known.any() else []
    kinds += ["boxes"] if len(weak.boxes_xyxy) else []
    marks = {f"{'thing' if mark.train_id in thing_ids else 'stuff'} {mark.kind}s" for mark in weak.marks}
    return kinds + sorted(marks)
