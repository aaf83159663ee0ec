"""Nothing that is read may run: found by reading the source, so that new code is held to it, too."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted(p for part in ("pseudogt", "models", "benchmarks") for p in (REPOSITORY / part).rglob("*.py"))
# The one place that looks into pickles; it admits arrays only.
RESTRICTED = {"pickles.py"}
# Benchmarks may start the workflow; nothing builds a command line for a shell.
FORBIDDEN = {"eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "joblib.load", "shelve.open"}
UNPICKLERS = {"pickle.load", "pickle.loads", "pickle.Unpickler"}
# What a rule may put into a shell command without quotes: numbers, fixed words, and what `pass_...` has quoted.
QUOTED_ALREADY = {"launcher", "kind"}


def find_calls(path: Path) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(n.func), n) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]


def get_keyword(call: ast.Call, name: str) -> object:
    return next((k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_read_can_run(path):
    for name, call in find_calls(path):
        where = f"{path.name}:{call.lineno}: {name}"
        assert name not in FORBIDDEN, where
        assert name not in UNPICKLERS or path.name in RESTRICTED, where
        if name == "torch.load":
            assert get_keyword(call, "weights_only") is True, where
        if name in ("np.load", "numpy.load"):
            assert not get_keyword(call, "allow_pickle"), where
        if name.startswith("subprocess."):
            assert not get_keyword(call, "shell"), where


def find_rules() -> dict[str, str]:
    text = "\n".join(path.read_text() for path in sorted((REPOSITORY / "rules").glob("*.smk")))
    return {r.split(":")[0]: r for r in re.split(r"(?m)^ *rule ", text)[1:] if "shell:" in r}


@pytest.mark.parametrize("rule", find_rules())
def test_what_rules_put_into_a_shell_is_quoted(rule):
    """``:q`` quotes; a parameter without it must be made by functions that quote, or be a number or a fixed word."""
    text = find_rules()[rule]
    command = text.split("shell:")[1].split("\n\n")[0]
    for field in re.findall(r"(?<!\{)\{((?:input|output|log|params)[^}]*)\}", command):
        if field.endswith(":q"):
            continue
        kind, _, name = field.partition(".")
        assert kind == "params", f"{field} is not quoted"
        definition = re.search(rf"(?ms)^ +{name}=(.*?)(?=^ +\w+=|\Z)", text.split("params:")[1].split("message:")[0])[1]
        is_plain = re.fullmatch(r"CONFIG\.(shard_size|threads|gpus),?\s*", definition)
        is_word = re.fullmatch(r'"[-\w]*"( if .* else "[-\w]*")?,?\s*', definition)
        is_quoted = name in QUOTED_ALREADY or "pass_files" in definition or "pass_inputs" in definition
        assert is_quoted or is_plain or is_word, f"{field}: {definition}"
