"""Which image belongs to which shard: append-only, so that a new image touches one shard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


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

    Raises
    ------
    ValueError
        If ``shard_size`` is below 1.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size must be at least 1, got {shard_size}")
    plan: dict[str, list[str]] = {}
    for split, image_ids in ids_by_split.items():
        kept = _keep_shards(previous or {}, split, set(image_ids))
        placed = {image_id for members in kept.values() for image_id in members}
        new_ids = (image_id for image_id in image_ids if image_id not in placed)
        plan.update(_append_images(kept, split, new_ids, shard_size))
    return plan


def split_of_shard(shard: str) -> str:
    """Split of a shard's name: ``train`` for ``train-0012``."""
    return shard.rpartition("-")[0]


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
