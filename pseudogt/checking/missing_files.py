"""Files that the configuration names and that are not there; Snakemake would not name the setting."""

from __future__ import annotations

from pathlib import Path

from pseudogt.config.mining import RESNET_WS
from pseudogt.config.run import RunConfig
from pseudogt.parsing.contents import describe_missing


def find_missing_files(config: RunConfig) -> list[str]:
    """Problems of provided results, and for mining of folders of proposals and weights of a ResNet-WS."""
    named = {"cams": (config.provided.cams, "file"), "box_masks": (config.provided.box_masks, "folder")}
    problems = [
        f"provided.{setting}: {path}: {describe_missing(Path(path), kind)}; correct it, or set it to null"
        for setting, (path, kind) in named.items()
        if path is not None and not (Path(path).is_dir() if kind == "folder" else Path(path).is_file())
    ]
    if config.method != "jtsm":
        return problems
    mining = config.mining
    problems += [
        f"proposals.folder: {name}: no such folder" for name in config.proposals.folders if not Path(name).is_dir()
    ]
    if mining.backbone in RESNET_WS and mining.weights and not Path(mining.weights).is_file():
        problems.append(f"mining.weights: {mining.weights}: no such file; docs/jtsm.md says which files there are")
    return problems
