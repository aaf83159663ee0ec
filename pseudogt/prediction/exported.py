"""Models in ONNX files, applied by onnxruntime: neither torch nor the code of a network is needed.

    from pseudogt.prediction.exported import ExportedModel

    model = ExportedModel.open("model.onnx")
    decoded = model.predict(image)  # panoptic ids of an image (H, W, 3) uint8 RGB, and scores of its segments

``snakemake export_model`` writes the files (:mod:`models.segmenter.export`). Needs the extra ``onnx``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.prediction.card import ModelCard
from pseudogt.prediction.decoding import Decoded, Decoding
from pseudogt.prediction.kinds import NetworkKind
from pseudogt.prediction.maps import Maps, RunNetwork
from pseudogt.prediction.passes import Passes, predict_images

CARD_ENTRY = "pseudogt"
"""Entry of a file's metadata that holds the text of the :class:`ModelCard`."""

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""Names that onnxruntime has for the devices."""


@dataclass(frozen=True)
class ExportedModel:
    """A model of an ONNX file.

    Attributes
    ----------
    card : ModelCard
    decoding : Decoding
        As it was set when the model was exported.
    run : callable
        Applies the network to a batch.
    device : {"cpu", "cuda"}
        Where it computes.
    """

    card: ModelCard
    decoding: Decoding
    run: RunNetwork
    device: str

    @classmethod
    def open(cls, path: Path | str, *, device: str = "auto", threads: int = 0) -> ExportedModel:
        """Open a file.

        Parameters
        ----------
        path
        device : {"auto", "cpu", "cuda"}
            ``auto`` is a GPU if there is one that onnxruntime can use.
        threads : int
            Threads on the CPU; 0 for one for each core.

        Raises
        ------
        ValueError
            If onnxruntime is missing or finds no GPU that is asked for; if the file is missing, broken, or was not
            written by this workflow.
        """
        runtime = import_runtime()
        if not Path(path).is_file():
            raise ValueError(f"{path}: no such model file")
        found = choose_provider(runtime, device)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            session = runtime.InferenceSession(str(path), options, providers=[PROVIDERS[found]])
        except Exception as error:  # the classes of onnxruntime's errors have no base of their own
            raise ValueError(f"{path}: onnxruntime can't read it ({str(error).splitlines()[0]})") from error
        text = session.get_modelmeta().custom_metadata_map.get(CARD_ENTRY)
        if text is None:
            raise ValueError(
                f"{path}: has no entry {CARD_ENTRY!r} in its metadata, which says how to decode it; write the file "
                "with snakemake export_model"
            )
        try:
            card, decoding = ModelCard.from_text(text)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return cls(card, decoding, prepare_session(session, card.kind), found)

    def predict(self, image: NDArray[np.uint8], *, flip: bool = True, tile_px: int | None = None) -> Decoded:
        """Panoptic ids and scores of one image ``(H, W, 3) uint8`` RGB.

        Parameters
        ----------
        image
        flip : bool
            Whether to average with the mirror image.
        tile_px : int, optional
            Cut a larger image into overlapping tiles of this side, in pixels of the scaled image. Not read if the
            network takes images of one size only.
        """
        size = (image.shape[0], image.shape[1])
        passes = Passes(
            self.card.scale,
            batch_size=1,
            flip=flip,
            tile_px=tile_px,
            can_tile=self.card.kind.can_tile,
            only_px=self.card.only_px,
        )
        ((_, maps),) = predict_images(self.run, [size], lambda _: image, passes)
        return self.card.kind.decode(maps, size, self.card.classes, self.decoding)


def import_runtime() -> ModuleType:
    """Import onnxruntime; a ``ValueError`` says how to install it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            f"models in ONNX files need onnxruntime ({error}); install it in your clone with: pip install -e '.[onnx]'"
        ) from error
    return onnxruntime


def choose_provider(runtime: ModuleType, device: str) -> str:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` means for onnxruntime."""
    has_gpu = PROVIDERS["cuda"] in runtime.get_available_providers()
    if device == "cuda" and not has_gpu:
        raise ValueError("device: cuda, but onnxruntime finds no GPU; install onnxruntime-gpu, or choose auto or cpu")
    return "cuda" if has_gpu and device != "cpu" else "cpu"


def prepare_session(session: Any, kind: NetworkKind) -> RunNetwork:
    """A function that applies an onnxruntime session to a batch."""

    def run(images: NDArray[np.uint8]) -> Maps:
        batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return kind.maps(*session.run(list(kind.strides), {"images": batch}))

    return run
