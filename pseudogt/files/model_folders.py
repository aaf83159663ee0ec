"""Models of Hugging Face transformers as files: where they are, of which kind, and whether all is there.

The workflow looks at them while it is parsed, so this imports nothing heavy.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pseudogt.files.io import read_json
from pseudogt.parsing.contents import POINTER

OLDEST_TRANSFORMERS = 5
"""First major version of transformers that knows all kinds."""

PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
"""Files that may say how images are normalised."""

TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json")
"""Files that may say how text becomes numbers; the first, or the two that are not settings, suffice."""

MODEL_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""An owner and a name, as Hugging Face knows models."""


class ModelUse(NamedTuple):
    """What a model is wanted for, in the words of error messages.

    Attributes
    ----------
    user : str
        What needs the model, such as "the segmenter sam".
    model : str
        What it is, such as "Segment Anything model".
    reads_text : bool
        Whether its tokenizer is needed, too.
    """

    user: str
    model: str
    reads_text: bool = False


class ModelFolder(NamedTuple):
    """A model as it lies on the disk.

    Attributes
    ----------
    folder : Path
    kind : str
        The ``model_type`` of its ``config.json``.
    weights : list of Path
        Files of its weights.
    """

    folder: Path
    kind: str
    weights: list[Path]

    @property
    def megabytes(self) -> float:
        """Size of its weights, in 1e6 bytes."""
        return sum(path.stat().st_size for path in self.weights) / 1e6

    @property
    def files(self) -> list[Path]:
        """All files that decide what the model does."""
        settings = (self.folder / name for name in ("config.json", *PREPROCESSING, *TOKENIZERS))
        return [*(path for path in settings if path.is_file()), *self.weights]


def find_model(name: str, kinds: Collection[str], use: ModelUse) -> ModelFolder:
    """Look at a model without loading it.

    Parameters
    ----------
    name : str
        A folder as ``save_pretrained`` writes it, or the name of a model in the local cache of Hugging Face.
    kinds : collection of str
        Values of ``model_type`` that work.
    use : ModelUse

    Raises
    ------
    ValueError
        If there is no such model, files are missing, or it is of another kind.
    """
    folder = _locate(name)
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no config.json; give the folder of a downloaded {use.model}")
    document = read_json(path)
    kind = document.get("model_type") if isinstance(document, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"{folder}: config.json says model_type {kind!r}; {use.user} works with {', '.join(kinds)}")
    weights = _list_weights(folder)
    if not weights:
        raise ValueError(f"{folder}: holds no weights (*.safetensors or pytorch_model*.bin); download the whole model")
    pointer = next((path for path in weights if _is_pointer(path)), None)
    if pointer is not None:
        raise ValueError(f"{pointer}: names weights that Git LFS has not fetched; run `git lfs pull` in {folder}")
    if not any((folder / name).is_file() for name in PREPROCESSING):
        raise ValueError(f"{folder}: holds no {' or '.join(PREPROCESSING)}; download the whole model")
    if use.reads_text and not _has_tokenizer(folder):
        raise ValueError(f"{folder}: holds no tokenizer.json, nor vocab.json and merges.txt; download the whole model")
    return ModelFolder(folder, kind, weights)


def find_transformers_problem(user: str) -> str:
    """Say why ``user`` can't have transformers; empty if it can."""
    try:
        require_transformers(user)
    except ValueError as error:
        return str(error)
    return ""


def require_transformers(user: str) -> None:
    """Raise a ``ValueError`` if transformers, which ``user`` needs, is missing or too old."""
    needed = f"{user} needs transformers {OLDEST_TRANSFORMERS} or later"
    remedy = "install it in your clone with: pip install -e '.[transformers]'"
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(f"{needed}; {remedy}") from None
    if int(version.partition(".")[0]) < OLDEST_TRANSFORMERS:
        raise ValueError(f"{needed}, found {version}; {remedy}")


def _locate(name: str) -> Path:
    """The folder, or that of a name's files in the cache of Hugging Face; nothing is downloaded."""
    if Path(name).is_dir():
        return Path(name)
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(name, "config.json")
    except (ImportError, ValueError):  # the library is missing, or the name cannot be one of a model
        found = None
    if not isinstance(found, str):
        download = f"run `hf download {name}` once where there is a connection"
        remedy = f"give a folder, or {download}" if MODEL_NAME.fullmatch(name) else "give the folder of a model"
        raise ValueError(f"{name}: no such folder, nor a model in the cache of Hugging Face; {remedy}")
    return Path(found).parent


def _list_weights(folder: Path) -> list[Path]:
    """Those of a model's weights that are loaded: safetensors go before the older format."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _is_pointer(path: Path) -> bool:
    """Whether a file stands for a large one in a clone without Git LFS."""
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER


def _has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file() or all((folder / n).is_file() for n in ("vocab.json", "merges.txt"))
