"""Model files and training checkpoints: plain values and tensors, read without pickle."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from pseudogt.files.io import replace_atomically
from pseudogt.parsing.contents import describe_file


def save_checkpoint(path: Path | str, state: dict[str, Any]) -> None:
    """Write a dict of plain values and tensors, atomically; equal values give equal bytes."""
    # `torch.save` writes the name of a file into it; a buffer has none.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with replace_atomically(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path | str, *, kind: str, place: str = "") -> dict[str, Any]:
    """Read a file of :func:`save_checkpoint` onto the CPU.

    Parameters
    ----------
    path
    kind : str
        What the file must hold: its entry ``kind``.
    place : str
        Where a run writes files of this kind, for the message about another one.

    Raises
    ------
    ValueError
        If the file is missing, broken, holds pickled objects or is of another kind.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such model file")
    try:
        with zipfile.ZipFile(path) as archive:
            # torch reads damaged weights as if they were whole.
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} differs from its checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        IndexError,
        KeyError,
        ValueError,
    ) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
        if isinstance(error, zipfile.BadZipFile) and (content := describe_file(Path(path))):
            reason = f"it {content}"
        raise ValueError(
            f"{path}: not a readable model file ({reason}); copy or make it again, or name a model.pt that a training "
            "wrote, not an exported model"
        ) from error
    found = state.get("kind") if isinstance(state, dict) else None
    if found != kind:
        where = f"; a run writes it to {place}" if place else ""
        raise ValueError(f"{path}: expected a file of kind {kind!r}, found {found!r}{where}")
    return state
