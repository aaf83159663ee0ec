"""What a run can score and export, by the names that targets and files have."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Subject:
    """Subject that the evaluation scores under one name.

    Attributes
    ----------
    split : {"train", "val"}
    files : str
        Path of a shard below the results.
    option : str
        Option of the stage that takes the files.
    flag : str
        Option of the stage for these files.
    """

    split: str
    files: str
    option: str = "labels"
    flag: str = ""


SUBJECTS = {
    "cams": Subject("train", "cams/{shard}.h5", option="first-scores"),
    "box_masks": Subject("train", "box_masks/{shard}", flag="--things-only"),
    "mined": Subject("train", "mined/{shard}"),
    "mining": Subject("val", "mined/{shard}", flag="--scored"),
    "labels": Subject("train", "labels/{round}/{shard}"),
    "model": Subject("val", "predictions/{round}/{shard}", flag="--scored"),
    "reference": Subject("val", "reference_predictions/{shard}", flag="--scored"),
}
"""All that can be scored. Of what there is in every round, the name in full ends in ``-<round>``."""

SUBJECT_PATTERN = "|".join(rf"{name}-\d+" if "{round}" in subject.files else name for name, subject in SUBJECTS.items())
"""Regular expression of the names of subjects."""

MEASURES = {"ap": "val", "corloc": "train"}
"""Scores of detections, and the split on which each is taken."""

EXPORT_PATTERN = r"labels-\d+|predictions-\d+-(train|val)|box_masks"
"""Regular expression of the names of what can be exported."""


def find_subject(name: str) -> Subject:
    """Return the subject of a name such as ``cams`` or ``model-1``."""
    kind, _, number = name.partition("-")
    subject = SUBJECTS[kind]
    return replace(subject, files=subject.files.replace("{round}", number))
