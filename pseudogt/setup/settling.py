"""Find problems in a proposed configuration, and fix those that need no decision by the user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pseudogt.checking.dataset import check_dataset
from pseudogt.checking.findings import DatasetFindings
from pseudogt.config.run import parse_run_config
from pseudogt.parsing.problems import SHOWN
from pseudogt.setup.proposal import Proposal


def settle_problems(proposal: Proposal, root: Path) -> tuple[Proposal, DatasetFindings]:
    """Check a proposal as ``snakemake check`` does, and fix it where that is safe; the rest become questions.

    Records that can't be used may be left out: their classes are then unknown in their images, not absent.
    """
    attempts = list(_vary(proposal))
    findings = [_check(attempts[0], root)]
    if findings[0].problems and len(attempts) > 1:
        findings.append(_check(attempts[1], root))
    best = min(range(len(findings)), key=lambda number: len(findings[number].problems))
    chosen = attempts[best]
    problems = [problem["problem"] for problem in findings[best].problems]
    # The problems probably come from an open question of the proposal.
    new = [] if chosen.questions else problems[:SHOWN]
    hidden = len(problems) - len(new)
    more = [f"and {hidden} more, which `snakemake check` lists"] if new and hidden else []
    questions = [*chosen.questions, *new, *more]
    return replace(chosen, questions=questions if problems else ()), findings[best]


def _check(proposal: Proposal, root: Path) -> DatasetFindings:
    findings = DatasetFindings()
    try:
        return check_dataset(parse_run_config(dict(proposal.sections)), root)
    except ValueError as error:
        findings.add_problems([str(error)])
    return findings


def _vary(proposal: Proposal) -> Iterator[Proposal]:
    yield proposal
    if "annotations" in proposal.sections:
        reason = "some records can't be used; their class is unknown in their image. Remove the line to see them"
        yield proposal.with_setting("annotations", "bad_boxes", "skip", reason)
