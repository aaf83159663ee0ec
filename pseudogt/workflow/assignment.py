"""Assign the images of a run to shards before the first job: append-only, so that a new image changes one shard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from pseudogt.config.dataset import DatasetSettings
from pseudogt.config.run import RunConfig
from pseudogt.costs.estimate import ASSUMED_PIXELS
from pseudogt.costs.requirements import measure_pixels
from pseudogt.datasets import class_table, list_images
from pseudogt.files.io import read_json, write_json
from pseudogt.workflow.shards import split_of_shard


def find_data_root(config: RunConfig) -> str:
    """Folder of the dataset: the user's, or that of the street scenes; empty if only new images are predicted."""
    return f"results/{config.name}/streets" if config.dataset.format == "streets" else config.data_root or ""


def assign_shards(config: RunConfig, record: Path) -> tuple[dict[str, list[str]], int, Sequence[str]]:
    """The shard of each image, the pixels of an image, and the ignored files.

    Parameters
    ----------
    config : RunConfig
    record : Path
        ``index.json``, the assignment of an earlier run, to which new images are appended.

    Raises
    ------
    ValueError
        If the dataset's lists can't be read.
    """
    if config.images is not None:
        return {}, ASSUMED_PIXELS, ()
    previous = read_shards(record) if record.is_file() else None
    data_root = find_data_root(config)
    images = list_images(config.dataset, data_root, config.streets)
    return plan_shards(previous, images.ids, config.shard_size), measure_pixels(config, images), images.passed_over


def plan_shards(
    previous: Mapping[str, Sequence[str]] | None,
    ids_by_split: Mapping[str, Sequence[str]],
    shard_size: int,
) -> dict[str, list[str]]:
    """Assign images to shards without moving any that has its place already.

    Parameters
    ----------
    previous
        The plan of an earlier run (``shard -> image ids``), or None.
    ids_by_split
        Image ids of each split, in the order of the dataset's lists.
    shard_size : int
        Largest number of images in a new or growing shard. A shard of the previous plan that is
        larger stays as it is.

    Returns
    -------
    dict
        ``shard -> image ids`` with names like ``train-0000``. Removed images drop out, a shard
        left empty disappears, new images fill the last shard of their split and then open new
        ones. Names of emptied shards at the end may be given out again.
    """
    plan: dict[str, list[str]] = {}
    for split, image_ids in ids_by_split.items():
        kept = _keep_shards(previous or {}, split, set(image_ids))
        placed = {image_id for members in kept.values() for image_id in members}
        new_ids = (image_id for image_id in image_ids if image_id not in placed)
        plan.update(_append_images(kept, split, new_ids, shard_size))
    return plan


def _keep_shards(previous: Mapping[str, Sequence[str]], split: str, present: set[str]) -> dict[str, list[str]]:
    kept = {
        shard: [image_id for image_id in members if image_id in present]
        for shard, members in sorted(previous.items(), key=lambda item: _shard_number(item[0]))
        if split_of_shard(shard) == split
    }
    return {shard: members for shard, members in kept.items() if members}


def _append_images(
    shards: dict[str, list[str]], split: str, new_ids: Iterable[str], shard_size: int
) -> dict[str, list[str]]:
    last = next(reversed(shards), None)
    for image_id in new_ids:
        if last is None or len(shards[last]) >= shard_size:
            last = f"{split}-{_shard_number(last) + 1 if last else 0:04d}"
            shards[last] = []
        shards[last].append(image_id)
    return shards


def _shard_number(shard: str) -> int:
    return int(shard.rpartition("-")[2])


def read_shards(path: Path) -> dict[str, list[str]]:
    """Image ids by shard of ``index.json``; ``ValueError`` if it was cut or edited."""
    try:
        return TypeAdapter(dict[str, list[str]]).validate_python(read_json(path)["shards"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: can't be read as the shards of an earlier run; delete it, and the next run assigns all images to "
            "shards again"
        ) from error


def record_shards(path: Path, shards: Mapping[str, Sequence[str]], settings: DatasetSettings) -> None:
    """Write ``index.json``, which keeps images in their shards.

    Parameters
    ----------
    path : Path
        The file ``index.json``; files of shards that no longer exist are removed from the folder ``index`` beside it.
    shards : mapping
        Shard -> image ids.
    settings : DatasetSettings
    """
    for shard in path.with_name("index").glob("*.json"):
        if shard.stem not in shards:
            shard.unlink()
    images = sum(map(len, shards.values()))
    write_json(path, {"shards": shards, "categories": class_table(settings).to_categories(), "images": images})


def find_odd_shards(shards: Mapping[str, Sequence[str]], shard_size: int) -> list[str]:
    """Warnings about shards that are valid but probably unintended."""
    warnings = []
    sizes = {name: sum(len(i) for s, i in shards.items() if split_of_shard(s) == name) for name in ("train", "val")}
    if not sizes["val"]:
        warnings.append("no image in val: the model will not be scored; set dataset.val_split or dataset.val_fraction")
    if sizes["train"] == 1:
        warnings.append("only one image in train: the model will know this image and nothing else")
    images = sum(sizes.values())
    if shard_size > images:
        warnings.append(f"shard_size {shard_size} exceeds the {images} images: one shard per split, no parallel work")
    return warnings
