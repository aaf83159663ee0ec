"""The three numberings of classes in JTSM, and conversions between them.

train id
    Position in the class table, as everywhere.
position
    In the network's outputs: things before stuff, each kind in the order of its train ids. The train
    id at each position is :attr:`pseudogt.classes.ClassTable.things_first`.
semantic label
    Output of the semantic branch: ``THINGS`` for all things together, then the stuff classes from 1 on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import IGNORE_LABEL, ClassTable

THINGS = 0
"""Semantic label of all things."""


@dataclass(frozen=True)
class ClassOrder:
    """Positions and semantic labels of K things and S - 1 stuff classes: all that a network knows of its classes.

    Attributes
    ----------
    things, stuff : int
        Number of classes.
    """

    things: int
    stuff: int

    @property
    def count(self) -> int:
        """Classes, C."""
        return self.things + self.stuff

    @property
    def label_count(self) -> int:
        """Semantic labels, S."""
        return self.stuff + 1

    @property
    def of_things(self) -> slice:
        """Positions of the things."""
        return slice(self.things)

    @property
    def of_stuff(self) -> slice:
        """Positions of the stuff classes."""
        return slice(self.things, None)

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Semantic label of each position, ``(C,)``."""
        return np.append(np.full(self.things, THINGS, np.uint8), self.stuff_labels)

    @property
    def stuff_labels(self) -> NDArray[np.uint8]:
        """Semantic label of each stuff class, ``(S - 1,)``."""
        return np.arange(THINGS + 1, self.label_count, dtype=np.uint8)


def find_train_ids(classes: ClassTable) -> NDArray[np.uint8]:
    """Train id of each semantic label, ``(S,)``; ``IGNORE_LABEL`` for ``THINGS``, which are many classes."""
    return np.append(np.uint8(IGNORE_LABEL), classes.stuff_ids)


def find_semantic_labels(classes: ClassTable) -> NDArray[np.uint8]:
    """Semantic label of each train id, ``(256,)``; ``IGNORE_LABEL`` for what is not a class."""
    labels = np.full(256, IGNORE_LABEL, np.uint8)
    labels[classes.things_first] = ClassOrder(len(classes.thing_ids), len(classes.stuff_ids)).labels
    return labels


def merge_things(by_train_id: NDArray[np.bool_], classes: ClassTable) -> NDArray[np.bool_]:
    """By semantic label, ``(S, ...)``, what is given by train id, ``(C, ...)``: for things whether it holds for any."""
    return np.concatenate([by_train_id[classes.thing_ids].any(0, keepdims=True), by_train_id[classes.stuff_ids]])
