"""The text of a proposed configuration, with the reasons as comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from pseudogt.setup.proposal import Proposal

WIDTH = 120


def render_proposal(proposal: Proposal, command: str, path: str) -> str:
    """Text of a config file.

    Parameters
    ----------
    proposal : Proposal
    command : str
        Command that made it.
    path : str
        Where it will be written, for the commands in its head.
    """
    lines = [
        f"# Written by `{command}` from the files that it found. Correct any wrong guesses.",
        *(f"#   {line}" for line in list_commands(path)),
        "# config.yaml explains all other settings, docs/your-data.md the formats that are read.",
    ]
    if proposal.questions:
        lines += ["#", "# Only you can answer:", *list_questions(proposal.questions)]
    for key, value in proposal.sections.items():
        if isinstance(value, Mapping):
            lines += [f"{key}:", *_render_section(key, value, proposal.reasons)]
        else:
            lines.append(_render_line(f"{key}: {write_scalar(value)}", proposal.reasons.get(key)))
    return "\n".join(lines) + "\n"


def list_commands(path: str) -> list[str]:
    """Commands to run next."""
    return [
        f"snakemake --cores all check --configfile {path}",
        f"snakemake --cores all --configfile {path}",
    ]


def list_questions(questions: Sequence[str]) -> list[str]:
    """Return questions as lines of a comment."""
    return [
        line
        for question in questions
        for line in textwrap.wrap(
            " ".join(question.split()),
            WIDTH,
            initial_indent="#   - ",
            subsequent_indent="#     ",
            break_long_words=False,
        )
    ]


def _render_section(section: str, values: Mapping[str, Any], reasons: Mapping[str, str]) -> Iterator[str]:
    for key, value in values.items():
        reason = reasons.get(f"{section}.{key}")
        if key == "classes" and isinstance(value, Mapping):
            yield f"  {key}:"
            for name, kind in value.items():
                yield _render_line(f"    {write_scalar(name)}: {kind}", reasons.get(f"classes.{name}"))
        else:
            yield _render_line(f"  {key}: {write_scalar(value)}", reason)


def _render_line(line: str, comment: str | None) -> str:
    return f"{line} # {' '.join(comment.split())}" if comment else line


def write_scalar(value: Any) -> str:
    """YAML of a value on one line, quoted where that is needed.

    Examples
    --------
    >>> print(write_scalar("no"), write_scalar(None), write_scalar({"lane": None}))
    'no' null {lane: null}
    """
    in_brackets = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True).rstrip()
    return in_brackets[1:-1]
