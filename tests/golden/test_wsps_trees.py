"""The commands on whole trees of the weak panoptic authors: the same files as their scripts write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden_files import GOLDEN, assert_equal_mat, assert_equal_png, copy_files, needs_golden, read_golden_json
from PIL import Image

from pseudogt.wsps.__main__ import main
from pseudogt.wsps.mat_files import read_class_names, read_palette
from pseudogt.wsps.palette import CLASS_NAMES, make_palette

pytestmark = needs_golden

MINI = GOLDEN / "mini"
CONFIGURATIONS = read_golden_json("mini/index.json") or []
DEMO = "aachen_000000_000019"
CITYSCAPES = "data/Cityscapes"


def run(command: str, root: Path, options: dict, *arguments: str, split: str = "train") -> None:
    path = root / "options.json"
    path.write_text(json.dumps(options))
    main([command, "--root", str(root), "--split", split, "--options", str(path), *arguments])


def test_built_in_palette_and_names_are_the_authors():
    np.testing.assert_array_equal(make_palette(), read_palette(GOLDEN / "colormapcs.mat"))
    assert read_class_names(GOLDEN / "objectName19.mat") == CLASS_NAMES


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    """A copy of the inputs of the three-image tree."""
    inputs = [p for p in MINI.rglob("*") if p.is_file() and "out_" not in str(p) and p.name != "index.json"]
    copy_files({str(p.relative_to(MINI)): p for p in inputs}, tmp_path)
    return tmp_path


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda c: c["config"])
def test_clean_writes_what_the_authors_wrote(mini: Path, configuration: dict, workers: str) -> None:
    stubs = set(configuration["preexisting_stub_files"])
    for stub in stubs:
        (mini / stub).parent.mkdir(parents=True, exist_ok=True)
        Image.new("P", (4, 4)).save(mini / stub)
    before = {stub: (mini / stub).read_bytes() for stub in stubs}

    run("clean", mini, configuration["options"], "--workers", workers, split=configuration["split"])

    written = set(configuration["written"])
    for path in written:
        assert_equal_png(mini / path, MINI / path)
    for stub in stubs - written:
        assert (mini / stub).read_bytes() == before[stub]
    found = {str(p.relative_to(mini)) for p in mini.glob("results/out_*/*")}
    assert found == written | stubs


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("split", "kind"), [("train", "gtFine"), ("train_extra", "gtCoarse")])
def test_boxes_of_the_tree_equal_field_by_field(mini: Path, split: str, kind: str, workers: str) -> None:
    folder = f"{CITYSCAPES}/{kind}_bboxes/{split}/panoptic"
    for path in (mini / folder).iterdir():
        path.unlink()
    run("boxes", mini, {"list_path": "lists/mini_id.txt"}, "--workers", workers, split=split)
    golden = sorted((MINI / folder).iterdir())
    assert sorted(p.name for p in (mini / folder).iterdir()) == [p.name for p in golden]
    for path in golden:
        assert_equal_mat(mini / folder / path.name, path)


def test_boxes_of_the_full_size_demo(tmp_path: Path) -> None:
    make_demo(tmp_path, None)
    run("boxes", tmp_path, {"list_path": "lists/demo_id.txt"})
    mat = f"{CITYSCAPES}/gtFine_bboxes/train/panoptic/{DEMO}_leftImg8bit.mat"
    assert_equal_mat(tmp_path / mat, GOLDEN / "boxes" / f"{DEMO}_leftImg8bit.mat")


@pytest.mark.parametrize("demo", ["merge", "iterative"])
def test_full_size_demos(tmp_path: Path, demo: str) -> None:
    """As the authors' demo scripts: boxes first, labels from them."""
    make_demo(tmp_path, demo)
    overrides = read_golden_json(f"{demo}/expected.json")["options_overrides"]
    options = {"list_path": "lists/demo_id.txt", "sem_save_dir": "demo_sem", "ins_save_dir": "demo_ins", **overrides}
    run("boxes", tmp_path, options)
    run("clean", tmp_path, options)
    for kind in ("sem", "ins"):
        written = tmp_path / "results" / f"demo_{kind}" / f"{DEMO}_leftImg8bit.png"
        assert_equal_png(written, GOLDEN / demo / "outputs" / f"{kind}.png")


def make_demo(root: Path, demo: str | None) -> None:
    """The authors' one-image tree without boxes, which the demos make themselves."""
    city = f"{CITYSCAPES}/gtFine/train/aachen"
    files = {f"{city}/{DEMO}_gtFine_instanceTrainIds.png": GOLDEN / "boxes" / f"{DEMO}_gtFine_instanceTrainIds.png"}
    if demo:
        inputs = GOLDEN / demo / "inputs"
        files[f"{city}/{DEMO}_gtFine_labelTrainIds.png"] = inputs / f"{DEMO}_gtFine_labelTrainIds.png"
        files[f"results/mcg_and_grabcut/train/{DEMO}_leftImg8bit.png"] = inputs / "mcg_and_grabcut.png"
        pred_dir = "cam/train" if demo == "merge" else "pred_sem_raw"
        files[f"results/{pred_dir}/{DEMO}_leftImg8bit.png"] = inputs / "pred.png"
    if demo == "iterative":
        files[f"results/pred_flat_feat/{DEMO}_leftImg8bit.mat"] = GOLDEN / demo / "inputs" / "pred_flat_feat.mat"
    copy_files(files, root)
    (root / CITYSCAPES / "lists").mkdir()
    (root / CITYSCAPES / "lists" / "demo_id.txt").write_text(DEMO)
