"""What the labels of a set have cost in seconds of a person, and what the next hour buys.

The figures come from the committed results of ``benchmarks/labelling.py``, one small JSON for each dataset, split, form
of label and seed; nothing is computed from anything else, and where nothing near was measured, the text says so.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pseudogt.config.dataset import REPOSITORY
from pseudogt.files.io import read_json
from pseudogt.weak_labels.seconds import PRICES, price_acts

MEASURED = REPOSITORY / "docs" / "results" / "labelling"
PAGE = "docs/what-to-label.md"

NEAR = 2.0
"""A measured set is near if its images cost between half and twice as many seconds in the same form."""

HOUR = 3600.0
SHOWN_PURCHASES = 3

PLURALS = {
    "tag": "tags", "crop_tag": "tags of crops", "box": "boxes", "drawn_box": "boxes", "point": "points",
    "further_point": "further points", "scribble": "scribbles", "outline": "outlines", "compact_outline": "outlines",
}  # fmt: skip


@dataclass(frozen=True)
class FormResult:
    """What one form of label gave on one dataset, over all complete seeds.

    Attributes
    ----------
    dataset, form : str
    kinds : frozenset of str
        Weak labels of the images without a full label.
    full_percent : int
        Per cent of the images that have a full label.
    splits : frozenset of str
        Splits that it was measured on; one without a name where the dataset has only one.
    images : float
        Training images, mean over splits.
    acts : dict
        Act -> how often it was done, mean over all training images.
    scores : dict
        Score on val (``pq``, ``pq_th``, ``pq_st``, ``miou``) -> its value for each seed, means over the splits.
    label_scores : dict
        The same of the labels on train; empty where all labels are ground truth.
    """

    dataset: str
    form: str
    kinds: frozenset[str]
    full_percent: int
    splits: frozenset[str]
    images: float
    acts: Mapping[str, float]
    scores: Mapping[str, Sequence[float]]
    label_scores: Mapping[str, Sequence[float]]

    @cached_property
    def seconds(self) -> float:
        """Seconds of labelling per image of the set."""
        return price_acts(self.acts)

    @property
    def runs(self) -> int:
        """Number of seeds."""
        return len(self.scores["pq"])

    def mean(self, score: str) -> float:
        """Mean of a score over seeds."""
        return statistics.mean(self.scores[score])

    def find_error(self, score: str) -> float | None:
        """Standard error of that mean; None for a single seed, which has no spread."""
        values = self.scores[score]
        return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None

    def holds(self, other: FormResult) -> bool:
        """Whether these labels are those of another form and more, so that one can go on from there."""
        tags = {"image tags"} if "crop tags" in self.kinds else set()
        return self.full_percent == 100 or (
            self.full_percent >= other.full_percent
            and other.kinds <= self.kinds | tags
            and self != other
            and self.seconds >= other.seconds
        )


@dataclass(frozen=True)
class Purchase:
    """What an hour gives that goes into one form of label.

    Attributes
    ----------
    result, base : FormResult
        The form, and that of the set as it is.
    images : float
        Images that an hour suffices for.
    gain : float
        Gain of PQ on val, on a straight line between the two forms.
    error : float or None
        Standard error of the gain over seeds; None where a form has one seed only.
    """

    result: FormResult
    base: FormResult
    images: float
    gain: float
    error: float | None


def read_results(folder: Path = MEASURED) -> list[FormResult]:
    """All forms that were measured, by dataset and cost.

    Scores of different splits can't be compared. Where all forms of a dataset share splits, only these count. A seed
    counts only if it was run on all splits of its form that count.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    splits: dict[str, list[set[str]]] = {}
    for path in sorted(folder.glob("*/*.json")):
        entry = read_json(path)
        groups.setdefault((entry["dataset"], entry["form"]), []).append(entry)
    for (dataset, _), entries in groups.items():
        splits.setdefault(dataset, []).append({entry["split"] for entry in entries})
    shared = {dataset: set.intersection(*each) or set.union(*each) for dataset, each in splits.items()}
    results = [combine_results([e for e in entries if e["split"] in shared[d]]) for (d, _), entries in groups.items()]
    return sorted(results, key=lambda result: (result.dataset, result.seconds))


def combine_results(entries: Sequence[Mapping[str, Any]]) -> FormResult:
    """Put the results of one form on one dataset together."""
    splits = {entry["split"] for entry in entries}
    by_seed: dict[int, list[Mapping[str, Any]]] = {}
    for entry in entries:
        by_seed.setdefault(entry["seed"], []).append(entry)
    complete = [group for _, group in sorted(by_seed.items()) if {entry["split"] for entry in group} == splits]
    seeds = complete or [list(entries)]
    used = [entry for seed in seeds for entry in seed]
    labelled = seeds if all(entry["labels"] for entry in used) else []
    first = entries[0]
    return FormResult(
        dataset=first["dataset"],
        form=first["form"],
        kinds=frozenset(first["kinds"]),
        full_percent=first["full_percent"],
        splits=frozenset(splits),
        images=statistics.mean(entry["images"] for entry in used),
        acts=average_counts([entry["acts"] for entry in used]),
        scores=average_splits([[entry["model"]["val"] for entry in seed] for seed in seeds]),
        label_scores=average_splits([[entry["labels"]["train"] for entry in seed] for seed in labelled]),
    )


def average_counts(counts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each count; what is missing counts as none."""
    acts = {act for each in counts for act in each}
    return {act: sum(each.get(act, 0) for each in counts) / len(counts) for act in sorted(acts)}


def average_splits(seeds: Sequence[Sequence[Mapping[str, float | None]]]) -> dict[str, list[float]]:
    """Of each seed the mean over splits of every score; scores that do not apply are left out."""
    names = list(seeds[0][0]) if seeds else []
    found: dict[str, list[float]] = {}
    for name in names:
        values = [[split[name] for split in seed] for seed in seeds]
        if all(value is not None for seed in values for value in seed):
            found[name] = [statistics.mean(v for v in seed if v is not None) for seed in values]
    return found


def find_purchases(results: Iterable[FormResult], kinds: Iterable[str], seconds: float, images: int) -> list[Purchase]:
    """What an hour more buys a set of ``images`` whose labels took so many seconds each; largest gain first.

    Only sets count on which the same form was measured and on which it cost about as much per image (``NEAR``).
    """
    results = list(results)
    own = frozenset(kinds)
    near = [
        result
        for result in results
        if result.kinds == own and not result.full_percent and seconds / NEAR <= result.seconds <= seconds * NEAR
    ]
    purchases = []
    for base in near:
        costlier = (result for result in results if result.dataset == base.dataset and result.seconds > base.seconds)
        purchases += [_buy(result, base, images) for result in costlier if result.holds(base)]
    return sorted(purchases, key=lambda purchase: -purchase.gain)


def _buy(result: FormResult, base: FormResult, images: int) -> Purchase:
    """Interpolate between two forms by the share of the way that an hour goes."""
    share = min(1.0, HOUR / (images * (result.seconds - base.seconds)))
    errors = [each.find_error("pq") for each in (result, base)]
    known = [error for error in errors if error is not None]
    return Purchase(
        result=result,
        base=base,
        images=share * images * (result.full_percent / 100 if 0 < result.full_percent < 100 else 1),
        gain=share * (result.mean("pq") - base.mean("pq")),
        error=share * sum(error**2 for error in known) ** 0.5 if len(known) == len(errors) else None,
    )


def describe_labelling(acts: Mapping[str, int], kinds: Sequence[str], images: int, folder: Path = MEASURED) -> str:
    """Two lines: what the labels of a set have cost, and what the next hour buys.

    Parameters
    ----------
    acts : mapping
        Act -> how often it was done, all images together.
    kinds : sequence of str
        Kinds of weak labels of most images.
    images : int
        Images that have them, at least 1.
    folder : Path
        Folder of the committed results.
    """
    total = price_acts(acts)
    parts = ", ".join(f"{count:,} {PLURALS[act]} at {PRICES[act].seconds:g} s" for act, count in acts.items() if count)
    span = f"{_format_time(total / 2)} to {_format_time(total * 2)} at half and double of these"
    cost = f"labelling: {_format_time(total)} so far by published seconds, {span} ({PAGE}): {parts or 'nothing'}"
    return f"{cost}\n{describe_next_hour(read_results(folder), kinds, total / images, images)}"


def describe_next_hour(results: Iterable[FormResult], kinds: Sequence[str], seconds: float, images: int) -> str:
    """One line: what the next hour buys, or that nothing near was measured."""
    purchases = find_purchases(results, kinds, seconds, images)
    if not purchases:
        own = f"{' + '.join(kinds) or 'no labels'} at {seconds / NEAR:.0f} to {seconds * NEAR:.0f} s an image"
        numbers = [f"{HOUR / PRICES[act].seconds:.0f} {PLURALS[act]}" for act in ("point", "box", "outline")]
        return (
            f"the next hour: not known; no measured set has {own}, and a form that adds to them. It is the time for "
            f"{numbers[0]}, {numbers[1]} or {numbers[2]}"
        )
    offers = []
    for purchase in purchases[:SHOWN_PURCHASES]:
        error = "unknown, one seed" if purchase.error is None else f"{purchase.error:.3f}"
        offers.append(
            f"PQ {purchase.gain:+.3f} (standard error {error}) if {purchase.images:.0f} images get "
            f"{purchase.result.form}, as on {purchase.result.dataset}"
        )
    return f"the next hour: {'; '.join(offers)}"


def _format_time(seconds: float) -> str:
    return f"{seconds / HOUR:.1f} hours" if seconds >= HOUR else f"{seconds / 60:.1f} minutes"
