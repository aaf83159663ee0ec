"""Gaps in weak labels: what is unknown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pseudogt.classes import ClassTable
from pseudogt.parsing.problems import SHOWN
from pseudogt.weak_labels.records import ImageWeakLabels


def describe_nothing(images: Sequence[ImageWeakLabels], background: int | None = None, reason: str = "") -> list[str]:
    """Problem of weak labels from which nothing can be learned; none if there is any.

    Parameters
    ----------
    images : sequence of ImageWeakLabels
    background : int, optional
        Train id of a class without tags.
    reason : str
        Why the source held nothing, if that is known; added to the message.
    """
    for image in images:
        given = np.append(image.tags, image.crop_tags.any())
        if background is not None:
            given[background] = False
        if len(image.boxes_xyxy) or len(image.marks) or given.any():
            return []
    text = f"there is nothing to learn from: none of the {len(images)} training images has a box or a tag"
    return [f"{text}. {reason}" if reason else text]


def check_supervision(images: Sequence[ImageWeakLabels]) -> None:
    """Raise ``ValueError`` if there is nothing to learn from; see :func:`describe_nothing`."""
    problems = describe_nothing(images)
    if problems:
        raise ValueError("; ".join(problems))


def describe_unlocated(images: Sequence[ImageWeakLabels], classes: ClassTable) -> list[str]:
    """Problem of weak labels whose things are only tagged; none if any has a box or a mark, or none is tagged."""
    tagged = np.any([image.tags for image in images], 0) & classes.isthing
    located = np.concatenate([[*image.box_classes, *image.marks.classes] for image in images]).astype(int)
    if not tagged.any() or np.asarray(classes.isthing)[located].any():
        return []
    names = [repr(name) for name, found in zip(classes.names, tagged, strict=True) if found]
    return [
        f"things have tags, but neither boxes nor points nor scribbles ({', '.join(names[:SHOWN])}), so no label would "
        "show an instance; draw some, or set method to jtsm, or cams.method to concepts, or make these classes stuff"
    ]


def find_gaps(images: Sequence[ImageWeakLabels], classes: ClassTable) -> list[str]:
    """Gaps in weak labels from which a network must nevertheless learn."""
    tagged = np.sum([image.tags for image in images], 0)
    in_crops = np.any([image.crop_tags.any(0) for image in images], 0)
    boxed = np.zeros(len(classes), bool)
    boxed[np.concatenate([image.box_classes for image in images])] = True
    marked = np.isin(np.arange(len(classes)), np.concatenate([image.marks.classes for image in images]))
    gaps = [
        f"image {image_id!r} has no box and no tag, so it teaches nothing that is there"
        for image_id in (i.image_id for i in images if not len(i.boxes_xyxy) and not i.tags.any() and i.known.any())
    ]
    gaps = [*gaps[:SHOWN], f"{len(gaps) - SHOWN} more images have neither"] if len(gaps) > SHOWN else gaps
    things_only = boxed.any() and not tagged[classes.stuff_ids].any()
    for train_id, name in enumerate(classes.names):
        if not boxed[train_id] and not tagged[train_id]:
            remedy = "set annotations.background: outside_boxes" if things_only else "take it out of dataset.classes"
            gaps.append(f"class {name!r} occurs in no image; tag it, or {remedy}")
        elif marked[train_id]:
            continue
        elif classes.isthing[train_id] and boxed.any() and not boxed[train_id]:
            gaps.append(f"class {name!r} has no box; where it is must be learned from tags alone")
        elif tagged[train_id] == len(images) > 1 and not boxed[train_id] and not in_crops[train_id]:
            # Boxes alone locate a single stuff class: it is everything outside them.
            located = boxed.any() and len(classes.stuff_ids) == 1
            if not located:
                gaps.append(
                    f"class {name!r} is tagged in every image, so its tags don't say where it is; tag crops, or add "
                    "images without it"
                )
    return gaps
