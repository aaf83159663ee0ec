"""Weights of timm's networks: a pretrained tag, which timm downloads, or a file.

A file may have timm's layout, or that of the network's authors if timm can convert it. Weights of
classification heads are ignored; any other mismatch is an error.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from models.backbones.weight_files import read_state_dict

SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")
"""Suffixes of weight files; any other name is a tag."""

FIRST_KEYS = 5
"""Keys that a message names."""


def list_tags(name: str) -> list[str]:
    """Tags of the pretrained weights that timm has for a network."""
    return [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]


def check_tag(name: str, weights: str | None) -> None:
    """Raise a ``ValueError`` for weights that are neither a file nor a tag of the network."""
    if weights is None or Path(weights).is_file():
        return
    if weights.endswith(SUFFIXES) or "/" in weights:
        raise ValueError(f"weights {weights!r}: no such file")
    tags = list_tags(name)
    if weights not in tags:
        near = difflib.get_close_matches(weights, tags, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        known = ", ".join(tags) or "none; give the path of a file, or null"
        raise ValueError(f"weights {weights!r}: no such file, nor a tag of timm network {name!r}; {hint}It has {known}")


def create_network(name: str, weights: str | None, **arguments: Any) -> nn.Module:
    """Create a network of timm.

    Parameters
    ----------
    name : str
    weights : str, optional
        None for random ones.
    **arguments
        Arguments of ``timm.create_model``.

    Raises
    ------
    ValueError
        If the weights can't be downloaded or read, or do not fit.
    """
    if weights is None:
        return timm.create_model(name, pretrained=False, **arguments)
    source: dict[str, Any] = {"pretrained_cfg": weights}
    if Path(weights).is_file():
        source = {"pretrained_cfg_overlay": {"state_dict": read_state_dict(weights), "custom_load": False}}
    with _watch_loading() as report:
        try:
            network: nn.Module = timm.create_model(name, pretrained=True, **source, **arguments)
        except OSError as error:
            raise ValueError(
                f"weights {weights!r} of timm network {name!r} can't be downloaded ({str(error).splitlines()[0]}); run "
                "`snakemake backbones` once where there is a connection, or give the path of a file"
            ) from error
        except (RuntimeError, KeyError, AttributeError, IndexError, TypeError) as error:
            lines = [line.strip() for line in str(error).splitlines()]
            shapes = [line for line in lines if line.startswith("size mismatch")][:FIRST_KEYS]
            problem = " ".join(shapes) or report.describe(name, None) or " ".join(lines[:FIRST_KEYS])
            raise ValueError(f"weights {weights!r} do not fit timm network {name!r}: {problem}") from error
    if problem := report.describe(name, network):
        raise ValueError(f"weights {weights!r} do not fit timm network {name!r}: {problem}")
    return network


def drop_weights(network: nn.Module) -> nn.Module:
    """Remove the weights of a file from the descriptions that timm keeps in a network and its parts."""
    for module in network.modules():
        description = getattr(module, "pretrained_cfg", None)
        if isinstance(description, dict):
            description.pop("state_dict", None)
    return network


@dataclass
class _LoadingReport:
    """Result of the last ``load_state_dict`` of a network.

    Attributes
    ----------
    network : nn.Module or None
        What it loaded into; None if nothing was loaded yet.
    missing, unexpected : list of str
        Keys of the network that the weights lack, and the other way round.
    """

    network: nn.Module | None = None
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def describe(self, name: str, features: nn.Module | None) -> str:
        """Say which keys do not fit; empty if all do.

        Parameters
        ----------
        name : str
            Name of timm's network.
        features : nn.Module, optional
            The part that is used; all keys count without it.
        """
        if self.network is None:
            return ""
        missing = [key for key in self.missing if not key.endswith("num_batches_tracked")]
        if features is not None:
            used = {id(tensor) for tensor in chain(features.parameters(), features.buffers())}
            tensors = dict(chain(self.network.named_parameters(), self.network.named_buffers()))
            missing = [key for key in missing if id(tensors.get(key)) in used]
        unexpected = self.unexpected and self._drop_heads(name)
        problems = [_list_keys("it lacks", missing)] if missing else []
        problems += [_list_keys("the network does not have", unexpected)] if unexpected else []
        return "; ".join(problems)

    def _drop_heads(self, name: str) -> list[str]:
        """Unexpected keys without those of layers that only classification needs."""
        with torch.device("meta"):
            complete: Any = timm.create_model(name, pretrained=False)
        classifiers = complete.pretrained_cfg.get("classifier") or ()
        heads = tuple(f"{head}." for head in ([classifiers] if isinstance(classifiers, str) else classifiers))
        known = complete.state_dict().keys()
        return [key for key in self.unexpected if key not in known and not key.startswith(heads)]


def _list_keys(what: str, keys: Sequence[str]) -> str:
    more = f" and {len(keys) - FIRST_KEYS} more" if len(keys) > FIRST_KEYS else ""
    return f"{what} {', '.join(keys[:FIRST_KEYS])}{more}"


@contextmanager
def _watch_loading() -> Iterator[_LoadingReport]:
    """Note which keys do not fit while timm loads weights, which it only writes into its log, with all of them.

    Networks are created and loaded in one call, so their hooks are registered as their parts are added.
    """
    report = _LoadingReport()
    hooks: dict[int, Any] = {}

    def note(network: nn.Module, keys: Any) -> None:
        # The network itself comes after its parts, which share the same two lists.
        report.network, report.missing, report.unexpected = network, [*keys.missing_keys], [*keys.unexpected_keys]

    def watch(parent: nn.Module, name: str, part: nn.Module | None) -> None:
        if id(parent) not in hooks:
            hooks[id(parent)] = parent.register_load_state_dict_post_hook(note)

    watching = register_module_module_registration_hook(watch)
    log = logging.getLogger("timm.models")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield report
    finally:
        log.setLevel(level)
        watching.remove()
        for hook in hooks.values():
            hook.remove()
