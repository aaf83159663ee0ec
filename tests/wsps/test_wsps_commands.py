"""The commands on a tree of our own, against rules that look at one pixel at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from small_tree import DATA, HEIGHT, IDS, WIDTH, clean_slowly, cut_slowly, find_boxes_slowly, run, write_tree

from pseudogt.files.images import read_png, write_png
from pseudogt.wsps.mat_files import read_boxes
from pseudogt.wsps.options import Options, make_defaults, read_options
from pseudogt.wsps.palette import CLASS_NAMES, make_palette

NAMES = [f"{image_id}_leftImg8bit.png" for image_id in IDS]
BOXES = f"{DATA}/gtFine_bboxes/train/panoptic"


def read_mat(path: Path) -> list[tuple]:
    """Objects of a file of boxes as text, read by scipy alone."""
    annotation = loadmat(path, simplify_cells=True)["dets"]["annotation"]
    objects = annotation["object"] if isinstance(annotation, dict) else []
    objects = [objects] if isinstance(objects, dict) else objects
    return [(o["name"], *o["bndbox"].values(), o["is_grp"], o["is_stuff"]) for o in objects]


def as_text(boxes: list[tuple]) -> list[tuple]:
    return [(CLASS_NAMES[c], *map(str, corners), str(int(g)), str(int(s))) for c, *corners, g, s in boxes]


def read_results(root: Path) -> dict[str, bytes]:
    folders = ("pred_sem_clean", "pred_ins_clean")
    return {str(p.relative_to(root)): p.read_bytes() for f in folders for p in (root / "results" / f).glob("*")}


@pytest.mark.parametrize(("split", "kind"), [("train", "gtFine"), ("val", "gtFine"), ("train_extra", "gtCoarse")])
def test_boxes_then_labels(tmp_path, split, kind):
    scenes = write_tree(tmp_path, split, kind)
    run("boxes", tmp_path, split=split)
    run("clean", tmp_path, split=split)
    for image_id, scene in scenes.items():
        boxes = find_boxes_slowly(scene.instance_ids)
        mat = tmp_path / DATA / f"{kind}_bboxes" / split / "panoptic" / f"{image_id}_leftImg8bit.mat"
        assert read_mat(mat) == as_text(boxes)
        label = clean_slowly(scene, boxes)
        for folder, expected in (("pred_sem_clean", label), ("pred_ins_clean", cut_slowly(label, boxes))):
            with Image.open(tmp_path / "results" / folder / f"{image_id}_leftImg8bit.png") as image:
                np.testing.assert_array_equal(np.array(image), expected, err_msg=f"{folder} {image_id}")
                assert image.getpalette() == make_palette().ravel().tolist()


def test_boxes_options(tmp_path):
    scenes = write_tree(tmp_path)
    run("boxes", tmp_path, is_panoptic=False, incl_grps=False)
    for image_id, scene in scenes.items():
        expected = [b for b in find_boxes_slowly(scene.instance_ids) if not b[5] and not b[6]]
        assert read_mat(tmp_path / DATA / f"gtFine_bboxes/train/thing-only/{image_id}_leftImg8bit.mat") == as_text(
            expected
        )
    run("boxes", tmp_path, annotation_dir="mine", annotation_template="b_%s.mat")
    assert (tmp_path / DATA / "mine" / f"b_{IDS[0]}.mat").is_file()


def test_clean_reads_the_boxes_that_the_same_options_wrote(tmp_path):
    scenes = write_tree(tmp_path)
    run("boxes", tmp_path, is_panoptic=False)
    run("clean", tmp_path, is_panoptic=False)
    instances = read_png(tmp_path / "results/pred_ins_clean" / NAMES[0])
    boxes = [b for b in find_boxes_slowly(scenes[IDS[0]].instance_ids) if not b[6]]
    np.testing.assert_array_equal(instances, cut_slowly(clean_slowly(scenes[IDS[0]], boxes), boxes))


def test_workers_change_no_byte(tmp_path):
    write_tree(tmp_path)
    run("boxes", tmp_path)
    run("clean", tmp_path)
    boxes = {p.name: p.read_bytes() for p in (tmp_path / BOXES).iterdir()}
    labels = read_results(tmp_path)
    run("boxes", tmp_path, "--workers", "3")
    run("clean", tmp_path, "--workers", "3")
    assert {p.name: p.read_bytes() for p in (tmp_path / BOXES).iterdir()} == boxes
    assert read_results(tmp_path) == labels
    assert len(labels) == 6


def test_list_argument_wins_and_options_are_optional(tmp_path):
    write_tree(tmp_path)
    chosen = tmp_path / "chosen.txt"
    chosen.write_text(f"{IDS[1]}\n\n")
    run("boxes", tmp_path, "--list", str(chosen), list_path="absent.txt")
    assert [p.stem for p in (tmp_path / BOXES).iterdir()] == [f"{IDS[1]}_leftImg8bit"]
    command = [sys.executable, "-m", "pseudogt.wsps", "boxes", "--root", str(tmp_path), "--split", "train"]
    subprocess.run(command, check=True)
    assert len(list((tmp_path / BOXES).iterdir())) == 3


def test_only_what_enabled_steps_need_is_read(tmp_path):
    scenes = write_tree(tmp_path)
    for folder in ("pred_flat_feat", "mcg_and_grabcut"):
        (tmp_path / "results" / folder).rename(tmp_path / folder)
    (tmp_path / DATA / "gtFine").rename(tmp_path / "gtFine")
    switches = ["score_thresh", "apply_bbox_prior", "check_low_iou", "check_image_level_tags"]
    off = {f"run_{name}": False for name in [*switches, "merge_with_mcg_and_grabcut", "ins_box_process"]}
    run("clean", tmp_path, **off)
    np.testing.assert_array_equal(read_png(tmp_path / "results/pred_sem_clean" / NAMES[0]), scenes[IDS[0]].pred)
    assert not (tmp_path / "results/pred_ins_clean").exists()


def test_without_overwriting_only_images_that_lack_a_file_are_made(tmp_path):
    write_tree(tmp_path)
    run("boxes", tmp_path)
    run("clean", tmp_path)
    results = tmp_path / "results"
    expected = read_results(tmp_path)
    for path in (results / "pred_sem_clean" / NAMES[0], results / "pred_ins_clean" / NAMES[0]):
        path.write_bytes(b"kept")
    (results / "pred_sem_clean" / NAMES[1]).write_bytes(b"made again")
    (results / "pred_ins_clean" / NAMES[1]).unlink()
    (tmp_path / BOXES / f"{IDS[2]}_leftImg8bit.mat").write_bytes(b"not read, its image is done")
    run("clean", tmp_path, force_overwrite=False)
    found = read_results(tmp_path)
    kept = {key for key in found if NAMES[0] in key}
    assert {found[key] for key in kept} == {b"kept"}
    assert {k: v for k, v in found.items() if k not in kept} == {k: v for k, v in expected.items() if k not in kept}

    run("boxes", tmp_path, force_overwrite=False)
    assert (tmp_path / BOXES / f"{IDS[2]}_leftImg8bit.mat").read_bytes().startswith(b"not read")
    run("boxes", tmp_path)
    assert read_boxes(tmp_path / BOXES / f"{IDS[2]}_leftImg8bit.mat", CLASS_NAMES).classes.tolist() == []


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({"save_ins": False}, {"pred_sem_clean"}),
        ({"save_sem": False}, {"pred_ins_clean"}),
        ({"run_ins_box_process": False}, {"pred_sem_clean"}),
        ({"save_sem": False, "save_ins": False}, set()),
        ({"sem_save_dir": "a/b", "ins_save_dir": "c"}, {"a/b", "c"}),
    ],
)
def test_saves(tmp_path, options, written):
    write_tree(tmp_path)
    run("boxes", tmp_path)
    inputs = {p.parent for p in tmp_path.rglob("results/**/*.*")}
    run("clean", tmp_path, **options)
    folders = {p.parent for p in tmp_path.rglob("results/**/*.*")} - inputs
    assert {str(f.relative_to(tmp_path / "results")) for f in folders} == written
    assert all(len(list(f.iterdir())) == 3 for f in folders)


@pytest.mark.parametrize("folder", [".", "utils"])
def test_files_of_palette_and_names_win(tmp_path, folder):
    write_tree(tmp_path)
    (tmp_path / folder).mkdir(exist_ok=True)
    palette = np.roll(make_palette(), 1, 0)
    savemat(tmp_path / folder / "colormapcs.mat", {"cmap": palette / 255})
    names = [f"class {i}" for i in range(19)]
    savemat(tmp_path / folder / "objectName19.mat", {"objectNames": np.array(names, object)[:, None]})
    run("boxes", tmp_path)
    run("clean", tmp_path)
    assert {name for name, *_ in read_mat(tmp_path / BOXES / f"{IDS[0]}_leftImg8bit.mat")} <= set(names)
    with Image.open(tmp_path / "results/pred_sem_clean" / NAMES[0]) as image:
        assert image.getpalette() == palette.ravel().tolist()


def test_visualise(tmp_path):
    write_tree(tmp_path)
    for image_id in IDS:
        photograph = tmp_path / DATA / "leftImg8bit/train" / image_id.split("_")[0] / f"{image_id}_leftImg8bit.png"
        write_png(photograph, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    run("boxes", tmp_path, visualise=True)
    with Image.open(tmp_path / BOXES / NAMES[0]) as drawn:
        assert (np.array(drawn) != 90).any() and drawn.size == (WIDTH, HEIGHT)
    with Image.open(tmp_path / BOXES / NAMES[2]) as drawn:  # no boxes
        assert (np.array(drawn) == 90).all()

    run("clean", tmp_path, visualise_results=True)
    with Image.open(tmp_path / "results/visualisation" / f"{IDS[-1]}_results.png") as figure:
        assert figure.width > figure.height > 500
    run("clean", tmp_path, visualise_results=True, force_overwrite=False)
    steps = {"run_score_thresh": False, "run_ins_box_process": False}
    run("clean", tmp_path, visualise_results=True, **steps)


def write_one_image(root: Path, instance_ids: np.ndarray, pred: np.ndarray) -> dict:
    """A tree of one image without scores and box masks, and the options for it."""
    image_id = IDS[0]
    city = root / DATA / "gtFine/train/ahorn"
    write_png(city / f"{image_id}_gtFine_instanceTrainIds.png", instance_ids.astype(np.uint16))
    classes = np.where(instance_ids > 1000, instance_ids // 1000, instance_ids)
    write_png(city / f"{image_id}_gtFine_labelTrainIds.png", classes.astype(np.uint8))
    write_png(root / "results/pred_sem_raw" / NAMES[0], pred.astype(np.uint8))
    (root / DATA / "lists").mkdir()
    (root / DATA / "lists/train_id.txt").write_text(image_id)
    height, width = instance_ids.shape
    return {
        "canvas_size": [height, width],
        "schk_crop_size": [height - 1, width - 1],
        "run_score_thresh": False,
        "run_merge_with_mcg_and_grabcut": False,
    }


def test_quirk_fill_leaves_out_the_top_row_and_left_column(tmp_path):
    ids = np.zeros((6, 7), int)
    ids[1:4, 2:6] = 13001
    options = write_one_image(tmp_path, ids, np.zeros((6, 7)))
    run("boxes", tmp_path, **options)
    run("clean", tmp_path, **options)
    expected = np.zeros((6, 7), int)
    expected[2:4, 3:6] = 13
    assert read_png(tmp_path / "results/pred_sem_clean" / NAMES[0]).tolist() == expected.tolist()


def test_quirk_crop_tags_test_things_too_and_255_is_a_tag(tmp_path):
    ids = np.array([[0, 0, 0, 0, 13001], [0, 0, 0, 0, 255]])
    pred = np.array([[13, 0, 13, 0, 13], [8, 0, 0, 0, 255]])
    options = write_one_image(tmp_path, ids, pred)
    options |= {"schk_crop_size": [1, 3], "run_apply_bbox_prior": False, "run_check_low_iou": False}
    run("boxes", tmp_path, **options)
    run("clean", tmp_path, **options)
    # tiles of columns 0-2 and 2-4: column 2 needs the tag in both
    expected = [[255, 0, 255, 0, 13], [255, 0, 0, 0, 255]]
    assert read_png(tmp_path / "results/pred_sem_clean" / NAMES[0]).tolist() == expected


def test_quirk_instance_numbers_saturate_at_255(tmp_path):
    ids = np.zeros((2, 300), int)
    ids[0] = 13000 + 1 + np.arange(300)
    options = write_one_image(tmp_path, ids, np.where(ids > 1000, 13, 0))
    run("boxes", tmp_path, **options)
    run("clean", tmp_path, **options)
    instances = read_png(tmp_path / "results/pred_ins_clean" / NAMES[0])
    assert instances[1].tolist() == [1] * 300  # road is segment 1
    assert instances[0].tolist() == [min(n, 255) for n in range(2, 302)]


def test_quirk_an_absent_ignore_label_becomes_a_group_without_corners(tmp_path):
    ids = np.zeros((2, 3), int)
    options = write_one_image(tmp_path, ids, ids) | {"ignore_label": 15}
    run("boxes", tmp_path, **options)
    path = tmp_path / BOXES / f"{IDS[0]}_leftImg8bit.mat"
    group = loadmat(path, simplify_cells=True)["dets"]["annotation"]["object"][1]
    assert group["name"] == "bus" and group["is_grp"] == "1"
    assert all(np.size(text) == 0 for text in group["bndbox"].values())
    boxes = read_boxes(path, CLASS_NAMES)
    assert boxes.boxes_xyxy.tolist() == [[0, 0, 3, 2], [0, 0, 0, 0]]
    run("clean", tmp_path, **options)


def test_larger_arrays_are_tagged_in_the_top_left_canvas_only(tmp_path):
    ids = np.zeros((4, 6), int)
    options = write_one_image(tmp_path, ids, np.full((4, 6), 8))
    options |= {"canvas_size": [2, 5], "schk_crop_size": [1, 3], "run_apply_bbox_prior": False}
    run("boxes", tmp_path, **options)
    run("clean", tmp_path, **options)
    label = read_png(tmp_path / "results/pred_sem_clean" / NAMES[0])
    assert (label[:2, :5] == 255).all()
    assert (label[2:] == 8).all() and (label[:, 5] == 8).all()


def test_options_file_and_defaults(tmp_path):
    path = tmp_path / "options.json"
    path.write_text(json.dumps({"schk_crop_size": [10, 20], "save_ins": False}))
    options = read_options(path, "train_extra")
    assert options.schk_crop_size == (10, 20) and options.save_ins is False
    assert options.mcg_and_grabcut_dir == "mcg_and_grabcut/train_extra"
    assert options.gt_label_template == "%s_gtCoarse_labelTrainIds.png"
    assert read_options(None, "val").list_path == "lists/val_id.txt"
    with pytest.raises(ValueError, match="test set"):
        make_defaults("test")
    with pytest.raises(ValueError, match="Unknown dataset option"):
        make_defaults("train", "voc")


def test_documentation_lists_every_option():
    page = (Path(__file__).parents[2] / "docs" / "wsps.md").read_text(encoding="utf-8")
    assert [name for name in Options.model_fields if f"`{name}`" not in page] == []
