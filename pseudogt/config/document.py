"""The text of ``config.yaml``: every setting once, with its description and default, all from the models."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from pseudogt.config.base import Section
from pseudogt.config.inheritance import list_own, list_sections
from pseudogt.config.run import RunConfig

EMBEDDED: dict[str, Any] = {
    "name": "streets",
    "dataset": {"classes": "configs/classes/streets.csv", "void_values": [0, 1, 2, 3, 4, 5, 6]},
}
"""What the embedded run, the demo, sets; all else in ``config.yaml`` is the default of the models."""

ON_COMMAND_LINE = ("images", "model", "predict_to", "boxes_from", "masks_to")
"""Settings of the targets ``predict`` and ``boxes_to_masks``: given with ``--config`` and not written into a file."""

HEAD = """\
The configuration of the embedded demo, street scenes that the workflow draws itself, and the reference of all settings.
This file is written by `python -m pseudogt.config write` from the models in pseudogt/config/. Do not edit it: put what
you change into a file of your own and give it with --configfile, or give single settings with --config. Both replace
only what they name. The files in configs/ show how little that usually is.

The settings that people change most, as section.setting:"""

INDEX = {
    "name": "name of the run and of its folder in results/",
    "method": "from boxes and tags, or from tags alone",
    "data_root": "folder of the dataset",
    "dataset.format": "layout of that folder",
    "dataset.train_split": "images to train on",
    "dataset.val_split": "images to score on",
    "dataset.val_fraction": "share of the training images to set aside for scoring",
    "dataset.classes": "class table",
    "dataset.void_values": "values of the label files that mean no class",
    "annotations.format": "annotation tool that wrote the boxes",
    "annotations.path": "files with boxes",
    "annotations.tags": "file with tags of images",
    "annotations.points": "points and scribbles as weak labels",
    "annotations.background": "things on a background that nobody tagged",
    "weak_labels.tags": "for benchmarks: tags of crops, or of whole images",
    "weak_labels.boxes": "for benchmarks: with boxes, or without",
    "weak_labels.points": "for benchmarks: points of stuff, of things, or of both",
    "full_labels.folder": "masks that were drawn or corrected by hand",
    "gpus": "GPUs of a training",
    "threads": "cores of a job",
    "shard_size": "images per job; large datasets need more",
    "keep_scores": "false saves disk space",
    "machine.torch_threads": "cores that networks use",
    "optimisation.batch_size": "size of a batch; learning_rate goes with it",
    "optimisation.seed": "another run of the same experiment",
    "augmentation.crop_height_px": "size of the training crops; see crop_width_px, too",
    "augmentation.flip": "0 for images whose sides matter",
    "classifier.steps": "length of the first training",
    "classifier.scale": "less than 1 for large images",
    "segmenter.backbone": "size of the network",
    "segmenter.steps": "length of each round's training",
    "segmenter.scale": "less than 1 for large images, more for small objects",
    "rounds.max": "rounds of labels and training",
    "predictions.centre_threshold": "raise it if false instances appear",
    "export.formats": "formats of the exported labels",
}
"""The head's index: setting -> what it is, in a few words."""

WIDTH = 120


def render_config() -> str:
    """Return the text of ``config.yaml``."""
    defaults = RunConfig.model_validate(EMBEDDED).model_dump(mode="json")
    sections = list_sections(RunConfig)
    lines = list(_render_head())
    for name, field in RunConfig.model_fields.items():
        if name in sections:
            values = defaults[name] | EMBEDDED.get(name, {})
            lines += ["", *_render_section(name, sections[name], values)]
        elif name not in ON_COMMAND_LINE:
            lines += _render_setting(name, field.description or "", defaults[name])
    return "\n".join(lines) + "\n"


def _render_head() -> Iterator[str]:
    """The comment at the top, with the index of settings."""
    width = max(map(len, INDEX))
    yield from (f"# {line}".rstrip() for line in HEAD.splitlines())
    yield "#"
    yield from (f"#   {setting:{width}}  {purpose}" for setting, purpose in INDEX.items())
    yield ""
    for name in ON_COMMAND_LINE:
        yield from _comment(f"{name}: {RunConfig.model_fields[name].description} Given with --config.", "")
    yield ""


def _render_section(name: str, section: type[Section], values: dict[str, Any]) -> Iterator[str]:
    """A section with the settings that are its own; what it inherits stands in the shared sections."""
    yield from _comment(inspect.cleandoc(section.__doc__ or ""), "")
    yield f"{name}:"
    for key in list_own(section):
        yield from _render_setting(key, section.model_fields[key].description or "", values[key], indent="  ")


def _render_setting(key: str, description: str, value: Any, indent: str = "") -> Iterator[str]:
    """A setting below its description."""
    yield from _comment(description, indent)
    in_brackets = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True).rstrip()
    yield f"{indent}{key}: {in_brackets[1:-1]}"


def _comment(text: str, indent: str) -> list[str]:
    """Lines of a comment."""
    prefix = f"{indent}# "
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent=prefix, subsequent_indent=prefix)
