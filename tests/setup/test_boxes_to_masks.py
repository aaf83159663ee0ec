"""From a folder with boxes to a configuration in memory that makes their masks."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pseudogt.annotations import FORMATS
from pseudogt.config.run import parse_run_config
from pseudogt.setup.boxes import configure_boxes
from pseudogt.workflow.assignment import assign_shards

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "annotations"))
rules = import_module("test_reader_rules")  # which writes a set in every format

EMBEDDED = {
    "name": "streets",
    "dataset": {"format": "streets", "train_split": "train", "classes": {"road": "stuff", "car": "thing"}},
    "annotations": {"format": None, "bad_boxes": "error"},
}


def write_photos(folder, names="abc"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((rules.HEIGHT, rules.WIDTH, 3), np.uint8)).save(folder / f"{name}.jpg")


def configure(folder, **given):
    given = {"boxes_from": str(folder), "masks_to": str(folder.parent / "masks"), **given}
    sections, summary = configure_boxes(folder, {**EMBEDDED, **given}, given)
    return parse_run_config(sections), summary


@pytest.mark.parametrize("name", FORMATS.names)
def test_boxes_of_every_format_are_things(name, tmp_path):
    write_photos(tmp_path / "my data" / "images")
    rules.WRITERS[name](tmp_path / "my data", rules.GOOD)
    config, summary = configure(tmp_path / "my data")
    kinds = {entry.name: entry.isthing for entry in config.dataset.classes}
    assert kinds == {"bus": True, "car": True, "background": False}
    assert (config.name, config.annotations.format, config.box_masks.sure) == ("my-data-boxes", name, 0.5)
    assert config.export.formats == ("coco_instances",)
    assert "4 boxes in " in summary and f"of 3 images of {tmp_path / 'my data'}" in summary


def test_images_of_all_splits_are_used_but_label_maps(tmp_path):
    root = tmp_path / "data"
    write_photos(root / "train", "ab")
    write_photos(root / "valid", "c")
    write_photos(root / "masks", "d")
    (root / "found").mkdir()  # known by flat colours
    Image.fromarray(np.eye(2, dtype=np.uint8).repeat(40, 0).repeat(40, 1)).save(root / "found" / "e.png")
    rules.WRITERS["coco"](root, rules.GOOD)
    config, _ = configure(root)
    assert assign_shards(config, tmp_path / "index.json")[0] == {"train-0000": ["a", "b", "c"]}


def test_what_the_user_gives_counts_more(tmp_path):
    root = tmp_path / "data"
    write_photos(root)
    rules.WRITERS["coco"](root, rules.GOOD)
    other = rules.WRITERS["csv"](root, rules.GOOD)
    sections = {"box_masks": {"segmenters": ["ellipse"]}, "export": {"images": True}, "name": "mine"}
    config, summary = configure(root, annotations={"format": "csv", "path": other.name}, **sections)
    assert (config.name, config.annotations.path, config.export.images) == ("mine", other.name, True)
    assert (config.box_masks.segmenters, config.box_masks.sure) == (("ellipse",), 0.5)
    assert "not used: " in summary and "(coco)" in summary


def test_a_run_with_derived_points_lends_its_configuration(tmp_path):
    write_photos(tmp_path / "data")
    rules.WRITERS["coco"](tmp_path / "data", rules.GOOD)
    config, _ = configure(tmp_path / "data", weak_labels={"points": "stuff", "scribbles": "all"}, shard_size=9)
    assert (config.weak_labels.points, config.weak_labels.scribbles, config.shard_size) == (None, None, 9)


def test_folders_without_boxes_are_errors(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        configure(tmp_path / "data")
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match="there is no image"):
        configure(tmp_path / "data")
    write_photos(tmp_path / "data")
    with pytest.raises(ValueError, match="no file with boxes was found"):
        configure(tmp_path / "data")
    (tmp_path / "data" / "items.json").write_text('{"categories": {}, "items": [{"id": "x"}]}')
    with pytest.raises(ValueError, match=r"no file with boxes was found \(.*items\.json: is Datumaro's JSON"):
        configure(tmp_path / "data")
    (tmp_path / "data" / "items.json").unlink()
    path = rules.WRITERS["coco"](tmp_path / "data", {"x": [rules.Thing("car")]})
    with pytest.raises(ValueError, match=f"{path.name} names none of the 3 images, or .* such as"):
        configure(tmp_path / "data")
    path = rules.WRITERS["coco"](tmp_path / "data", rules.GOOD)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    with pytest.raises(ValueError, match="holds no box"):
        configure(tmp_path / "data")


@pytest.mark.parametrize(("masks_to", "problem"), [("data/masks", "neither"), (".", "neither"), ("other", "is there")])
def test_nothing_of_the_user_is_written_over(tmp_path, masks_to, problem):
    write_photos(tmp_path / "data")
    rules.WRITERS["coco"](tmp_path / "data", rules.GOOD)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=problem):
        configure(tmp_path / "data", masks_to=str(tmp_path / masks_to))


def test_parsing_imports_nothing_heavy():
    code = "import sys, pseudogt.setup.boxes; print({'torch', 'cv2', 'timm'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
