"""The store of GrabCut's masks that trainings share, and the order in which it is filled ahead of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.classifier.model import ClassifierModel
from models.classifier.network import resize_for_classifier
from models.jtsm.mining import measure_overlaps
from models.jtsm.samples import MiningImage
from models.loader import count_cores
from pseudogt.evidence.grabcut import PlainGrabCut
from pseudogt.evidence.store import MaskFinder, MaskStore
from pseudogt.maps import resize_maps
from pseudogt.workflow.provenance import compute_code_digest


def open_mask_finder(folder: Path, cores: int | None = None) -> MaskFinder:
    """Find masks of GrabCut in a folder, or by as many threads as this process has of the job's ``cores``."""
    code = compute_code_digest(PlainGrabCut.__module__)
    store = MaskStore(folder, {"code": code, "opencv": cv2.__version__})
    return MaskFinder(store, PlainGrabCut, workers=count_cores(cores))


def rank_by_classifier(sample: MiningImage, classifier: ClassifierModel, *, stuff: bool) -> NDArray[np.int64]:
    """Proposals ``(R,)`` in the order in which a training will probably ask for their masks.

    First those that overlap the classifier's map of a tagged class most, see
    :func:`models.jtsm.mining.measure_overlaps`, each class in turn.

    Parameters
    ----------
    sample : MiningImage
    classifier : ClassifierModel
    stuff : bool
        Whether masks of stuff are asked for, too.
    """
    # Probabilities of the classes at each pixel of the image, in the order of the network: (1, C, H, W).
    size = sample.superpixels.shape[:2]
    image = torch.from_numpy(resize_for_classifier(sample.image, classifier.scale))[None].permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        logits = classifier.network(image)[0].numpy()[classifier.classes.things_first]
    maps = torch.from_numpy(resize_maps(logits, (size[0], size[1]))).softmax(0)[None]
    # How far each proposal covers the map of each class: (R, C).
    segments = torch.from_numpy(sample.members.indices), torch.from_numpy(sample.members.starts.astype(np.int64))
    batch_index = torch.zeros(len(sample.boxes_xyxy), dtype=torch.long)
    overlaps = measure_overlaps(maps, torch.from_numpy(sample.superpixels)[None], segments, batch_index)
    # Masks are asked for tagged classes alone.
    wanted = sample.tags.copy()
    wanted[len(classifier.classes.thing_ids) :] &= stuff
    return take_turns(overlaps.numpy()[:, wanted])


def take_turns(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Order ``(R,)`` of rows by their best place among the scores ``(R, T)`` of any column; without columns, as is.

    >>> take_turns(np.array([[0.1, 0.5], [0.9, 0.7], [0.8, 0.1]])).tolist()
    [1, 0, 2]
    """
    if not scores.shape[1]:
        return np.arange(len(scores))
    # Rank of each row in each column, from 0.
    places = np.argsort(np.argsort(-scores, axis=0, kind="stable"), axis=0, kind="stable")
    return np.argsort(places.min(1), kind="stable")
