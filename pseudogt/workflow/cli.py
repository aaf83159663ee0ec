"""Shared parts of the stages' command lines: settings from JSON, clear errors, logging to stderr."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pseudogt.config.base import describe_validation_error
from pseudogt.workflow.locks import hold_job_lock
from pseudogt.workflow.shards import expand_paths

Model = TypeVar("Model", bound=BaseModel)


def parse_settings(model: type[Model], text: str) -> Model:
    """Validate a section's JSON; the error names each field, its value and what is expected."""
    try:
        return model.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"--settings is not valid JSON: {error}") from error
    except ValidationError as error:
        raise ValueError(describe_validation_error(error, model)) from error


def run_stage(stage: Callable[[Sequence[str] | None], None]) -> None:
    """Run a stage's ``main`` as a program: a ``ValueError`` becomes one ``error:`` line and exit code 1.

    Abbreviated paths of consecutive shards are expanded before the stage sees them.
    """
    try:
        hold_job_lock()
        stage(expand_paths(sys.argv[1:]))
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is None and not error.args:
            raise
        # The line may hold the progress bar of another process of torchrun.
        start = "\n" if "RANK" in os.environ else ""
        print(f"{start}error: {error}{_find_remedy(error)}", file=sys.stderr)
        raise SystemExit(1) from error


def _find_remedy(error: Exception) -> str:
    """What to do about a full disk; empty for any other error, which says it itself."""
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "; free some space and run again: what is finished is kept" if is_full else ""


def stage_parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser for a stage; ``--settings`` is its config section as JSON."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, help="the stage's config section as JSON")
    return parser


def training_parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser for a stage that trains on shards."""
    parser = stage_parser(description)
    parser.add_argument("--shards", type=Path, nargs="+", required=True)
    parser.add_argument("--weak-labels", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of model.pt and record.json")
    parser.add_argument(
        "--scratch", type=Path, required=True, help="folder of checkpoint and images of an unfinished run"
    )
    parser.add_argument("--cores", type=int, help="cores of the job; those that it may run on by default")
    return parser
