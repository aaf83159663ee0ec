"""Segment Anything models as files: where they are, of which kind, and whether all is there.

The workflow looks at them while it is parsed, so this imports nothing heavy.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import NamedTuple

from pseudogt.files.io import read_json

OLDEST_TRANSFORMERS = 5
"""First major version of transformers that knows all kinds."""


class SamKind(NamedTuple):
    """What reads a model.

    Attributes
    ----------
    network, image_processor : str
        Names of classes of transformers.
    keeps_aspect : bool
        Whether the encoder sees an image with its own aspect, padded to a square; else it is stretched over the square.
    """

    network: str
    image_processor: str
    keeps_aspect: bool


KINDS = {
    "sam": SamKind("SamModel", "SamImageProcessor", True),
    "sam_hq": SamKind("SamHQModel", "SamImageProcessor", True),
    "sam2": SamKind("Sam2Model", "Sam2ImageProcessor", False),
    "sam2_video": SamKind("Sam2Model", "Sam2ImageProcessor", False),
    "sam3_tracker": SamKind("Sam3TrackerModel", "Sam3ImageProcessor", False),
    "sam3_video": SamKind("Sam3TrackerModel", "Sam3ImageProcessor", False),
}
"""By the ``model_type`` of ``config.json``. The weights of a video model include those of its model of images."""

PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
"""Files that may say how images are normalised."""


class SamFolder(NamedTuple):
    """A model as it lies on the disk.

    Attributes
    ----------
    folder : Path
    kind : str
        A key of ``KINDS``.
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
        settings = (self.folder / name for name in ("config.json", *PREPROCESSING))
        return [*(path for path in settings if path.is_file()), *self.weights]


def find_sam(name: str) -> SamFolder:
    """Look at a model without loading it.

    Parameters
    ----------
    name : str
        A folder as ``save_pretrained`` writes it, or the name of a model in the local cache of Hugging Face.

    Raises
    ------
    ValueError
        If there is no such model, files are missing, or it is of a kind that does not segment boxes.
    """
    folder = _locate(name)
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no config.json; give the folder of a downloaded Segment Anything model")
    document = read_json(path)
    kind = document.get("model_type") if isinstance(document, dict) else None
    if kind not in KINDS:
        raise ValueError(
            f"{folder}: config.json says model_type {kind!r}; the segmenter sam works with {', '.join(KINDS)}"
        )
    weights = _list_weights(folder)
    if not weights:
        raise ValueError(f"{folder}: holds no weights (*.safetensors or pytorch_model*.bin); download the whole model")
    if not any((folder / name).is_file() for name in PREPROCESSING):
        raise ValueError(f"{folder}: holds no {' or '.join(PREPROCESSING)}; download the whole model")
    return SamFolder(folder, kind, weights)


def find_sam_problem(name: str) -> str:
    """Say why a model can't be used, without loading it; empty if nothing is wrong."""
    try:
        require_transformers()
        find_sam(name)
    except ValueError as error:
        return str(error)
    return ""


def find_transformers_problem(user: str) -> str:
    """Say why ``user`` can't have transformers; empty if it can."""
    try:
        require_transformers(user, extra="transformers")
    except ValueError as error:
        return str(error)
    return ""


def require_transformers(user: str = "the segmenter sam", *, extra: str = "sam") -> None:
    """Raise a ``ValueError`` if transformers, which ``user`` needs and ``extra`` installs, is missing or too old."""
    remedy = f"install it in your clone with: pip install -e '.[{extra}]'"
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(f"{user} needs transformers {OLDEST_TRANSFORMERS} or later; {remedy}") from None
    if int(version.partition(".")[0]) < OLDEST_TRANSFORMERS:
        raise ValueError(f"{user} needs transformers {OLDEST_TRANSFORMERS} or later, found {version}; {remedy}")


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
        raise ValueError(
            f"{name}: no such folder, nor a model in the cache of Hugging Face; give a folder, or run "
            f"`hf download {name}` once where there is a connection"
        )
    return Path(found).parent


def _list_weights(folder: Path) -> list[Path]:
    """Those of a model's weights that are loaded: safetensors go before the older format."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
