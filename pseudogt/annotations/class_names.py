"""What the class names of annotations mean: train ids of ``dataset.classes``, by the settings of the annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pseudogt.annotations.form import REGION_CHOICE, Reading, UnusableObject
from pseudogt.annotations.records import list_labels
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.parsing.problems import SHOWN
from pseudogt.parsing.values import quote_key

OTHERS = "*"
"""Key of ``annotations.rename`` for all names that neither it nor the class table lists."""


class ClassNames:
    """Meaning of the class names in a source of boxes, which may have tags, too, and one of tags.

    Attributes
    ----------
    box_names, tag_names, tag_names_of_boxes : set of str
        Names that boxes may have, that tags may have, and those of the latter that the source of boxes declares.
    targets : mapping
        Name in a source -> name that it stands for, of ``dataset.classes`` or not; None if it is left out.
    train_ids : mapping
        Name in a source -> train id, of names that stand for a class.
    background : int or None
        Train id of what no object covers.
    """

    def __init__(
        self, boxes: Reading | None, tags: Reading | None, classes: ClassTable, settings: AnnotationsSettings
    ) -> None:
        self.classes, self.settings = classes, settings
        self.readings = [reading for reading in (boxes, tags) if reading is not None]
        self.box_names = set(boxes.box_labels) if boxes else set()
        self.tag_names = {name for reading in self.readings for name in reading.tag_labels}
        self.tag_names_of_boxes = set(boxes.tag_labels) if boxes else set()
        names = {name: train_id for train_id, name in enumerate(classes.names)}
        self.rename, self.left_out = settings.rename, set(settings.leave_out)
        self.targets = {name: self._rename(name, names) for name in self.box_names | self.tag_names}
        self.train_ids = {
            name: names[target] for name, target in self.targets.items() if target is not None and target in names
        }
        self.background = int(classes.stuff_ids[0]) if settings.background and len(classes.stuff_ids) == 1 else None

    def _rename(self, name: str, names: Mapping[str, int]) -> str | None:
        """Name that a name of a source stands for; None if it is left out."""
        if name in self.left_out:
            return None
        return self.rename.get(name, name if name in names else self.rename.get(OTHERS, name))

    def find_train_ids(self, names: Iterable[str]) -> list[int]:
        """Train ids of those of the names that stand for a class."""
        return [self.train_ids[name] for name in names if name in self.train_ids]

    def is_left_out(self, label: str) -> bool:
        """Whether boxes of a name are passed over."""
        return label in self.left_out or self.targets.get(label, label) is None

    def leaves_out(self, seen: UnusableObject) -> bool:
        """Whether an object without box is passed over, by its name or by what the source calls its kind."""
        return seen.kind in self.left_out or (seen.label is not None and self.is_left_out(seen.label))

    def describe_problems(self) -> list[str]:
        """Problems with the names of classes. What is declared need not be used; what is used must be known."""
        known, declared = ", ".join(self.classes.names), self.box_names | self.tag_names
        unclear = [name for name in declared if name not in self.train_ids and self.targets[name] is not None]
        used = self._list_used() if unclear else frozenset()
        problems = [self._describe_unknown(name, known) for name in sorted(used.intersection(unclear))]
        if len(problems) > SHOWN:
            names = ", ".join(sorted(used.intersection(unclear)))
            problems = [
                f"{len(problems)} classes of the annotations are not in dataset.classes ({known}): {names}; add them, "
                "or name them in annotations.rename, where {'*': null} leaves out whatever is not named"
            ]
        kinds = {seen.kind for reading in self.readings for image in reading.images for seen in image.unusable}
        listed = ", ".join(sorted(declared)) or "none"
        problems += [
            f"annotations.rename: {name!r} is not a class of the annotations; they have {listed}"
            for name in sorted(set(self.rename) - declared - {OTHERS})
        ]
        problems += [
            f"annotations.leave_out: {name!r} is neither a class of the annotations ({listed}) nor a kind of object "
            f"that has no box ({', '.join(sorted(kinds)) or 'none'})"
            for name in sorted(self.left_out - declared - kinds - self._list_remarks())
        ]
        if self.settings.background and self.background is None:
            problems.append(
                f"annotations.background needs exactly one stuff class in dataset.classes, there are "
                f"{len(self.classes.stuff_ids)}; add one named background, or set it to null"
            )
        return problems

    def _describe_unknown(self, name: str, known: str) -> str:
        """Say that a class name, or what ``rename`` makes of it, is not in the class table."""
        target = self.targets[name]
        if target == name:
            return (
                f"class {name!r} of the annotations is not in dataset.classes ({known}); add it, or set "
                f"annotations.rename: {{{quote_key(name)}: a class, or null to leave it out}} ('*' stands for all "
                "names that are not listed)"
            )
        return (
            f"annotations.rename makes {target!r} of class {name!r} of the annotations, which is not in "
            f"dataset.classes ({known}); correct it, or add it to the classes"
        )

    def _list_used(self) -> frozenset[str]:
        """Class names of objects and tags."""
        tags = frozenset(name for reading in self.readings for image in reading.images for name in image.tags)
        return tags.union(*(list_labels(reading.images) for reading in self.readings))

    def _list_remarks(self) -> set[str]:
        seen = (seen for reading in self.readings for image in reading.images for seen in image.unusable)
        return {s.label for s in seen if s.kind == REGION_CHOICE and s.label is not None}
