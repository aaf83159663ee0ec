"""The supervision of a run, for its summary, and its provenance, for the manifests of its exports."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pseudogt import __version__
from pseudogt.config.inheritance import SHARED
from pseudogt.config.run import RunConfig
from pseudogt.workflow.networks import describe_networks
from pseudogt.workflow.provenance import compute_code_digest, compute_input_digest

WITHOUT_INFLUENCE = {
    *SHARED,
    "evaluation",
    "report",
    "export",
    "review",
    "images",
    "model",
    "predict_to",
    "model_to",
    "boxes_from",
    "masks_to",
    "threads",
    "decode",
    "keep_scores",
}
"""Settings that no label depends on, and sections that stages have inherited from; the digest in an export's manifest
leaves them out."""


def name_supervision(config: RunConfig) -> str:
    """Supervision of the labels, its parts joined by a plus; ``SUPERVISION_NAMES`` of the report has words for each."""
    annotations, weak_labels = config.annotations, config.weak_labels
    if config.provided.weak_labels:
        parts = ["provided"]
    elif annotations.given:
        parts = ["image_tags", *(["boxes"] if annotations.path and annotations.boxes else [])]
        parts += ["points"] if annotations.path and annotations.points == "weak" else []
        parts += ["scribbles"] if annotations.path and annotations.masks == "scribbles" else []
    else:
        parts = [f"{weak_labels.tags}_tags", *(["boxes"] if weak_labels.boxes else [])]
        parts += [f"points_of_{weak_labels.points}"] if weak_labels.points else []
        parts += [f"scribbles_of_{weak_labels.scribbles}"] if weak_labels.scribbles else []
    return "+".join([*parts, "full"] if config.has_full_labels else parts)


def digest_config(config: RunConfig) -> str:
    """Digest of the settings that labels depend on; prompts are not part of the dumped configuration."""
    settings = config.model_dump(mode="json", exclude=WITHOUT_INFLUENCE)
    return compute_input_digest([settings, *([config.prompts] if config.uses_concepts else [])], [])


def describe_provenance(config: RunConfig, subject: str, full_label_ids: Collection[str]) -> dict[str, Any]:
    """The run's entries in the manifest of an export; ``full_label_ids`` are the images with labels of the dataset."""
    source, *number = subject.split("-")[:2]
    return {
        "run": config.name,
        "subject": {
            "source": source,
            "round": int(number[0]) if number else None,
            "split": "val" if subject.endswith("-val") else "train",
        },
        "config_digest": digest_config(config),
        "code": {"version": __version__, "digest": compute_code_digest(f"pseudogt.stages.{source}")},
        "weak_labels": {
            "source": config.provided.weak_labels
            or config.annotations.path
            or config.annotations.tags
            or "derived from the ground truth of the dataset",
            "ground_truth_used": not config.has_given_weak_labels,
        },
        "full_labels": {
            "of_the_dataset": len(full_label_ids),
            "folder": config.full_labels.folder,
            "polygons": config.full_labels.polygons,
            "ground_truth_used": bool(full_label_ids),
        },
        "mask_networks": describe_networks(config),
    }
