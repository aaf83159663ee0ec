from __future__ import annotations

import pytest

from pseudogt.workflow import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with stages ``one`` (needs ``core`` inside a function) and ``two`` (needs nothing)."""
    (tmp_path / "pseudogt").mkdir()
    (tmp_path / "pseudogt" / "__init__.py").write_text("")
    (tmp_path / "pseudogt" / "core.py").write_text('"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    return x + 1\n')
    (tmp_path / "pseudogt" / "one.py").write_text("def main():\n    from pseudogt.core import f\n    return f(1)\n")
    (tmp_path / "pseudogt" / "two.py").write_text("import json\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path / "pseudogt"


def digest(module):
    provenance._read_module.cache_clear()
    provenance.compute_code_digest.cache_clear()
    return provenance.compute_code_digest(module)


def edit(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_an_edit_changes_dependents_only(package):
    before = digest("pseudogt.one"), digest("pseudogt.two")
    edit(package / "core.py", "x + 1", "x + 2")
    assert digest("pseudogt.one") != before[0]
    assert digest("pseudogt.two") == before[1]


@pytest.mark.parametrize(("old", "new"), [("Doc.", "Other words."), ("    return", "    # why\n\n    return")])
def test_comments_and_docstrings_do_not_count(package, old, new):
    before = digest("pseudogt.one")
    edit(package / "core.py", old, new)
    assert digest("pseudogt.one") == before


def test_missing_module_is_an_error(package):
    with pytest.raises(ValueError, match=r"no module pseudogt\.three"):
        digest("pseudogt.three")


def test_import_cycles_end(package):
    (package / "core.py").write_text("import pseudogt.one\n")
    assert provenance.find_first_party_modules("pseudogt.one") >= {"pseudogt.one", "pseudogt.core"}
