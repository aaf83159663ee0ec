"""Models that find what words name, as files: of which kind they are, and what reads them.

The workflow looks at them while it is parsed, so this imports nothing heavy.
"""

from __future__ import annotations

from typing import NamedTuple

from pseudogt.files.model_folders import ModelFolder, ModelUse, find_model, require_transformers

USE = ModelUse("cams.method: concepts", "model of concepts", reads_text=True)


class ConceptKind(NamedTuple):
    """What reads a model, and what it has learned from.

    Attributes
    ----------
    network, image_processor : str
        Names of classes of transformers.
    has_seen : str
        Labels that the published weights were trained on.
    """

    network: str
    image_processor: str
    has_seen: str


SAM3 = ConceptKind("Sam3Model", "Sam3ImageProcessor", "masks of named objects that people and models drew and checked")
CLIPSEG = ConceptKind(
    "CLIPSegForImageSegmentation", "ViTImageProcessor", "masks of named objects that people drew (PhraseCut)"
)
KINDS = {"sam3": SAM3, "sam3_video": SAM3, "clipseg": CLIPSEG}
"""By the ``model_type`` of ``config.json``. The weights of a video model include those of its model of images."""


def find_concept_model(name: str) -> ModelFolder:
    """Look at a model without loading it.

    Raises
    ------
    ValueError
        If transformers is missing, or as :func:`pseudogt.files.model_folders.find_model`.
    """
    require_transformers(USE.user)
    return find_model(name, KINDS, USE)
