"""Which code a stage runs: a digest that changes when, and only when, its behaviour may.

Snakemake sees changes of a rule but not of the Python modules it calls. Every rule therefore
carries the digest of its stage module and of all first-party modules that it imports, directly
or not. Comments, docstrings and layout do not count. Nothing is imported to find out.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIRST_PARTY = ("pseudogt", "models")


@cache
def compute_code_digest(module: str) -> str:
    """Digest (16 hexadecimal digits) of a module and the first-party modules it needs.

    Parameters
    ----------
    module : str
        Dotted name, as in ``pseudogt.stages.cams``.

    Raises
    ------
    ValueError
        If there is no such module in this repository.
    """
    digest = hashlib.sha256()
    for name in sorted(find_first_party_modules(module)):
        digest.update(name.encode())
        digest.update(_read_module(name)[0])
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


def name_checkpoint(scratch: Path, stage: str, facts: Any, inputs: Iterable[Path]) -> Path:
    """Path of the state of an unfinished training, named by all that determines it.

    Parameters
    ----------
    scratch : Path
        Folder.
    stage : str
        Its module, as in ``pseudogt.stages.segmenter``: the code counts.
    facts
        Settings and other plain values.
    inputs : iterable of Path
        Files, and folders of files, that the training reads.
    """
    return scratch / f"{compute_input_digest([compute_code_digest(stage), facts], inputs)}.pt"


def compute_image_digests(weak_labels: Mapping[str, Any]) -> dict[str, str]:
    """Digest of what a weak-label document says of each image, by image id; numbers of annotations don't count.

    Parameters
    ----------
    weak_labels : mapping
        COCO-style: ``images``, ``categories``, ``annotations``, ``image_tags``, ``crop_tags``, ``unknown_tags``.
    """
    parts: dict[str, list[Any]] = {str(i["id"]): [weak_labels["categories"], i] for i in weak_labels["images"]}
    for annotation in weak_labels["annotations"]:
        facts = {key: value for key, value in annotation.items() if key != "id"}
        parts.setdefault(str(annotation["image_id"]), []).append(facts)
    for kind in ("image_tags", "crop_tags", "unknown_tags"):
        for image_id, tags in weak_labels.get(kind, {}).items():
            parts.setdefault(image_id, []).append([kind, tags])
    return {image_id: compute_input_digest(facts, []) for image_id, facts in parts.items()}


def find_first_party_modules(module: str) -> set[str]:
    """Names of ``module`` and of all first-party modules it imports, transitively."""
    if _find_file(module) is None:
        raise ValueError(f"there is no module {module} in {ROOT}")
    found: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(_read_module(name)[1])
    return found


@cache
def _read_module(module: str) -> tuple[bytes, set[str]]:
    """The module's syntax tree without docstrings, and the first-party modules that it imports itself."""
    tree = _parse(module)
    return ast.dump(tree).encode(), _find_imports(module, tree)


def _parse(module: str) -> ast.Module:
    """The module's syntax tree with empty docstrings."""
    path = _find_file(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                first.value.value = ""
    return tree


def _find_file(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


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
    return {n for n in names if n.split(".")[0] in FIRST_PARTY and _find_file(n) is not None}
