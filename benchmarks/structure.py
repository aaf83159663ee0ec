"""Measure the structure of the code: packages, dependencies between them, shape of functions, size of the rules.

    python benchmarks/structure.py --json OUT
    python benchmarks/structure.py --root OTHER_CHECKOUT --json OUT

A *package* is a folder of ``pseudogt`` or ``models`` with modules in it, or a module that lies flat in ``pseudogt``;
the modules that lie flat in ``models`` are one. Nothing is imported: everything is read from syntax trees.
``tests/lint/test_structure.py`` holds the limits.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from measurement import REPOSITORY, print_table, write_figures

FIRST_PARTY = ("pseudogt", "models")

LAYERS = (
    ("pseudogt.classes", "pseudogt.boxes", "pseudogt.maps", "pseudogt.parsing", "pseudogt.files", "pseudogt.metrics"),
    ("pseudogt.config",),
    ("pseudogt.weak_labels",),
    ("pseudogt.proposals",),
    ("pseudogt.pseudo_labels", "pseudogt.prediction"),
    ("pseudogt.box_masks", "pseudogt.evidence"),
    ("pseudogt.annotations", "pseudogt.datasets", "pseudogt.export", "pseudogt.reporting"),
    ("pseudogt.costs",),
    ("pseudogt.workflow",),
    ("pseudogt.checking",),
    ("pseudogt.wsps", "pseudogt.setup", "pseudogt.terminal"),
    ("pseudogt.__main__",),
    ("models.backbones",),
    ("models",),
    ("models.training",),
    ("models.pretrained",),
    ("models.classifier", "models.segmenter", "models.jtsm"),
    ("models.pretraining",),
    ("pseudogt.stages",),
)
"""Packages from the bottom up. A package may import those of lower layers, and others of its own without a cycle."""

READING_AND_WRITING = (
    "read", "write", "load", "save", "open", "print", "link", "unlink", "mkdir", "glob", "iterdir", "is_file",
    "parse_args", "add_argument", "imwrite", "copy", "locate", "train", "add", "segments",
)  # fmt: skip
"""First words of the names of calls that read or write something."""


class Import(NamedTuple):
    """One import of a first-party module.

    Attributes
    ----------
    importer, imported : str
        Dotted names of the modules.
    line : int
    """

    importer: str
    imported: str
    line: int


def list_modules(root: Path) -> dict[str, Path]:
    """Files of all first-party modules by dotted name; packages by the name of their folder."""
    modules = {}
    for top in FIRST_PARTY:
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def find_package(module: str, modules: dict[str, Path]) -> str:
    """Package of a module: the folder below ``pseudogt`` or ``models``, or the flat module itself."""
    package = ".".join(module.split(".")[:2])
    is_flat = package in modules and modules[package].name != "__init__.py"
    return "models" if is_flat and package.startswith("models.") else package


def read_imports(modules: dict[str, Path]) -> list[Import]:
    """All imports of first-party modules, also those inside functions."""
    imports = []
    for importer, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _name_imported(node):
                imported = name if name in modules else name.rpartition(".")[0]
                if imported in modules:
                    imports.append(Import(importer, imported, node.lineno))  # type: ignore[attr-defined]
    return imports


def _name_imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def find_dependencies(imports: Iterable[Import], modules: dict[str, Path]) -> dict[tuple[str, str], Import]:
    """First import by which each package depends on another."""
    dependencies: dict[tuple[str, str], Import] = {}
    for found in imports:
        ends = find_package(found.importer, modules), find_package(found.imported, modules)
        # ``pseudogt`` itself holds no code: importing it for its version is not a dependency.
        if ends[0] != ends[1] and "pseudogt" not in ends:
            dependencies.setdefault(ends, found)
    return dependencies


def find_upward(dependencies: dict[tuple[str, str], Import]) -> list[Import]:
    """Imports of a package of a higher layer, or of one that no layer names."""
    height = {package: number for number, layer in enumerate(LAYERS) for package in layer}
    top = len(LAYERS)
    return [found for (low, high), found in dependencies.items() if height.get(high, top) > height.get(low, -1)]


def find_cycles(dependencies: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of packages that depend on each other, each sorted; Tarjan's strongly connected components."""
    graph = defaultdict(list)
    for low, high in dependencies:
        graph[low].append(high)
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(package: str) -> None:
        number[package] = lowest[package] = len(number)
        stack.append(package)
        for other in graph[package]:
            if other not in number:
                visit(other)
                lowest[package] = min(lowest[package], lowest[other])
            elif other in stack:
                lowest[package] = min(lowest[package], number[other])
        if lowest[package] == number[package]:
            start = stack.index(package)
            groups.append(sorted(stack[start:]))
            del stack[start:]

    for package in list(graph):
        if package not in number:
            visit(package)
    return [group for group in groups if len(group) > 1]


def find_functions(paths: Iterable[Path]) -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Functions and methods of the files, nested ones too."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def count_lines(function: ast.FunctionDef) -> int:
    """Lines of a function from ``def`` to its end, without its docstring."""
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def takes_namespace(function: ast.FunctionDef) -> bool:
    """Whether a parameter is a parsed command line."""
    arguments = function.args
    annotations = [a.annotation for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return any("Namespace" in ast.unparse(annotation) for annotation in annotations if annotation)


def find_functions_without_files(path: Path) -> list[str]:
    """Functions of a module that neither read nor write, themselves or through others of the module."""
    functions = {node.name: node for _, node in find_functions([path]) if not node.name.startswith("__")}
    calls = {name: set(_name_calls(node)) for name, node in functions.items()}
    touching = {name for name, called in calls.items() if any(map(_reads_or_writes, called))}
    while more := {name for name, called in calls.items() if name not in touching and called & touching}:
        touching |= more
    return sorted(set(functions) - touching)


def _name_calls(node: ast.AST) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            yield call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _reads_or_writes(name: str) -> bool:
    return name.lstrip("_").partition("_")[0] in READING_AND_WRITING or name.lstrip("_") in READING_AND_WRITING


def measure_typed_share(functions: Iterable[ast.FunctionDef]) -> float:
    """Share of the parameters, ``self`` and ``cls`` aside, and results that have a type."""
    typed = total = 0
    for function in functions:
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        slots = [a.annotation for a in named if a is not None and a.arg not in ("self", "cls")] + [function.returns]
        typed += sum(slot is not None for slot in slots)
        total += len(slots)
    return typed / total


def count_untyped(root: Path) -> float:
    """Complaints of ``mypy --strict`` about parameters and results without a type, or without the whole of it."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--no-error-summary"]
    output = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
    return float(sum(line.endswith(("[no-untyped-def]", "[type-arg]")) for line in output.splitlines()))


def count_settings(root: Path) -> float:
    """Leaves of ``config.yaml``."""
    import yaml

    def count(value: object) -> int:
        return sum(map(count, value.values())) if isinstance(value, dict) and value else 1

    return float(count(yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))))


def measure(root: Path) -> dict[str, float | None]:
    """All figures of a checkout."""
    modules = list_modules(root)
    imports = read_imports(modules)
    dependencies = find_dependencies(imports, modules)
    packages = {find_package(module, modules) for module in modules} - {"pseudogt"}
    stages = [path for module, path in modules.items() if module.startswith("pseudogt.stages.")]
    functions = list(find_functions(modules.values()))
    below_main = [node for _, node in functions if node.name != "main"]
    longest = max(functions, key=lambda found: count_lines(found[1]))
    print(f"longest function: {longest[1].name} in {longest[0].relative_to(root)}")
    return {
        "packages": len(packages),
        "dependencies": len(dependencies),
        "upward_dependencies": len(find_upward(dependencies)),
        "cycles_of_packages": len(find_cycles(dependencies)),
        "common_smk_lines": len((root / "rules" / "common.smk").read_text().splitlines()),
        "settings": count_settings(root),
        "functions_taking_a_namespace": sum(map(takes_namespace, below_main)),
        "stage_functions_without_input_or_output": sum(len(find_functions_without_files(path)) for path in stages),
        "longest_function_lines": count_lines(longest[1]),
        "typed_share": measure_typed_share(node for _, node in functions),
        "mypy_untyped_errors": count_untyped(root),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="checkout to measure")
    parser.add_argument("--list", action="store_true", help="name what the figures count, too")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    figures = measure(arguments.root.resolve())
    if arguments.list:
        list_findings(arguments.root.resolve())
    print_table(figures)
    write_figures(arguments.json, figures)


def list_findings(root: Path) -> None:
    """Print the places behind the figures."""
    modules = list_modules(root)
    dependencies = find_dependencies(read_imports(modules), modules)
    for found in find_upward(dependencies):
        print(f"upward: {found.importer}:{found.line} imports {found.imported}")
    for cycle in find_cycles(dependencies):
        print(f"cycle: {', '.join(cycle)}")
    for path, node in find_functions(modules.values()):
        if node.name != "main" and takes_namespace(node):
            print(f"namespace: {path.relative_to(root)}:{node.lineno} {node.name}")
        if count_lines(node) > 50:
            print(f"long: {path.relative_to(root)}:{node.lineno} {node.name} {count_lines(node)}")
    for module, path in modules.items():
        if module.startswith("pseudogt.stages."):
            for name in find_functions_without_files(path):
                print(f"without files: {path.relative_to(root)} {name}")


if __name__ == "__main__":
    main()
