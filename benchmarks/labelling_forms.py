"""What the curve of ``labelling.py`` is made of: datasets, forms of labels, points, and which forms are best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measurement import REPOSITORY
from workflow_runs import merge_files

from pseudogt.checking.labelling import FormResult
from pseudogt.classes import ClassTable
from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import class_table
from pseudogt.weak_labels.seconds import price_acts

SHARES = (5, 20)
"""Per cent of the images with full labels, beside none and all."""

BEST_WEAK = 2
"""How many weak forms are mixed with full labels."""


@dataclass(frozen=True)
class Dataset:
    """A dataset of the curve.

    Attributes
    ----------
    config : Path
    splits : tuple of str
        Folds, each with lists <name>_train and <name>_val; or the one of the config, named by an empty string.
    outline : str
        The act that draws a segment in full labels.
    tag_scale : float, optional
        ``classifier.scale`` where tags of whole images alone teach stuff, so that a window shows a whole image; None
        takes that of the config.
    """

    config: Path
    splits: tuple[str, ...] = ("",)
    outline: str = "outline"
    tag_scale: float | None = None


DATASETS = {
    "camvid-imagenet": Dataset(
        REPOSITORY / "configs" / "camvid-imagenet.yaml", ("fold_a", "fold_b", "fold_c"), tag_scale=0.5
    ),
    "msrc-imagenet": Dataset(REPOSITORY / "configs" / "msrc-imagenet.yaml"),
    "dsb2018": Dataset(REPOSITORY / "configs" / "dsb2018.yaml", outline="compact_outline"),
}

NO_LABELS = {"tags": "image", "boxes": False, "points": None, "scribbles": None, "thing_tags": True}

WEAK_FORMS: dict[str, dict[str, Any]] = {
    "image tags": {},
    "image tags + boxes": {"boxes": True},
    "crop tags + boxes": {"tags": "crop", "boxes": True},
    "points": {"points": "all"},
    "stuff points + boxes": {"points": "stuff", "boxes": True},
    "3 stuff points + boxes": {"points": "stuff", "points_per_segment": 3, "boxes": True},
    "stuff scribbles + boxes": {"scribbles": "stuff", "boxes": True},
}
"""Weak forms, as settings of section `weak_labels` over ``NO_LABELS``; 3 points are those of each segment of stuff."""

SAYING_WHERE_STUFF_IS = (
    "crop tags + boxes",
    "stuff points + boxes",
    "3 stuff points + boxes",
    "stuff scribbles + boxes",
)
"""Weak forms that add to boxes only what a single class of stuff does not need."""


@dataclass(frozen=True)
class Form:
    """What is labelled.

    Attributes
    ----------
    weak : str
        One of ``WEAK_FORMS``, or empty if the other images have no label at all and are left out.
    full_percent : int
        Per cent of the images that have a full label.
    """

    weak: str
    full_percent: int = 0

    @property
    def name(self) -> str:
        """Name in tables and files: ``5% full + points``."""
        full = {0: [], 100: ["all full"]}.get(self.full_percent, [f"{self.full_percent}% full"])
        return " + ".join([*full, *([self.weak] if self.weak else [])])


FIRST_FORMS = (*(Form(weak) for weak in WEAK_FORMS), *(Form("", share) for share in (*SHARES, 100)))
"""All forms but the mixtures, which depend on what these give."""


@dataclass(frozen=True)
class Point:
    """One form on one split with one seed."""

    dataset: str
    split: str
    form: Form
    seed: int

    @property
    def run_name(self) -> str:
        """Name of its run and of its JSON."""
        form = self.form.name.replace("%", "").replace(" + ", "_").replace(" ", "-")
        return "-".join([*filter(None, [form, self.split]), f"seed{self.seed}"])

    def locate(self, folder: Path) -> Path:
        """Its JSON."""
        return folder / self.dataset / f"{self.run_name}.json"


def read_classes(config: Path) -> ClassTable:
    """Class table of a config file, or of the embedded default if it has none."""
    merged = merge_files([config])
    return class_table(DatasetSettings.model_validate(merged["dataset"]))


def find_reason(form: Form, classes: ClassTable) -> str | None:
    """Why a form makes no sense with these classes; None if it does."""
    if form.weak == "image tags" and len(classes) <= 2:
        return "with one class of stuff and one of things all images have the same tags"
    if form.weak in SAYING_WHERE_STUFF_IS and len(classes.stuff_ids) <= 1:
        return "boxes alone say where the only class of stuff is: outside them"
    return None


def list_mixtures(weak_forms: Iterable[str]) -> list[Form]:
    """Full labels of some images beside weak labels of the others."""
    return [Form(weak, share) for weak in weak_forms for share in SHARES]


def list_forms(weak_forms: Iterable[str]) -> list[Form]:
    """All forms if these weak ones are the best."""
    return [*FIRST_FORMS, *list_mixtures(weak_forms)]


def find_forms(names: Sequence[str]) -> list[Form]:
    """The forms of these names.

    Raises
    ------
    SystemExit
        If a name is unknown.
    """
    known = {form.name: form for form in list_forms(WEAK_FORMS)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"--forms: {unknown[0]!r} is not a form; choose from: {', '.join(known)}")
    return [known[name] for name in names]


def choose_best(results: Iterable[FormResult]) -> list[str]:
    """Names of the weak forms with the best PQ of one dataset."""
    weak = [result for result in results if result.form in WEAK_FORMS]
    return [result.form for result in sorted(weak, key=lambda result: -result.mean("pq"))[:BEST_WEAK]]


def find_frontier(results: Iterable[FormResult], seconds: Mapping[str, float] | None = None) -> list[str]:
    """Forms of one dataset than which none is both cheaper and better, cheapest first.

    ``seconds`` replaces those of some acts.
    """
    costs = sorted((price_acts(result.acts, seconds), -result.mean("pq"), result.form) for result in results)
    best, frontier = float("inf"), []
    for _, loss, form in costs:
        if loss < best:
            best = loss
            frontier.append(form)
    return frontier
