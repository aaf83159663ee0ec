"""Preparing a segmentation: which weights are read, what is loaded, and equal results."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from proposal_testing import assert_same

from models.pretrained.loading import load_engine
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.config.proposals import ProposalsSettings
from pseudogt.workflow import weights

FAST = {"max_proposals": 60, "max_regions": 30, "grown_unions": 50, "kept_unions": 100}
VARIANTS = [{"contours": "learned", "ranking": "learned"}, {"contours": "gradient", "ranking": "rule"}]


def make_image(seed, shape=(50, 70)):
    rng = np.random.default_rng(seed)
    image = np.full((*shape, 3), 90)
    image[10:30, 15:45] = (200, 80, 40)
    return (image + rng.integers(-8, 9, image.shape)).astype(np.uint8)


def test_weights_are_listed_where_something_is_learned_only():
    assert weights.list_weights(ProposalsSettings(contours="gradient", ranking="rule")) == []
    assert weights.list_weights(ProposalsSettings(contours="learned", ranking="rule")) == [weights.CONTOURS]
    both = weights.list_weights(ProposalsSettings(contours="learned", ranking="learned"))
    assert both == [weights.CONTOURS, weights.RANKER]
    assert weights.list_weights(BoxMasksSettings(segmenters=("grabcut", "hierarchy"))) == []
    box_masks = BoxMasksSettings(segmenters=("grabcut", "network"), smoothness="learned")
    assert weights.list_weights(box_masks) == [weights.CONTOURS, weights.BOX_MASKS]


def test_whoever_wants_nothing_learnt_says_so_twice():
    with pytest.raises(ValueError, match="contours: gradient needs ranking: rule"):
        ProposalsSettings(contours="gradient")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mode", ["single", "multi"])
def test_an_image_does_not_depend_on_what_came_before(variant, mode):
    settings = ProposalsSettings(mode=mode, **variant, **FAST)
    segment = load_engine(settings)
    segment(make_image(1, (33, 40)))
    later, alone = segment(make_image(0)), load_engine(settings)(make_image(0))
    assert_same(later.proposals, alone.proposals)
    masks = [later.proposals.mask(n) for n in range(len(later.proposals.scores))]
    block = np.zeros((50, 70), bool)
    block[10:30, 15:45] = True
    assert max((mask & block).sum() / (mask | block).sum() for mask in masks) > 0.8


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (33, 31)])
def test_learned_contours_take_small_and_odd_images(shape):
    settings = ProposalsSettings(mode="multi", **VARIANTS[0], **FAST)
    segments = load_engine(settings)(make_image(0)[: shape[0], : shape[1]].copy())
    assert segments.proposals.superpixels.shape == shape
    assert len(segments.proposals.scores) >= 1


def test_a_missing_or_broken_weight_file_is_named(tmp_path, monkeypatch):
    for name, setting in (("CONTOURS", "contours"), ("RANKER", "ranking")):
        settings = ProposalsSettings(**{"contours": "learned", "ranking": "rule", setting: "learned"})
        content = getattr(weights, name).read_bytes()
        monkeypatch.setattr(weights, name, tmp_path / name)
        with pytest.raises(ValueError, match=f"{name}: no such"):
            load_engine(settings)
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=f"{name}: not a readable"):
            load_engine(settings)
        monkeypatch.undo()


def test_torch_is_imported_for_learned_contours_only():
    program = (
        "import sys, numpy as np\n"
        "from pseudogt.config.proposals import ProposalsSettings\n"
        "from models.pretrained.loading import load_engine\n"
        "load_engine(ProposalsSettings(contours='gradient', ranking='rule'))(np.zeros((9, 9, 3), np.uint8))\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
