"""Assignment of images to shards: append-only, so that a new image changes a single shard."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

SHARD_IN_PATH = re.compile(r"(.*\b(?:train|val)-)(\d{4,})((?:\.\w+)?)")
RUN_OF_SHARDS = re.compile(r"(.*\b(?:train|val)-)\{(\d{4,})\.\.(\d{4,})\}((?:\.\w+)?)")


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


def abbreviate_paths(paths: Iterable[str]) -> list[str]:
    """Write the paths of consecutive shards as one word: ``labels/0/train-{0000..0312}``.

    Parameters
    ----------
    paths
        In the order of the shards, as the workflow lists them.

    Returns
    -------
    list of str
        What :func:`expand_paths` makes the same paths from.
    """
    runs: list[list[str]] = []
    for path in paths:
        if runs and _find_successor(runs[-1][-1]) == path:
            runs[-1].append(path)
        else:
            runs.append([path])
    return [_join_run(run) for run in runs]


def expand_paths(words: Iterable[str]) -> list[str]:
    """Give the paths that were abbreviated, and other words as they are."""
    expanded: list[str] = []
    for word in words:
        found = RUN_OF_SHARDS.fullmatch(word)
        if found is None:
            expanded.append(word)
        else:
            before, first, last, after = found.groups()
            expanded.extend(f"{before}{number:04d}{after}" for number in range(int(first), int(last) + 1))
    return expanded


def pass_files(name: str, files: str | Iterable[str]) -> str:
    """Write ``--name FILE...`` for a shell command; files of consecutive shards are one word.

    Linux takes no more than 128 kB in a command, which a few hundred shards would fill.
    """
    paths = [files] if isinstance(files, str) else list(files)
    return f"--{name} {shlex.join(abbreviate_paths(paths))}"


def pass_files_if_any(name: str, files: str | Sequence[str]) -> str:
    """As :func:`pass_files`, or nothing if there are no files."""
    return pass_files(name, files) if files else ""


def pass_named_files(inputs: Iterable[tuple[str, str | Sequence[str]]]) -> str:
    """Options of a stage for the named inputs of its rule: ``weak_labels`` becomes ``--weak-labels FILE...``.

    An input without files is left out.
    """
    options = (pass_files_if_any(name.replace("_", "-"), files) for name, files in inputs)
    return " ".join(option for option in options if option)


def _find_successor(path: str) -> str | None:
    """Return the same path of the next shard."""
    found = SHARD_IN_PATH.fullmatch(path)
    return f"{found[1]}{int(found[2]) + 1:04d}{found[3]}" if found else None


def _join_run(run: Sequence[str]) -> str:
    first, last = SHARD_IN_PATH.fullmatch(run[0]), SHARD_IN_PATH.fullmatch(run[-1])
    if len(run) == 1 or first is None or last is None:
        return run[0]
    return f"{first[1]}{{{first[2]}..{last[2]}}}{first[3]}"


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
