"""Names of backbones: those of tables, and members of families, without importing their library."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from pseudogt.config.base import describe_validation_error
from pseudogt.config.mining import MiningSettings
from pseudogt.config.segmenter import SegmenterSettings


@pytest.mark.parametrize("name", ["small", "resnet50", "timm/resnet50", "timm/anything"])
@pytest.mark.parametrize("section", [SegmenterSettings, MiningSettings])
def test_known_names_and_members_of_known_families(section, name):
    assert section.model_validate({"backbone": name}).backbone == name


def test_only_mining_has_the_networks_of_its_paper():
    assert MiningSettings(backbone="resnet_ws18", init="scratch").backbone == "resnet_ws18"
    with pytest.raises(ValidationError):
        SegmenterSettings(backbone="resnet_ws18")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg", "known are resnet18, resnet50, resnet101, small, timm/..."),
        ("tim/resnet50", "unknown name; did you mean timm/resnet50?"),
        ("timm", "timm is a family; give timm/ and the name of a member"),
        ("timm/", "timm is a family"),
        ("small/resnet50", "unknown name"),
    ],
)
def test_other_names_are_errors_with_a_remedy(name, message):
    with pytest.raises(ValidationError) as caught:
        SegmenterSettings(backbone=name)
    assert message in describe_validation_error(caught.value, SegmenterSettings)


def test_settings_are_parsed_without_the_library():
    code = "import sys; from pseudogt.config.segmenter import SegmenterSettings as S; S(backbone='timm/x'); "
    code += "sys.exit(bool({'timm', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
