"""The stage `backbones`: networks are looked up before hours are spent."""

from __future__ import annotations

import importlib.metadata
import json

import pytest
import torch

from models.backbones import build_backbone
from pseudogt.files.io import read_json
from pseudogt.stages import backbones


def look_up(out, **network):
    settings = json.dumps({"weights": None} | network)
    backbones.main(["--section", "segmenter", "--out", str(out), "--settings", settings])
    return read_json(out)


def test_facts_change_when_the_file_of_weights_does(tmp_path):
    path, facts = tmp_path / "weights.pth", []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        torch.save(build_backbone("timm/test_resnet").network.model.state_dict(), path)
        facts.append(look_up(tmp_path / "facts.json", backbone="timm/test_resnet", weights=str(path)))
    assert facts[0] == facts[1] != facts[2]
    assert facts[0]["channels"] == [32, 48, 192, 96] and facts[0]["parameters"] > 300_000


def test_a_library_that_is_missing_stops_a_run_early(monkeypatch, tmp_path):
    def find_nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", find_nothing)
    with pytest.raises(ValueError, match=r"network: mask_transformer needs transformers 5 .* '\.\[transformers\]'"):
        look_up(tmp_path / "facts.json", backbone="small", network="mask_transformer")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"backbone": "timm/resnet5o"}, "segmenter.backbone: timm knows no network"),
        ({"backbone": "timm/test_vit", "dense": True}, "segmenter.backbone: .* can't be dilated"),
        ({"backbone": "small", "weights": "gone.pth"}, "segmenter.backbone: .* no such file"),
    ],
)
def test_errors_name_the_setting(network, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        look_up(tmp_path / "facts.json", **network)
