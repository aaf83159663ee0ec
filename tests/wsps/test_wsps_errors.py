"""What is wrong with a tree is said with the image, the file and the remedy."""

from __future__ import annotations

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from small_tree import DATA, HEIGHT, IDS, WIDTH, run, write_tree

from pseudogt.files.images import write_png
from pseudogt.wsps.__main__ import main
from pseudogt.wsps.mat_files import read_boxes, read_class_names, read_palette, read_scores
from pseudogt.wsps.palette import CLASS_NAMES, read_label

BROKEN = IDS[1]
NAME = f"{BROKEN}_leftImg8bit"
FILES = {
    "pred": f"results/pred_sem_raw/{NAME}.png",
    "scores": f"results/pred_flat_feat/{NAME}.mat",
    "box masks": f"results/mcg_and_grabcut/train/{NAME}.png",
    "gt": f"{DATA}/gtFine/train/birke/{BROKEN}_gtFine_labelTrainIds.png",
    "boxes": f"{DATA}/gtFine_bboxes/train/panoptic/{NAME}.mat",
}
IMAGES = ["pred", "box masks", "gt"]


@pytest.fixture
def tree(tmp_path):
    write_tree(tmp_path)
    run("boxes", tmp_path)
    return tmp_path


@pytest.fixture
def fails(tree):
    """Check that a command fails with words in this order, and leaves no unfinished file."""

    def check(*words, command="clean", arguments=(), **options):
        with pytest.raises(ValueError, match="(?s)" + ".*".join(words)):
            run(command, tree, *arguments, **options)
        assert not list(tree.rglob("*.part*"))

    return check


def object_of(**fields):
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), "0123", strict=True))
    return {"name": "car", "bndbox": corners, "is_grp": "0", "is_stuff": "0", **fields}


def test_one_line_and_exit_code_1(tree):
    (tree / FILES["pred"]).unlink()
    (tree / "options.json").write_text(json.dumps({"canvas_size": [12, 16], "schk_crop_size": [8, 10]}))
    command = [sys.executable, "-m", "pseudogt.wsps", "clean", "--root", tree, "--split", "train"]
    for arguments in (["--options", tree / "options.json"], ["--options", tree / "options.json", "--workers", "2"]):
        result = subprocess.run([*map(str, command + arguments)], capture_output=True, text=True, check=False)
        assert result.returncode == 1
        errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
        assert errors == [f"error: image {BROKEN}: {tree / FILES['pred']}: no such file"]
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("option", "nearest"), [("score_tresh", "score_thresh"), ("save_inst", "save_ins")])
@pytest.mark.parametrize("command", ["boxes", "clean"])
def test_unknown_option(fails, command, option, nearest):
    fails(r"options\.json", option, rf"did you mean {nearest}\?", command=command, **{option: 1})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("canvas_size", [12]),
        ("canvas_size", [0, 16]),
        ("ignore_label", 256),
        ("stuff_classes", [-1]),
        ("save_sem", "perhaps"),
        ("pred_template", "%d.png"),
        ("score_thresh", None),
    ],
)
def test_value_that_does_not_fit(fails, option, value):
    fails(r"options\.json", option, **{option: value})


@pytest.mark.parametrize(("content", "message"), [("[]", "an object of options"), ("{", "not valid JSON")])
def test_options_file_of_another_kind(tree, content, message):
    path = tree / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"bad\.json.*{message}"):
        main(["clean", "--root", str(tree), "--split", "train", "--options", str(path)])


@pytest.mark.parametrize(("split", "message"), [("test", "test set"), ("trian", "Unknown split option")])
def test_split(tree, split, message):
    with pytest.raises(ValueError, match=message):
        main(["clean", "--root", str(tree), "--split", split])


def test_root_without_data(tmp_path):
    with pytest.raises(ValueError, match=r"data/Cityscapes: no such folder; --root"):
        main(["clean", "--root", str(tmp_path), "--split", "train"])


def test_lists(tree, fails):
    fails("lists/absent.txt: no such file", list_path="lists/absent.txt")
    (tree / "empty.txt").write_text("\n")
    fails(r"empty\.txt: holds no image ids", arguments=["--list", str(tree / "empty.txt")])
    (tree / "binary.txt").write_bytes(b"\xff\xfe\x00")
    fails(r"binary\.txt: not a list", arguments=["--list", str(tree / "binary.txt")])


@pytest.mark.parametrize(("command", "file"), [("clean", "pred_sem_raw"), ("boxes", "gtFine/train/nowhere")])
def test_list_names_an_absent_image(tree, fails, command, file):
    (tree / "list.txt").write_text(f"{IDS[0]}\nnowhere_000000_000001\n")
    fails(
        "image nowhere_000000_000001: ",
        file,
        "no such file",
        command=command,
        arguments=["--list", str(tree / "list.txt")],
    )


def test_workers(fails):
    fails("--workers must be at least 1", arguments=["--workers", "0"])


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("which", FILES)
def test_missing_file(tree, fails, which, workers):
    (tree / FILES[which]).unlink()
    fails(f"image {BROKEN}: ", FILES[which], "no such file", arguments=["--workers", workers])


@pytest.mark.parametrize("which", IMAGES)
@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "colour", "16 bits"])
def test_broken_png(tree, fails, which, kind):
    path = tree / FILES[which]
    content = path.read_bytes()
    if kind == "colour":
        write_png(path, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    elif kind == "16 bits":
        write_png(path, np.zeros((HEIGHT, WIDTH), np.uint16))
    else:
        path.write_bytes({"empty": b"", "text": b"no image", "truncated": content[: len(content) // 2]}[kind])
    fails(f"image {BROKEN}: ", FILES[which])


@pytest.mark.parametrize("which", ["pred", "scores", "box masks", "gt"])
@pytest.mark.parametrize("size", [(HEIGHT - 1, WIDTH), (HEIGHT, WIDTH - 1), (1, 1), (WIDTH, HEIGHT)])
def test_wrong_size(tree, fails, which, size):
    if which == "scores":
        savemat(tree / FILES[which], {"feat": np.ones(size, np.float32)})
    else:
        write_png(tree / FILES[which], np.zeros(size, np.uint8))
    both = [rf"\({size[0]}, {size[1]}\)", rf"\({HEIGHT}, {WIDTH}\)"]
    fails(f"image {BROKEN}: ", FILES[which], *both, "nothing is resized", "replace")


def test_prediction_larger_than_the_canvas(tree, fails):
    write_png(tree / FILES["pred"], np.zeros((HEIGHT + 1, WIDTH), np.uint8))
    fails(FILES["pred"], rf"\({HEIGHT + 1}, {WIDTH}\), canvas_size", "set canvas_size")


def test_crops_that_the_rule_can_not_place(fails):
    fails("schk_crop_size", "canvas_size", "two tiles", "smaller crops", schk_crop_size=[8, WIDTH])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": 1.0}, r"expected a struct dets with the field annotation, found other"),
        ({"dets": 1.0}, "expected a struct dets"),
        ({"dets": {"other": 1.0}}, "expected a struct dets"),
        ({"dets": {"annotation": np.ones((1, 3))}}, "object 1: expected a struct with the fields name"),
        ({"dets": {"annotation": {"object": {"name": "car"}}}}, "object 1: expected a struct"),
        (
            {"dets": {"annotation": {"object": object_of(name="cab")}}},
            "object 1: unknown class 'cab'; did you mean 'car'",
        ),
        (
            {"dets": {"annotation": {"object": object_of(name="Xylophone")}}},
            "unknown class 'Xylophone'; known are road",
        ),
        ({"dets": {"annotation": {"object": object_of(is_grp="yes")}}}, "'0' or '1' for is_grp"),
        ({"dets": {"annotation": {"object": object_of(bndbox={"xmin": "1"})}}}, "whole numbers as text for xmin"),
        (
            {
                "dets": {
                    "annotation": {"object": object_of(bndbox=dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), "a"))}
                }
            },
            "whole numbers as text",
        ),
    ],
)
def test_foreign_file_of_boxes(tree, fails, content, message):
    savemat(tree / FILES["boxes"], content)
    fails(f"image {BROKEN}: ", FILES["boxes"], message)


@pytest.mark.parametrize(
    "content", [{"names": np.array(["a"], object)}, {"feat": np.ones((2, 2, 2))}, {"feat": "text"}, {}]
)
def test_foreign_file_of_scores(tree, fails, content):
    savemat(tree / FILES["scores"], content)
    fails(f"image {BROKEN}: ", FILES["scores"], "expected scores")


@pytest.mark.parametrize("which", ["boxes", "scores"])
def test_broken_mat(tree, fails, which):
    path = tree / FILES[which]
    content = path.read_bytes()
    for broken in (
        b"",
        b"no MATLAB",
        content[:60],
        content[: len(content) - 40],
        content[:140] + bytes(99) + content[239:],
    ):
        path.write_bytes(broken)
        fails(f"image {BROKEN}: ", FILES[which])


def test_mat_of_version_7_3(tmp_path):
    path = tmp_path / "new.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["feat"] = np.ones((2, 2))
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    with pytest.raises(ValueError, match=r"new\.mat: is a MATLAB file of version 7\.3; save it with the option -v7"):
        read_scores(path)


def test_foreign_palette_and_names(tmp_path):
    path = tmp_path / "a.mat"
    for content in ({"cmap": np.ones((3, 3))}, {"cmap": np.full((256, 3), 2.0)}, {"other": 1.0}):
        savemat(path, content)
        with pytest.raises(ValueError, match=r"a\.mat: expected a palette"):
            read_palette(path)
    for content in ({"objectNames": np.ones(3)}, {"objectNames": np.array([1.0, "a"], object)}, {"other": 1.0}):
        savemat(path, content)
        with pytest.raises(ValueError, match=r"a\.mat: expected class names"):
            read_class_names(path)


@pytest.mark.parametrize("option", ["colormap_path", "objectNames_path"])
def test_chosen_palette_or_names_must_be_there(fails, option):
    fails(r"mine\.mat: no such file", **{option: "mine.mat"})


def test_instance_ids_beyond_the_classes(tree, fails):
    path = f"{DATA}/gtFine/train/birke/{BROKEN}_gtFine_instanceTrainIds.png"
    write_png(tree / path, np.full((HEIGHT, WIDTH), 19001, np.uint16))
    fails(f"image {BROKEN}: ", path, "class 19", command="boxes")


def test_photograph_of_another_size(tree, fails):
    (tree / "list.txt").write_text(BROKEN)
    path = f"{DATA}/leftImg8bit/train/birke/{NAME}.png"
    arguments = ["--list", str(tree / "list.txt")]
    fails(path, "no such file", command="boxes", arguments=arguments, visualise=True)
    write_png(tree / path, np.zeros((2, 2, 3), np.uint8))
    fails(path, r"\(2, 2\)", command="boxes", arguments=arguments, visualise=True)


def test_odd_but_legal_files_of_boxes(tmp_path):
    path = tmp_path / "boxes.mat"
    for annotation in (np.zeros((0, 0)), {"object": np.zeros((0, 0))}, {"folder": "x"}):
        savemat(path, {"dets": {"annotation": annotation}})
        assert len(read_boxes(path, CLASS_NAMES).classes) == 0
    without_group = {k: v for k, v in object_of().items() if k not in ("is_grp", "is_stuff")}
    savemat(path, {"dets": {"annotation": {"object": without_group}}})
    boxes = read_boxes(path, CLASS_NAMES)
    assert boxes.boxes_xyxy.tolist() == [[0, 1, 3, 4]]
    assert boxes.classes.tolist() == [13] and not boxes.iscrowd.any()


def test_palette_images_with_few_colours_are_read_as_indices(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 9, 9, 9, 7, 7, 7])
    image.putpixel((1, 0), 2)
    image.save(tmp_path / "two_bits.png")
    assert read_label(tmp_path / "two_bits.png").tolist() == [[0, 2]]
