from __future__ import annotations

import pytest

from pseudogt.config import registry
from pseudogt.workflow import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with stages ``one`` (needs ``core`` inside a function) and ``two`` (needs nothing)."""
    (tmp_path / "pseudogt").mkdir()
    (tmp_path / "pseudogt" / "__init__.py").write_text("")
    constant, function = 'ONE = 1\n"""Doc."""\n', 'def f(x):\n    """Doc."""\n    return x + 1\n'
    (tmp_path / "pseudogt" / "core.py").write_text(f'"""Doc."""\n\n{constant}\n\n{function}')
    (tmp_path / "pseudogt" / "one.py").write_text("def main():\n    from pseudogt.core import f\n    return f(1)\n")
    (tmp_path / "pseudogt" / "two.py").write_text("import json\n")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    return tmp_path / "pseudogt"


def digest(module, selection=None):
    provenance._read_module.cache_clear()
    registry.list_entries.cache_clear()
    return provenance.compute_code_digest(module, selection)


def edit(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_an_edit_changes_dependents_only(package):
    before = digest("pseudogt.one"), digest("pseudogt.two")
    edit(package / "core.py", "x + 1", "x + 2")
    assert digest("pseudogt.one") != before[0]
    assert digest("pseudogt.two") == before[1]


@pytest.mark.parametrize(
    ("old", "new"), [("Doc.", "Other words."), ('    """Doc."""\n', ""), ("    return", "    # why\n\n    return")]
)
def test_comments_and_docstrings_do_not_count(package, old, new):
    before = digest("pseudogt.one")
    edit(package / "core.py", old, new)
    assert digest("pseudogt.one") == before


def test_stages_do_not_depend_on_all_settings():
    """A change of any setting would rerun them; the trainings follow `backbones`."""
    stages = {f"pseudogt.stages.{path.stem}" for path in (registry.ROOT / "pseudogt" / "stages").glob("[a-z]*.py")}
    depend = {stage for stage in stages if "pseudogt.config.run" in provenance.find_first_party_modules(stage)}
    assert depend == {"pseudogt.stages.check"}


def test_missing_module_is_an_error(package):
    with pytest.raises(ValueError, match=r"no module pseudogt\.three"):
        digest("pseudogt.three")


def test_import_cycles_end(package):
    (package / "core.py").write_text("import pseudogt.one\n")
    assert provenance.find_first_party_modules("pseudogt.one") >= {"pseudogt.one", "pseudogt.core"}


@pytest.fixture
def reader(package):
    """A stage that looks readers up in a table of two."""
    (package / "formats.py").write_text("from pseudogt.red import read as red\nfrom pseudogt import blue\n")
    (package / "red.py").write_text("from pseudogt.core import f\n\n\ndef read():\n    return f(1)\n")
    (package / "blue.py").write_text("colour = 1\n")
    (package / "reader.py").write_text(
        'from pseudogt.config.registry import Registry\n\nFORMATS = Registry("pseudogt.formats", "format")\n'
    )
    (package / "config").mkdir()
    (package / "config" / "registry.py").write_text("class Registry: ...\n")
    return package


def digest_each(names):
    return {name: digest("pseudogt.reader", {"pseudogt.formats": [name]}) for name in names}


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("red.py", "f(1)", "f(2)", {"red"}),
        ("core.py", "x + 1", "x + 2", {"red"}),
        ("blue.py", "1", "2", {"blue"}),
        ("config/registry.py", "...", "pass", {"red", "blue"}),
    ],
)
def test_an_edited_entry_changes_what_uses_it_only(reader, file, old, new, changed):
    before, all_before = digest_each(["red", "blue"]), digest("pseudogt.reader")
    edit(reader / file, old, new)
    after = digest_each(["red", "blue"])
    assert {name for name in before if before[name] != after[name]} == changed
    assert digest("pseudogt.reader") != all_before


def test_a_further_entry_changes_nothing_that_does_not_use_it(reader):
    before = digest_each(["red", "blue"])
    (reader / "green.py").write_text("colour = 3\n")
    edit(reader / "formats.py", "import blue", "import blue, green")
    assert digest_each(["red", "blue"]) == before
    assert "pseudogt.green" in provenance.find_first_party_modules("pseudogt.reader")


def test_a_table_names_its_entries_and_imports_only_the_one_that_is_asked_for():
    formats = registry.Registry("pseudogt.annotations.formats", "annotation format")
    assert formats.names[0] == "coco" and formats.names[-1] == "csv"
    assert formats.load("coco").__name__ == "pseudogt.annotations.coco"
    assert registry.Registry("pseudogt.export.formats", "format").load("voc").__name__ == "pseudogt.export.voc"
    with pytest.raises(ValueError, match="unknown annotation format 'pascal'; known are coco"):
        formats.load("pascal")
