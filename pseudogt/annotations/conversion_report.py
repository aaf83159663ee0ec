"""What is to be said about the boxes and marks of all images: problems, and what was left out or changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from pseudogt.annotations.form import BROKEN, Corners, UnusableObject
from pseudogt.classes import ClassTable
from pseudogt.files.index import ImageRecord
from pseudogt.parsing.problems import SHOWN, shorten_list, shorten_names
from pseudogt.parsing.values import quote_key
from pseudogt.weak_labels.marks import Mark

REMEDY = "; correct it, or set annotations.bad_boxes: skip"


class ConversionReport:
    """Collects problems, and counts what was left out or changed.

    Parameters
    ----------
    skip_bad : bool
        Whether bad boxes, marks and records are left out and counted; otherwise they are problems.
    """

    def __init__(self, *, skip_bad: bool) -> None:
        self.skip_bad = skip_bad
        self.problems: list[str] = []
        self.unusable: defaultdict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
        self._counts: Counter[str] = Counter()
        self._with_marks: set[str] = set()
        self._examples: list[str] = []
        self._clashes: list[str] = []
        self._far_out: list[str] = []

    def count(self, what: str, number: int = 1) -> None:
        """Count what was left out or changed."""
        self._counts[what] += number

    def add_broken(self, records: Sequence[str]) -> None:
        """Records that belong to no image."""
        for record in records:
            self._add_bad(record, f"records can't be read and are left out: {'; '.join(records[:SHOWN])}")

    def add_unusable(self, seen: UnusableObject, *, is_left_out: bool) -> None:
        """An object from which no box can be made."""
        if seen.problem and not is_left_out and not self.skip_bad:
            self.problems.append(seen.problem + REMEDY)
            return
        self.unusable[seen.kind, is_left_out][seen.label or "no class"] += 1
        if not is_left_out:
            self._with_marks |= {seen.kind} if seen.marks else set()
            self._examples += [seen.problem] if seen.problem else []

    def add_stuff(self, number: int, label: str, record: ImageRecord) -> None:
        """A box of stuff, where that is an error."""
        self.problems.append(
            f"image {record.image_id!r}: box {number} is of {label!r}, which is stuff in dataset.classes; make it a "
            "thing, set annotations.stuff: tags to use it as a tag, or leave it out with annotations.rename: "
            f"{{{quote_key(label)}: null}}"
        )

    def add_bad_box(self, number: int, label: str, pixels: Corners, record: ImageRecord) -> None:
        """A box without area in its image."""
        corners = [round(float(v), 2) for v in pixels]
        self._add_bad(
            f"image {record.image_id!r}: box {number} ({label}) at {corners} has no area in the "
            f"{record.width}x{record.height} image",
            "boxes without area in their image are left out, so their class is unknown there",
        )

    def add_bad_mark(self, number: int, label: str, error: ValueError, record: ImageRecord) -> None:
        """A mark that does not fit its image."""
        self._add_bad(
            f"image {record.image_id!r}: mark {number} ({label}) {error}",
            "marks that don't fit their image are left out, so their class is unknown there",
        )

    def _add_bad(self, problem: str, left_out: str) -> None:
        """A problem, or one more of what is left out."""
        if self.skip_bad:
            self.count(left_out)
        else:
            self.problems.append(problem + REMEDY)

    def add_far_out(self, number: int, label: str, record: ImageRecord) -> None:
        """A box that reaches far out of its image."""
        self._far_out.append(f"image {record.image_id!r}: box {number} ({label})")

    def add_clashes(self, marks: Iterable[Mark], image_id: str, classes: ClassTable) -> None:
        """Pixels of an image that were clicked for several classes."""
        clicked: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for mark in marks:
            if mark.kind == "point":
                clicked[int(mark.values[0, 0]), int(mark.values[0, 1])].add(mark.train_id)
        for place, train_ids in clicked.items():
            if len(train_ids) > 1:
                names = ", ".join(classes.names[train_id] for train_id in sorted(train_ids))
                self._clashes.append(f"image {image_id!r} at {place} ({names})")

    def describe(self) -> list[str]:
        """Whatever was left out or changed, one line for each kind of it."""
        lines = [f"{count} {what}" for what, count in self._counts.items() if count]
        if self._far_out:
            lines.append(
                f"{len(self._far_out)} boxes reach far out of their image, as if drawn on a larger copy of it or "
                f"written in another form; check them: {'; '.join(shorten_list(self._far_out))}"
            )
        if self._clashes:
            lines.append(
                f"{len(self._clashes)} pixels are clicked for several classes and stay without label: "
                f"{'; '.join(shorten_list(self._clashes))}"
            )
        return lines + [self._describe_unusable(*key) for key in self.unusable]

    def _describe_unusable(self, kind: str, is_left_out: bool) -> str:
        labels = self.unusable[kind, is_left_out]
        total = f"{labels.total()} objects of kind {kind!r} ({shorten_names(list(labels))})"
        if is_left_out:
            return f"{total} are left out"
        line = f"{total} have no box that can be used, so their class is unknown in their image, unless it has others"
        if kind == BROKEN:
            return f"{line}: {'; '.join(self._examples[:SHOWN])}"
        line += f"; to leave them out, set annotations.leave_out: [{kind}]"
        return line + ("; to learn from their pixels, set annotations.points: weak" if kind in self._with_marks else "")
