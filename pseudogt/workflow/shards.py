"""Names of shards, and lists of their files on the command lines of stages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

SHARD_IN_PATH = re.compile(r"(.*\b(?:train|val)-)(\d{4,})((?:\.\w+)?)")
RUN_OF_SHARDS = re.compile(r"(.*\b(?:train|val)-)\{(\d{4,})\.\.(\d{4,})\}((?:\.\w+)?)")


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
