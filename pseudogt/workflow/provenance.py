"""A digest of the code that a stage runs; it changes only when the stage's behaviour may change.

Snakemake sees changes of a rule but not of the Python modules it calls. Every rule therefore
carries the digest of its stage module and of all first-party modules that it imports, directly
or not. Comments, docstrings and layout do not count. Computing the digest imports nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pseudogt.config.registry import ROOT, Registry, find_source, list_entries

FIRST_PARTY = ("pseudogt", "models")

Selection = Mapping[str, Sequence[str]]
"""Table of :mod:`pseudogt.config.registry` -> names of the entries that are used; of other tables all are."""


def compute_code_digest(module: str, selection: Selection | None = None) -> str:
    """Digest (16 hexadecimal digits) of a module and the first-party modules it needs.

    Parameters
    ----------
    module : str
        Dotted name, as in ``pseudogt.stages.cams``.
    selection : mapping, optional
        Entries of tables that are used: the code of the others does not count.

    Raises
    ------
    ValueError
        If there is no such module in this repository.
    """
    digest = hashlib.sha256()
    for name in sorted(find_first_party_modules(module, selection)):
        digest.update(name.encode())
        digest.update(_read_module(name).tree)
    return digest.hexdigest()[:16]


def compute_input_digest(facts: Any, inputs: Iterable[Path]) -> str:
    """Digest (16 hexadecimal digits) of what determines a computation.

    Parameters
    ----------
    facts
        Settings and other plain values.
    inputs : iterable of Path
        Files, and folders of files, whose bytes count and whose names don't.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path in inputs:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


class TrainingFiles(NamedTuple):
    """Files that an unfinished training keeps in its scratch folder.

    Attributes
    ----------
    checkpoint : Path
        File of its state.
    samples : Path
        Folder of its prepared samples.
    """

    checkpoint: Path
    samples: Path


def name_training_files(
    scratch: Path, stage: str, facts: Any, sample_facts: Any, inputs: Iterable[Path]
) -> TrainingFiles:
    """Paths of what an unfinished training keeps, each named by all that determines it.

    Parameters
    ----------
    scratch : Path
        Folder.
    stage : str
        Its module, as in ``pseudogt.stages.segmenter``: the code counts.
    facts
        Settings and other plain values that determine the training.
    sample_facts
        Those that determine the samples.
    inputs : iterable of Path
        Files, and folders of files, that the training reads.
    """
    read = compute_input_digest(compute_code_digest(stage), inputs)
    state, samples = (compute_input_digest([read, each], []) for each in (facts, sample_facts))
    return TrainingFiles(scratch / f"{state}.pt", scratch / f"{samples}.samples")


def compute_image_digests(weak_labels: Mapping[str, Any]) -> dict[str, str]:
    """Digest of each image's records in a weak-label document, by image id; numbers of annotations don't count.

    Records that name no image are left out; the stage that reads the file reports them.

    Parameters
    ----------
    weak_labels : mapping
        COCO-style: ``images``, ``categories``, ``annotations``, ``image_tags``, ``crop_tags``, ``unknown_tags``.
    """
    named = (image for image in weak_labels["images"] if isinstance(image, dict) and "id" in image)
    parts: dict[str, list[Any]] = {str(image["id"]): [weak_labels["categories"], image] for image in named}
    for annotation in weak_labels["annotations"]:
        if isinstance(annotation, dict) and "image_id" in annotation:
            facts = {key: value for key, value in annotation.items() if key != "id"}
            parts.setdefault(str(annotation["image_id"]), []).append(facts)
    for kind in ("image_tags", "crop_tags", "unknown_tags"):
        for image_id, tags in weak_labels.get(kind, {}).items():
            parts.setdefault(image_id, []).append([kind, tags])
    return {image_id: compute_input_digest(facts, []) for image_id, facts in parts.items()}


def find_first_party_modules(module: str, selection: Selection | None = None) -> set[str]:
    """Names of ``module`` and of all first-party modules it needs, directly or not.

    It needs what it imports, and the entries of the tables that it looks things up in; of a table in
    ``selection`` only those named there.
    """
    if find_source(module) is None:
        raise ValueError(f"there is no module {module} in {ROOT}")
    found: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        needed = _read_module(name)
        pending.extend(needed.imports)
        for table in needed.tables:
            entries = list_entries(table)
            used = entries if selection is None else selection.get(table, entries)
            pending.extend(entries[entry].module for entry in used)
    return found


class _Module(NamedTuple):
    """Syntax tree without docstrings; first-party modules that it imports; tables that it looks things up in."""

    tree: bytes
    imports: set[str]
    tables: set[str]


@cache
def _read_module(module: str) -> _Module:
    tree = _parse(module)
    return _Module(ast.dump(tree).encode(), _find_imports(module, tree), _find_tables(tree))


def _parse(module: str) -> ast.Module:
    """The module's syntax tree without docstrings, those of constants among them."""
    path = find_source(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_docstring(statement)]
    return tree


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _find_imports(module: str, tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{module}: relative import in line {node.lineno}; write the full module name")
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {n for n in names if n.split(".")[0] in FIRST_PARTY and find_source(n) is not None}


def _find_tables(tree: ast.Module) -> set[str]:
    """First arguments of all ``Registry("package.table", ...)``."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == Registry.__name__]
    return {str(call.args[0].value) for call in named if isinstance(call.args[0], ast.Constant)}
