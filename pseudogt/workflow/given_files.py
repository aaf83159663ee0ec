"""Digests of the files that the configuration names and Snakemake does not watch.

Snakemake compares the times of input files. Where one file is an input of many jobs, or a folder of thousands, a digest
of the part that matters is a parameter of the rule instead. Parsing imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pseudogt.box_masks.sam_folder import find_sam
from pseudogt.config.annotations import AnnotationsSettings, find_name_files
from pseudogt.config.dataset import DatasetSettings
from pseudogt.config.full_labels import FullLabelsSettings
from pseudogt.config.run import RunConfig
from pseudogt.datasets import LAYOUTS, SPLIT_SEPARATOR, list_images
from pseudogt.files.listing import find_images
from pseudogt.files.model_folders import ModelFolder
from pseudogt.parsing.contents import describe_missing
from pseudogt.parsing.image_lists import read_id_list
from pseudogt.pseudo_labels.concept_folder import find_concept_model
from pseudogt.workflow.provenance import compute_image_digests, compute_input_digest
from pseudogt.workflow.weights import list_weights


@dataclass(frozen=True)
class GivenFiles:
    """Digests of the files that a configuration names.

    Attributes
    ----------
    full_label_ids : frozenset of str
        Images whose labels of the dataset are used.
    full_label_files : tuple of Path
        Files of the folder of full labels.
    weak_labels : mapping
        Digest of each image's records in the provided weak labels.
    annotations : str
        Digest of the files with boxes and tags.
    weights : mapping
        Digest of the weight files that a section's stage reads: a replaced file is a new result.
    """

    full_label_ids: frozenset[str] = frozenset()
    full_label_files: tuple[Path, ...] = ()
    weak_labels: Mapping[str, str] = field(default_factory=dict)
    annotations: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, config: RunConfig, data_root: str, shards: Mapping[str, Sequence[str]]) -> GivenFiles:
        """Read what the configuration names.

        Raises
        ------
        ValueError
            If a file or folder is missing, or a full label is asked for of an image that is not in training.
        """
        train_ids = {i for shard, image_ids in shards.items() if shard.startswith("train-") for i in image_ids}
        settings = config.full_labels
        listed = list_full_label_ids(settings, config.dataset, data_root)
        for setting, image_ids in listed.items():
            unknown = sorted(image_ids - train_ids)
            if unknown and shards:
                remedy = (
                    f"{settings.images} must list ids of these, without suffix"
                    if setting == "images"
                    else f"{settings.split} must be a part of dataset.train_split: {config.dataset.train_split}, and "
                    "dataset.val_fraction null"
                )
                raise ValueError(
                    f"full_labels.{setting}: {unknown[0]!r} is not among the training images, such as "
                    f"{min(train_ids, default='')!r}; {remedy}"
                )
        provided = config.provided
        needed = {"proposals": config.proposals} | ({} if provided.box_masks else {"box_masks": config.box_masks})
        weights = {section: digest_weights(section, list_weights(values)) for section, values in needed.items()}
        if config.uses_sam:
            weights["box_masks"] += digest_model("box_masks.sam_model", find_sam, config.box_masks.sam_model)
        if config.uses_concepts:
            weights["cams"] = digest_model("cams.concept_model", find_concept_model, config.cams.concept_model)
        return cls(
            full_label_ids=frozenset().union(*listed.values()),
            full_label_files=tuple(list_full_label_files(settings)),
            weak_labels=digest_weak_labels(Path(provided.weak_labels)) if provided.weak_labels else {},
            annotations=digest_annotations(config.annotations, data_root) if config.annotations.given else "",
            weights=weights,
        )

    def digest_full_labels(self, image_ids: Iterable[str]) -> str:
        """Digest of what the full labels of a shard are made from: a corrected file touches its own shard only."""
        wanted = set(image_ids)
        files = [
            file
            for file in self.full_label_files
            if file.suffix in (".json", ".xml") or file.stem.partition("_gtFine")[0] in wanted
        ]
        return digest_times(files)

    def digest_weak_labels(self, image_ids: Iterable[str]) -> str:
        """Digest of a shard's records in the provided weak labels, so that an edited box affects only its shard."""
        return compute_input_digest([self.weak_labels.get(image_id) for image_id in image_ids], [])


def list_full_label_ids(settings: FullLabelsSettings, dataset: DatasetSettings, data_root: str) -> dict[str, set[str]]:
    """Images whose labels of the dataset are used, by the setting that asks for them: `images` and `split`.

    Raises
    ------
    ValueError
        If a list can't be read.
    """
    try:
        listed = read_id_list(Path(settings.images)) if settings.images else []
        of_split: list[str] = []
        if settings.split:
            images = list_images(dataset, data_root)
            for part in settings.split.split(SPLIT_SEPARATOR):
                others = LAYOUTS.load(dataset.format).list_split(Path(data_root), part).images
                of_split += images.list_part(part) or [image.name for image in others]
    except ValueError as error:
        raise ValueError(f"full_labels: {error}") from error
    return {"images": set(listed), "split": set(of_split)}


def list_full_label_files(settings: FullLabelsSettings) -> list[Path]:
    """All files of the folder of full labels, if there is one."""
    if not settings.folder:
        return []
    folder = Path(settings.folder)
    if not folder.is_dir():
        raise ValueError(f"full_labels.folder: {folder}: {describe_missing(folder, 'folder')}")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def digest_annotations(settings: AnnotationsSettings, data_root: str) -> str:
    """Digest of the names, sizes and times of the files with boxes and tags.

    Raises
    ------
    ValueError
        If one is missing.
    """
    named = [Path(data_root, path) for path in (settings.path, settings.names, settings.tags) if path]
    for path in named:
        if not path.exists():
            missing = describe_missing(path, "file or folder")
            raise ValueError(f"annotations: {path}: {missing}; relative paths start at data_root, {data_root}")
    if settings.format == "yolo":
        folders = [named[0], *named[0].resolve().parents[:2]]
        named += [path for folder in folders for path in find_name_files(folder)]
    files = [file for path in named for file in (path.rglob("*") if path.is_dir() else [path])]
    return digest_times(file for file in files if file.is_file())


def digest_weak_labels(path: Path) -> dict[str, str]:
    """Digest of each image's records in a file of weak labels.

    Raises
    ------
    ValueError
        If it can't be read.
    """
    if not path.is_file():
        raise ValueError(f"provided.weak_labels: {path}: {describe_missing(path)}")
    try:
        return compute_image_digests(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"provided.weak_labels: {path}: not a COCO-style file ({error!r})") from error


def digest_weights(section: str, paths: Sequence[Path]) -> str:
    """Digest of weight files that a section of the configuration needs.

    Raises
    ------
    ValueError
        If one is missing.
    """
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"{missing[0]}: no such file; the settings in section {section} need it")
    return compute_input_digest([], paths)


def digest_model(setting: str, find: Callable[[str], ModelFolder], name: str | None) -> str:
    """Digest of the names, sizes and times of the files of a model of transformers that a setting names.

    Raises
    ------
    ValueError
        If there is no such model, or it is of a kind that does not work; the message names the setting.
    """
    try:
        return digest_times(find(name or "").files)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from error


def digest_predict_inputs(folder: Path, model: Path) -> str:
    """Digest that tells one call of `predict` from another: images by name and size, the model by size and time.

    Raises
    ------
    ValueError
        If there is no such folder or model.
    """
    if not folder.is_dir():
        raise ValueError(f"images={folder}: {describe_missing(folder, 'folder')}")
    check_model(model)
    found = find_images(folder)[0]
    missing = next((path for path in found.values() if not path.is_file()), None)
    if missing is not None:
        raise ValueError(f"images={folder}: {missing}: {describe_missing(missing)}; remove it")
    images = sorted((image_id, path.stat().st_size) for image_id, path in found.items())
    return compute_input_digest([images, model.stat().st_size, model.stat().st_mtime_ns], [])


def check_model(path: Path) -> None:
    """Raise ``ValueError`` if there is no model file of that name, or one that only other programs read."""
    if not path.is_file():
        raise ValueError(f"model={path}: {describe_missing(path)}; name one with --config model=FILE")
    if path.suffix.lower() == ".pt2":
        raise ValueError(f"model={path}: is an archive of torch.export for other programs; name the .pt or .onnx file")


def digest_times(files: Iterable[Path]) -> str:
    """Digest of the names, sizes and times of files."""
    facts = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return compute_input_digest(sorted(facts), [])
