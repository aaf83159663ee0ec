"""What a stage prints when it fails."""

from __future__ import annotations

import pytest

from pseudogt.workflow.cli import run_stage


@pytest.mark.parametrize(("variables", "start"), [({}, ""), ({"RANK": "3"}, "\n")])
def test_error_of_one_of_several_processes_begins_a_line(monkeypatch, capsys, variables, start):
    def fail(_):
        raise ValueError("image 'a' can't be read")

    monkeypatch.setattr("sys.argv", ["stage"])
    monkeypatch.delenv("RANK", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        run_stage(fail)
    assert capsys.readouterr().err == f"{start}error: image 'a' can't be read\n"
