"""The table of costs is what its benchmark measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pseudogt.costs.backbones import TIMM_COSTS, BackboneCosts

REPOSITORY = Path(__file__).resolve().parents[2]


def test_table_holds_what_is_measured():
    names = ["timm/resnet18", "timm/tf_efficientnet_lite0", "timm/swin_tiny_patch4_window7_224"]
    command = [sys.executable, "benchmarks/backbone_costs.py", *names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    measured = eval(f"{{{done.stdout}}}", {"BackboneCosts": BackboneCosts})
    assert list(measured) == names
    for name, costs in measured.items():
        assert costs.channels == TIMM_COSTS[name].channels
        # Another version of torch may keep other values for the backward pass.
        assert costs[:3] == pytest.approx(TIMM_COSTS[name][:3], rel=0.1)


def test_resnets_have_the_published_sizes():
    """He et al.: 1.8 and 3.8 billion products at 224x224 (torchvision's variant of the latter: 4.1)."""
    pixels = 224 * 224 / 1e6
    assert TIMM_COSTS["timm/resnet18"].gigaproducts * pixels == pytest.approx(1.8, rel=0.02)
    assert TIMM_COSTS["timm/resnet50"].gigaproducts * pixels == pytest.approx(4.1, rel=0.02)
