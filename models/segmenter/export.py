"""Export a segmenter: to ONNX, and by ``torch.export``. A file is compared with the network before it gets its name.

A network is exported for any number of images, and for any size unless it cuts features into windows. It must be an
``nn.Module`` from images ``(B, 3, H, W) uint8`` to a named tuple of tensors, each with the axis B in front and with a
resolution that H and W determine. The card of the model names and describes these outputs; :class:`ExportableModel` is
all that is asked of a model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from models.segmenter.tracing import trace_network
from pseudogt.config.predictions import EXPORTED_SUFFIXES
from pseudogt.files.io import replace_atomically
from pseudogt.prediction.card import ModelCard
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.exported import CARD_ENTRY, import_runtime
from pseudogt.prediction.maps import SIZE_MULTIPLE

CHECKED_SIZES = ((1, 64, 64), (2, 96, 160), (3, 160, 64))
"""Images, height and width of the batches on which a file for any size is compared with its network."""

CHECKED_COUNTS = (1, 2, 3)
"""Images in the batches on which a file for one size is compared with its network."""

TOLERANCE = 1e-4
"""Greatest difference of an output, relative to its largest value if that is above 1."""

Outputs = Sequence[Tensor]


class ExportableModel(Protocol):
    """A model that can be exported."""

    @property
    def network(self) -> nn.Module:
        """The network, on the CPU."""

    @property
    def card(self) -> ModelCard:
        """All that the file has to contain beside the network."""


def export_model(model: ExportableModel, decoding: Decoding, path: Path, *, tile_px: int | None = None) -> float:
    """Write a model to a file of one of ``EXPORTED_SUFFIXES`` and check it; return its largest relative difference.

    Parameters
    ----------
    model : ExportableModel
    decoding : Decoding
    path : Path
    tile_px : int, optional
        Side of the square images for which a network that cuts features into windows is exported; other networks are
        exported for any size.

    Raises
    ------
    ValueError
        If the suffix is another, a package is missing, the network can't be exported, or a result differs from the
        network's by more than ``TOLERANCE``; then nothing is written.
    """
    if path.suffix not in EXPORTED_SUFFIXES:
        raise ValueError(f"{path}: the suffix decides the format; choose {' or '.join(EXPORTED_SUFFIXES)}")
    write, read = (write_onnx, open_onnx) if path.suffix == ".onnx" else (write_archive, open_archive)
    if path.suffix == ".onnx":
        require_onnx()
    network = model.network.float().eval()
    only_px = choose_only_size(network, tile_px, path)
    sizes = [(count, only_px, only_px) for count in CHECKED_COUNTS] if only_px else CHECKED_SIZES
    with explain_failure(model.card):
        program = trace_network(network, only_px)
    with replace_atomically(path) as temporary:
        with explain_failure(model.card):
            write(program, replace(model.card, only_px=only_px).to_text(decoding), temporary)
            # A file that holds for the traced batch alone fails here.
            difference = measure_difference(network, read(temporary), sizes)
        if not difference <= TOLERANCE:
            raise ValueError(
                f"{path}: not written, as its outputs differ from those of the network by {difference:.2g} of their "
                f"largest value, more than {TOLERANCE:g}; please report this with the model file"
            )
    return difference


def choose_only_size(network: nn.Module, tile_px: int | None, path: Path) -> int | None:
    """Side of the only images for which a network can be exported; None if it can be for all.

    Where timm's networks cut features into windows, they pad them by remainders of their size. Torch takes longer than
    minutes to follow these for any size.
    """
    if not any(hasattr(module, "window_size") for module in network.modules()):
        return None
    if tile_px is None:
        raise ValueError(
            f"{path}: not written, as a network that cuts features into windows, such as Swin, can be exported for "
            "images of one size only; set their side, such as predictions={tile_px: 512}. predict will cut larger "
            "images into tiles and pad smaller ones"
        )
    return tile_px // SIZE_MULTIPLE * SIZE_MULTIPLE


def require_onnx() -> None:
    """Raise a ``ValueError`` if a package is missing that writes or checks ONNX files."""
    import_runtime()
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"writing ONNX files needs onnx and onnxscript ({error}); install them in your clone with: "
            "pip install -e '.[onnx]'"
        ) from error


@contextmanager
def explain_failure(card: ModelCard) -> Iterator[None]:
    """Name the network in what torch raises if it cannot export it, which may be any of its errors."""
    try:
        yield
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(
            f"torch {torch.__version__} can't export this network ({card.network}, {card.architecture}): {reason}"
        ) from error


def write_onnx(program: ExportedProgram, card: str, path: Path) -> None:
    """Write an ONNX file with the card in its metadata; inputs and outputs have the names that the card gives."""
    described = json.loads(card)
    exported = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        input_names=[described["input"]["name"]],
        output_names=list(described["output_strides"]),
    )
    assert exported is not None  # only without `dynamo`
    exported.model.metadata_props[CARD_ENTRY] = card
    exported.save(path)


def open_onnx(path: Path) -> Callable[[Tensor], Outputs]:
    """A function that applies the network of an ONNX file to a batch, on one core."""
    runtime = import_runtime()
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: [torch.from_numpy(output) for output in session.run(None, {name: batch.numpy()})]


def write_archive(program: ExportedProgram, card: str, path: Path) -> None:
    """Write an archive of ``torch.export`` with the card as an extra file."""
    torch.export.save(program, path, extra_files={CARD_ENTRY: card})


def open_archive(path: Path) -> Callable[[Tensor], Outputs]:
    """A function that applies the network of an archive to a batch."""
    network: Any = torch.export.load(path).module()
    return network


@torch.no_grad()
def measure_difference(
    network: nn.Module, exported: Callable[[Tensor], Outputs], sizes: Sequence[tuple[int, int, int]]
) -> float:
    """Largest difference of the outputs on batches of ``sizes``, relative as ``TOLERANCE``; NaN if any is."""
    generator = np.random.default_rng(0)
    differences = [0.0]
    for count, height, width in sizes:
        batch = torch.from_numpy(generator.integers(0, 256, (count, 3, height, width), np.uint8))
        for expected, found in zip(network(batch), exported(batch), strict=True):
            scale = max(1.0, float(expected.abs().max()))
            differences.append(float((expected - found).abs().max()) / scale)
    return float(np.max(differences))
