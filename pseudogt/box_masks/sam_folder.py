"""Segment Anything models as files: of which kind they are, and what reads them.

The workflow looks at them while it is parsed, so this imports nothing heavy.
"""

from __future__ import annotations

from typing import NamedTuple

from pseudogt.files.model_folders import ModelFolder, ModelUse, find_model, require_transformers

USE = ModelUse("the segmenter sam", "Segment Anything model")


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


def find_sam(name: str) -> ModelFolder:
    """Look at a model without loading it; a ``ValueError`` as :func:`pseudogt.files.model_folders.find_model`."""
    return find_model(name, KINDS, USE)


def find_sam_problem(name: str) -> str:
    """Say why a model can't be used, without loading it; empty if nothing is wrong."""
    try:
        require_transformers(USE.user)
        find_sam(name)
    except ValueError as error:
        return str(error)
    return ""
