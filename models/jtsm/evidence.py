"""The store of GrabCut's masks that trainings share."""

from __future__ import annotations

from pathlib import Path

import cv2

from models.loader import count_cores
from pseudogt.box_masks.evidence import PlainGrabCut
from pseudogt.box_masks.evidence_store import MaskFinder, MaskStore
from pseudogt.workflow.provenance import compute_code_digest


def open_mask_finder(folder: Path, cores: int | None = None) -> MaskFinder:
    """Find masks of GrabCut in a folder, or by as many threads as this process has of the job's ``cores``."""
    code = compute_code_digest(PlainGrabCut.__module__)
    store = MaskStore(folder, {"code": code, "opencv": cv2.__version__})
    return MaskFinder(store, PlainGrabCut, workers=count_cores(cores))
