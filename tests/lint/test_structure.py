"""The rules of the house: packages in layers, no cycles, nothing too large, one name for one thing."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from importlib import import_module
from pathlib import Path

import pytest

from pseudogt.config.registry import list_entries

REPOSITORY = Path(__file__).resolve().parents[2]
LARGEST_PACKAGE = 20
ONE_MODULE_EACH = ("pseudogt.config", "pseudogt.stages")
"""Packages with a module for each section or stage, which may be more."""

TABLES = (
    "pseudogt.annotations.formats",
    "pseudogt.datasets.layouts",
    "pseudogt.export.formats",
    "models.backbones.names",
    "models.pretrained.box_segmenters",
    "models.segmenter.networks",
)
"""Tables of plug-ins, whose entries do not count: another format must not force anyone to move modules."""

LONGEST_FUNCTION = 60
PLUG_INS = {
    "read",
    "recognise",
    "read_set",
    "write_set",
    "write_image",
    "place_image",
    "find_splits",
    "list_split",
    "locate",
    "main",
    "NetworkShape",
    "build_network",
}
"""Names that every entry of a table, or every program, has."""


sys.path.insert(0, str(REPOSITORY / "benchmarks"))
structure = import_module("structure")  # benchmarks are scripts, not a package


@pytest.fixture(scope="module")
def modules():
    return structure.list_modules(REPOSITORY)


@pytest.fixture(scope="module")
def imports(modules):
    return structure.read_imports(modules)


@pytest.fixture(scope="module")
def dependencies(modules, imports):
    return structure.find_dependencies(imports, modules)


def describe(found):
    return f"{found.importer}, line {found.line}, imports {found.imported}"


def test_dependencies_run_downwards(dependencies):
    upward = [describe(found) for found in structure.find_upward(dependencies)]
    assert not upward, "imports of a higher layer (benchmarks/structure.py lists the layers):\n" + "\n".join(upward)


def test_architecture_page_has_the_layers():
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| (.*?) \|", page, re.MULTILINE)
    written = [set(re.findall(r"`([\w/]+)`", row)) for row in rows]
    # Those of `models` are written with their folder; `python -m pseudogt` has no row.
    layers = [{name.removeprefix("pseudogt.").replace(".", "/") for name in layer} for layer in structure.LAYERS]
    assert written == [layer for layer in layers if layer != {"__main__"}]


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_places_that_guides_name_are_there(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    text = re.sub(r"`[^`\n]*/[^`\n]*[A-Z]{3}[^`\n]*`", "", text)  # names of the reader's own
    paths = re.findall(r"`(\w[\w.-]*/[\w./-]*)`", text)
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []
    named = re.findall(r"`(\w+)`(?: of `\w+`)? in `([\w./]+\.\w+)`", text)
    gone = [f"{name} in {path}" for name, path in named if name not in (REPOSITORY / path).read_text(encoding="utf-8")]
    assert named and not gone


def test_page_of_stages_has_every_stage(modules):
    page = (REPOSITORY / "docs" / "stages.md").read_text(encoding="utf-8")
    stages = {module.removeprefix("pseudogt.stages.") for module in modules if module.startswith("pseudogt.stages.")}
    assert stages <= set(re.findall(r"`(\w+)`", page))


def test_no_packages_depend_on_each_other(dependencies):
    cycles = structure.find_cycles(dependencies)
    members = [
        describe(found)
        for (low, high), found in dependencies.items()
        if any(low in cycle and high in cycle for cycle in cycles)
    ]
    assert not cycles, "cycles of packages:\n" + "\n".join(members)


def test_only_stages_import_models(imports):
    wrong = [
        describe(found)
        for found in imports
        if found.imported.startswith("models.") and not found.importer.startswith(("models.", "pseudogt.stages."))
    ]
    assert not wrong, "\n".join(wrong)


def test_stages_import_no_stages_but_two(imports):
    """The reference is trained as the segmenter is, and new images are predicted as those of the run."""
    allowed = {
        ("pseudogt.stages.reference", "pseudogt.stages.segmenter"),
        ("pseudogt.stages.predict", "pseudogt.stages.predictions"),
    }
    found = {(f.importer, f.imported) for f in imports if f.imported.startswith("pseudogt.stages.")}
    assert found <= allowed, found - allowed


def test_no_package_is_too_large(modules):
    members = defaultdict(list)
    entries = {entry.module for table in TABLES for entry in list_entries(table).values()}
    for module in modules.keys() - entries:
        package = structure.find_package(module, modules)
        if module != package and package not in ONE_MODULE_EACH:
            members[package].append(module)
    large = {package: len(found) for package, found in members.items() if len(found) > LARGEST_PACKAGE}
    assert not large, f"packages of more than {LARGEST_PACKAGE} modules: {large}"


def test_no_function_is_too_long(modules):
    functions = structure.find_functions(modules.values())
    long = [n for n in functions if structure.count_lines(n[1]) > LONGEST_FUNCTION]
    long = [f"{path}:{node.lineno} {node.name}" for path, node in long]
    assert not long, f"functions of more than {LONGEST_FUNCTION} lines:\n" + "\n".join(long)


def test_no_function_takes_a_namespace(modules):
    functions = structure.find_functions(modules.values())
    found = [f"{path}:{node.lineno} {node.name}" for path, node in functions if structure.takes_namespace(node)]
    assert not found, "functions that take a parsed command line:\n" + "\n".join(found)


def test_functions_of_stages_read_or_write(modules):
    stages = {module: path for module, path in modules.items() if module.startswith("pseudogt.stages.")}
    found = {
        module: names for module, path in stages.items() if (names := structure.find_functions_without_files(path))
    }
    assert not found, f"functions that belong to a package below, as they neither read nor write: {found}"


def test_a_name_means_one_thing(modules):
    """Public functions and classes of two modules have different names, but for what plug-ins have in common."""
    places = defaultdict(list)
    for module, path in modules.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    twice = {name: found for name, found in places.items() if len(found) > 1 and name not in PLUG_INS}
    assert not twice, twice


def test_benchmarks_run_stages_and_leave_what_is_in_them_alone():
    inner = []
    for path in sorted((REPOSITORY / "benchmarks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pseudogt.stages."):
                inner += [f"{path.name}: {node.module}.{alias.name}" for alias in node.names if alias.name != "main"]
    assert not inner, inner


class TestFindings:
    """What is looked for is found, and both ends are named."""

    @pytest.fixture
    def found(self, tmp_path):
        def write(files):
            for name, text in files.items():
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            modules = structure.list_modules(tmp_path)
            return structure.find_dependencies(structure.read_imports(modules), modules)

        return write

    def test_an_upward_import_inside_a_function(self, found):
        late = "def f():\n    from pseudogt.workflow.cli import g\n"
        dependencies = found({"pseudogt/files/io.py": late, "pseudogt/workflow/cli.py": "def g(): ...\n"})
        (upward,) = structure.find_upward(dependencies)
        assert upward == structure.Import("pseudogt.files.io", "pseudogt.workflow.cli", 2)

    def test_a_package_that_no_layer_names(self, found):
        dependencies = found({"pseudogt/new/x.py": "import pseudogt.boxes\n", "pseudogt/boxes.py": ""})
        assert [f.importer for f in structure.find_upward(dependencies)] == ["pseudogt.new.x"]

    def test_a_cycle_through_three_packages(self, found):
        dependencies = found(
            {
                "pseudogt/a/x.py": "from pseudogt.b import y\n",
                "pseudogt/b/y.py": "from pseudogt.c import z\n",
                "pseudogt/c/z.py": "from pseudogt.a import x\n",
                "pseudogt/d.py": "from pseudogt.a import x\n",
            }
        )
        assert structure.find_cycles(dependencies) == [["pseudogt.a", "pseudogt.b", "pseudogt.c"]]

    def test_a_function_that_only_computes(self, tmp_path):
        (tmp_path / "s.py").write_text(
            "def f(x):\n    return g(x)\ndef g(x):\n    return read(x)\ndef h(x):\n    return x\n"
        )
        assert structure.find_functions_without_files(tmp_path / "s.py") == ["h"]


def test_each_test_file_has_a_name_of_its_own():
    """Pytest imports them by their names alone, and leaves out the second of two."""
    names = Counter(path.name for path in (REPOSITORY / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
