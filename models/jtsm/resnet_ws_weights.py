"""Weights of ResNet-WS as their authors publish them (Shen et al., ECCV 2020).

There are two files per network: ``resnet18_ws_model_120.pkl`` with Caffe2's names, and
``resnet18_ws_model_120_d2.pkl``, whose stem and neck are renamed for Detectron2. Both can be read, and so
can a file with Detectron2's own names. All contain the neck that was trained with the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pseudogt.files.pickles import read_foreign_pickle

NECK_KEYS = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")

RENAMINGS = (
    (r"^backbone\.|^roi_heads\.box_head\.|^box_head\.", ""),
    (r"^conv1_([123])_", r"stem_conv\1_"),
    (r"^fc6([_.])", r"fc1\1"),
    (r"^fc7([_.])", r"fc2\1"),
    (r"_branch1(?=_)", ".shortcut"),
    (r"_branch2a(?=_)", ".conv1"),
    (r"_branch2b(?=_)", ".conv2"),
    (r"_branch2c(?=_)", ".conv3"),
    (r"^(res[2-5])_(\d+)\.", r"\1.\2."),
    (r"^stem_", "stem."),
    (r"_bn_s$", ".norm.weight"),
    (r"_bn_b$", ".norm.bias"),
    (r"_bn_rm$", ".norm.running_mean"),
    (r"_bn_riv$", ".norm.running_var"),
    (r"_w$", ".weight"),
    (r"_b$", ".bias"),
)
"""Patterns that turn a name of Caffe2 into the one of Detectron2, in this order."""

UNUSED = re.compile(r"(fc8|fc3|pred|linear)[._](w|b|weight|bias)$|.*_momentum$")
"""The classifier of ImageNet and the state of its optimiser, which JTSM has no use for."""

NORM_EPS = 1e-5
"""Value that normalisation adds to the variance; a scale without a variance has variance 1 - ``NORM_EPS``."""


def read_resnet_ws_weights(
    path: Path | str, expected: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Read the weights of a ResNet-WS and of its neck.

    Parameters
    ----------
    path
        A pickle file; it is read without running anything it names.
    expected : mapping
        State dict of the network they are for.

    Returns
    -------
    dict, dict
        State dict of the network, and that of the neck: ``NECK_KEYS``. Where normalisation is a scale
        and a shift only, as in the authors' files, it gets a mean of 0 and a variance of 1 - 1e-5.

    Raises
    ------
    ValueError
        If the file is not readable, lacks an array, holds one that is not known or one of another
        shape; the message names it.
    """
    arrays = _read_arrays(Path(path))
    neck = {key: arrays.pop(key) for key in NECK_KEYS if key in arrays}
    wanted = {k: v for k, v in expected.items() if not k.endswith("num_batches_tracked")}
    _fill_statistics(arrays, wanted)
    _compare_names(path, {*arrays, *neck}, {*wanted, *NECK_KEYS})
    for key, value in wanted.items():
        if arrays[key].shape != value.shape:
            raise ValueError(f"{path}: {key} is {arrays[key].shape}, the network needs {tuple(value.shape)}")
    _check_neck(path, neck)
    return _to_tensors({k: arrays[k] for k in wanted}), _to_tensors(neck)


def _read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays by Detectron2's names, without those that are not used."""
    content = read_foreign_pickle(path)
    for inner in ("model", "blobs"):
        if isinstance(content, dict) and isinstance(content.get(inner), dict):
            content = content[inner]
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"{path}: not a file of weights, which is a dict of arrays by name")
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for key, value in content.items():
        if UNUSED.match(key):
            continue
        name = _rename(key)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise ValueError(f"{path}: {key} is not an array of floating-point numbers")
        if name in arrays:
            raise ValueError(f"{path}: two entries are the weights {name}, one of them {key}")
        arrays[name] = value
    return arrays


def _rename(key: str) -> str:
    for pattern, replacement in RENAMINGS:
        key = re.sub(pattern, replacement, key)
    return key


def _fill_statistics(arrays: dict[str, np.ndarray[Any, Any]], wanted: Mapping[str, Tensor]) -> None:
    """Add the mean and variance of normalisation if the file has none at all."""
    if any(key.endswith((".running_mean", ".running_var")) for key in arrays):
        return
    for key, value in wanted.items():
        if key.endswith(".running_mean"):
            arrays[key] = np.zeros(value.shape, np.float32)
        elif key.endswith(".running_var"):
            arrays[key] = np.full(value.shape, 1 - NORM_EPS, np.float32)


def _compare_names(path: Path | str, found: set[str], wanted: set[str]) -> None:
    for names, problem in ((wanted - found, "lacks"), (found - wanted, "holds what the network does not have:")):
        if names:
            listed = ", ".join(sorted(names)[:5])
            raise ValueError(f"{path}: {problem} {listed}{f' and {len(names) - 5} more' if len(names) > 5 else ''}")


def _check_neck(path: Path | str, neck: Mapping[str, np.ndarray[Any, Any]]) -> None:
    shapes = {key: neck[key].shape for key in NECK_KEYS}
    for layer in ("fc1", "fc2"):
        weight, bias = shapes[f"{layer}.weight"], shapes[f"{layer}.bias"]
        if len(weight) != 2 or bias != weight[:1]:
            raise ValueError(f"{path}: {layer} of the neck has weights {weight} and a bias {bias}")


def _to_tensors(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Tensor]:
    return {key: torch.from_numpy(value.astype(np.float32, copy=False)) for key, value in arrays.items()}
