"""The settings with which ``labelling.py`` measures a point: form of label, split and seed."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelling_forms import NO_LABELS, WEAK_FORMS, Dataset, Point
from measurement import REPOSITORY
from snakemake.utils import update_config
from workflow_runs import merge_files, parse_assignments, read_yaml, resolve_config

from pseudogt.config.run import RunConfig

OF_THE_MACHINE = {"name", "data_root", "keep_scores", "threads", "machine"}
"""Settings that say where and how a point is measured, not what."""


@dataclass(frozen=True)
class PointSettings:
    """What all points of a dataset have in common, and the settings of each.

    Attributes
    ----------
    dataset : Dataset
    files : sequence of Path
        Config files, later ones override earlier ones.
    data_root : Path or None
    assignments : sequence of str
        Further settings, as ``KEY=VALUE``.
    rounds : int or None
        Rounds to train; None for those of the files.
    """

    dataset: Dataset
    files: Sequence[Path]
    data_root: Path | None
    assignments: Sequence[str]
    rounds: int | None

    def build(self, point: Point) -> dict[str, Any]:
        """Settings of the workflow that make a point differ from the config file, and its name."""
        weak = point.form.weak or "image tags + boxes"
        settings: dict[str, Any] = {
            "name": f"labelling-{point.dataset}-{point.run_name}",
            "keep_scores": False,
            "optimisation": {"seed": point.seed},
            "weak_labels": NO_LABELS | {"points_seed": point.seed} | WEAK_FORMS[weak],
        }
        if self.data_root:
            settings["data_root"] = str(self.data_root.resolve())
        if point.split:
            update_config(settings, {"dataset": {f"{s}_split": f"{point.split}_{s}" for s in ("train", "val")}})
        base = merge_files(self.files)
        # Every form trains all rounds, so that all networks have seen as many steps.
        settings["rounds"] = {"max": self.rounds, "min": self.rounds} if self.rounds else {"min": base["rounds"]["max"]}
        if weak == "image tags":
            update_config(settings, read_mining(base.get("classifier", {}).get("backbone")))
        if self.dataset.tag_scale and point.form.weak in ("image tags", "image tags + boxes"):
            update_config(settings, {"classifier": {"scale": self.dataset.tag_scale}})
        update_config(settings, parse_assignments(self.assignments))
        return settings

    def resolve(self, point: Point) -> RunConfig:
        """The whole configuration of a point."""
        return resolve_config(self.files, self.build(point))

    def describe(self, point: Point) -> dict[str, Any]:
        """Settings of a point that do not depend on where it is measured."""
        return {k: v for k, v in self.build(point).items() if k not in OF_THE_MACHINE}

    def digest(self, point: Point) -> str:
        """Digest of all that is set for a point: the config files, and what differs from them."""
        files = [read_yaml(path) for path in self.files]
        text = json.dumps([files, self.describe(point), point.form.name], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_mining(backbone: str | None) -> dict[str, Any]:
    """Settings of a run from tags of whole images alone: those of CamVid's tags of crops, on whole images."""
    given = copy.deepcopy(read_yaml(REPOSITORY / "configs" / "camvid-jtsm.yaml"))
    mining = given["mining"] | {"samples": "image", "short_sides_px": given["mined"]["short_sides_px"]}
    return {
        "method": "jtsm",
        "proposals": given["proposals"],
        "mining": mining | ({"backbone": backbone} if backbone else {}),
        "mined": given["mined"],
    }
