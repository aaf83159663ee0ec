"""Write a configuration for a folder of images and annotations, and print what was found there.

python -m pseudogt init FOLDER [--name NAME] [--out NAME.yaml]
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.checking.findings import format_findings
from pseudogt.config.dataset import CLASS_COLUMNS
from pseudogt.files.io import replace_atomically
from pseudogt.parsing.tables import write_table
from pseudogt.setup.document import list_commands, list_questions, render_proposal
from pseudogt.setup.layouts import find_layout, propose_layout
from pseudogt.setup.proposal import Proposal, make_run_name, propose_images
from pseudogt.setup.settling import settle_problems
from pseudogt.setup.survey import survey_folder


def write_configuration(root: Path, name: str | None, out: Path | None, *, overwrite: bool = False) -> Proposal:
    """Survey a folder, write a configuration for it, and print what was found and what to do next.

    Parameters
    ----------
    root : Path
    name : str or None
        Name of the run; None uses the folder's name.
    out : Path or None
        File to write; None takes the name of the run, in the working folder.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    ValueError
        If there is no image, or the file is there already.
    """
    name = name or make_run_name(root)
    out = out or Path(f"{name}.yaml")
    if out.exists() and not overwrite:
        raise ValueError(f"{out}: is there already; choose another file with --out, or add --overwrite")
    survey = survey_folder(root)
    print(f"{root}: images: {sum(survey.images.values())}, folders with images: {len(survey.images)}")
    for source in survey.sources:
        print(f"  annotations of the format {source.format}: {source.path}")
    for path in survey.tags:
        print(f"  tags: {path}")
    layout = find_layout(root)
    if layout is None:
        proposal = propose_images(root, survey, name)
    else:
        print(f"  layout {layout.format} with the splits {', '.join(layout.splits)}")
        proposal, table = propose_layout(root, layout, name)
        if table:
            file = out.with_name(f"{out.stem}-classes.csv")
            write_table(file, (*CLASS_COLUMNS, "source_id"), [row | {"isthing": int(row["isthing"])} for row in table])
            proposal = proposal.with_setting("dataset", "classes", str(file), "one line for each class")
    proposal, findings = settle_problems(proposal, root)
    command = f"python -m pseudogt init {root}"
    with replace_atomically(out) as temporary:
        temporary.write_text(render_proposal(proposal, command, str(out)), encoding="utf-8")
    print("", format_findings(findings), "", *describe_guesses(proposal), sep="\n")
    print(describe_next(proposal, out))
    return proposal


def describe_guesses(proposal: Proposal) -> list[str]:
    """Print whether each class is a thing or stuff, and why."""
    classes = proposal.sections["dataset"]["classes"]
    if not isinstance(classes, dict):
        return []
    return [f"{name}: {kind} ({proposal.reasons.get(f'classes.{name}', 'a guess')})" for name, kind in classes.items()]


def describe_next(proposal: Proposal, out: Path) -> str:
    """Say what to do next."""
    if not proposal.questions:
        return "\n".join(
            [f"\n{out} is written, and the check passes. Next:", *(f"  {c}" for c in list_commands(str(out)))]
        )
    questions = [line.removeprefix("#") for line in list_questions(proposal.questions)]
    return "\n".join([f"\n{out} is written. Only you can answer:", *questions, f"  then {list_commands(str(out))[0]}"])
