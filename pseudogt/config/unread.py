"""Settings that were changed although nothing reads them in a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pseudogt.config.inheritance import list_own, list_sections
from pseudogt.config.run import RunConfig
from pseudogt.config.segmenter import QUERY_NETWORKS


class SettingsUse(NamedTuple):
    """Settings that only some runs read.

    Attributes
    ----------
    section : str
    names : sequence of str
        Empty for all settings that the section does not inherit.
    is_read : bool
    reason : str
        Why they are not read.
    """

    section: str
    names: Sequence[str]
    is_read: bool
    reason: str


def find_unread(config: RunConfig) -> list[str]:
    """One line for each group of settings that differ from their defaults and that nothing reads in this run."""
    if config.images or config.boxes_from:
        return []
    lines = []
    for section, names, is_read, reason in _list_uses(config):
        model, values = list_sections(RunConfig)[section], getattr(config, section)
        changed = [
            f"{section}.{name}"
            for name in names or list_own(model)
            if getattr(values, name) != model.model_fields[name].get_default(call_default_factory=True)
        ]
        if changed and not is_read:
            lines.append(f"nothing reads {', '.join(changed)}: {reason}")
    return lines


def has_marks(config: RunConfig) -> bool:
    """Whether images may have points, scribbles or partial masks as weak labels."""
    if config.provided.weak_labels:
        return True
    if config.annotations.given:
        return config.annotations.points == "weak" or config.annotations.masks == "scribbles"
    return config.weak_labels.points is not None or config.weak_labels.scribbles is not None


def _list_uses(config: RunConfig) -> list[SettingsUse]:
    is_jtsm = config.method == "jtsm"
    has_classifier_maps = is_jtsm or not config.uses_concepts
    no_marks = "no image has points, scribbles or masks as weak labels"
    if not is_jtsm:
        no_marks += "; set annotations.points to weak, or weak_labels.points"
    no_classifier = "cams.method: concepts trains no classifier"
    reads_marks = has_marks(config) or not has_classifier_maps
    return [
        SettingsUse("streets", (), config.dataset.format == "streets", f"dataset.format is {config.dataset.format}"),
        SettingsUse("mining", (), is_jtsm, "only method: jtsm reads this section"),
        SettingsUse("mined", (), is_jtsm, "only method: jtsm reads this section"),
        SettingsUse(
            "cams",
            ("layer", "view", "scales", "width_exponent", "min_share"),
            has_classifier_maps,
            no_classifier,
        ),
        SettingsUse("classifier", (), has_classifier_maps, no_classifier),
        SettingsUse("classifier", ("point_weight", "point_region_scale", "ring_weight"), reads_marks, no_marks),
        SettingsUse("cams", ("width_exponent",), reads_marks, no_marks),
        SettingsUse("cams", ("min_share",), config.cams.method != "gradcam", "cams.method: gradcam"),
        SettingsUse(
            "segmenter",
            ("full_share",),
            config.has_full_labels,
            "no image has a full label; name some in section full_labels",
        ),
        SettingsUse(
            "predictions",
            ("min_query_score", "min_mask_share"),
            config.segmenter.network in QUERY_NETWORKS,
            f"segmenter.network: {config.segmenter.network} has no queries",
        ),
    ]
