"""Function cases of the weak-panoptic authors' own label-generation code, bit for bit."""

from __future__ import annotations

import re

import numpy as np
import pytest
from golden_files import GOLDEN, needs_golden, read_golden_json

from pseudogt.boxes import box_areas, clip_boxes, fill_class_masks
from pseudogt.pseudo_labels.cleaning import (
    apply_box_prior,
    check_crop_tags,
    fill_low_coverage,
    find_crop_values,
    merge_box_masks,
)
from pseudogt.pseudo_labels.instances import assign_instances
from pseudogt.weak_labels.crops import paper_crop_grid
from pseudogt.wsps.boxes import InstanceBoxes, find_instance_boxes, half_open_to_inclusive, inclusive_to_half_open
from pseudogt.wsps.clean_labels import is_done
from pseudogt.wsps.drawing import LINE_WIDTH_PX, draw_boxes, plan_box_labels
from pseudogt.wsps.label_generation import ImageInputs, cut_instances, generate_labels
from pseudogt.wsps.mat_files import read_boxes, read_scores
from pseudogt.wsps.options import Options, make_defaults
from pseudogt.wsps.palette import make_palette, read_label

CASES_FOLDER = GOLDEN / "cases"
INDEX = read_golden_json("cases/index.json") or {"cases": []}
NAMES = INDEX.get("class_names", [])
OPTIONS_OF_THE_BOX_SCRIPT = {"is_panoptic", "incl_grps", "visualise"}  # no part of get_opts

pytestmark = needs_golden


def parse_boxes(objects: list[dict] | None) -> dict[str, np.ndarray]:
    objects = objects or []
    corners = [o.get("bbox") or [int(o[k]) for k in ("xmin", "ymin", "xmax", "ymax")] for o in objects]
    return {
        "boxes_xyxy": inclusive_to_half_open(corners),
        "classes": np.array([NAMES.index(o["name"]) for o in objects], int),
        "iscrowd": np.array([int(o.get("is_grp", 0)) for o in objects], bool),
    }


def run_find_instance_boxes(case: dict, arrays: dict) -> None:
    options = case["options"]
    found = find_instance_boxes(
        arrays["in_label"],
        stuff_ids=options["stuff_classes"],
        thing_ids=options["thing_classes"],
        num_classes=len(NAMES),
        ignore_label=options["ignore_label"],
        include_stuff=options["is_panoptic"],
        include_groups=options["incl_grps"],
    )
    objects = []
    corners = half_open_to_inclusive(found.boxes_xyxy)
    for box, train_id, crowd, stuff in zip(corners, found.classes, found.iscrowd, found.isstuff, strict=True):
        texts = [str(v) if box[2] >= 0 else "" for v in box]
        sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), texts, strict=True))
        objects.append({"name": NAMES[train_id], **sides, "is_grp": str(int(crowd)), "is_stuff": str(int(stuff))})
    assert (objects or None) == case["expected"]["dets"]


def run_fill_class_masks(case: dict, arrays: dict) -> None:
    shape = tuple(case["options"]["canvas_size"])
    boxes = parse_boxes(case["options"]["dets"])
    clipped = clip_boxes(boxes["boxes_xyxy"], shape)
    masks = fill_class_masks(clipped, boxes["classes"], shape)
    assert [c in masks for c in range(len(NAMES))] == case["expected"]["mask_present"]
    for c, expected in enumerate(arrays["out_masks"]):
        np.testing.assert_array_equal(masks.get(c, np.zeros(shape, bool)), expected)
    annotation = case["expected"]["bboxes"] or []
    assert half_open_to_inclusive(clipped).tolist() == [o["bbox"] for o in annotation]
    assert box_areas(clipped).tolist() == [o["area"] for o in annotation]
    assert boxes["classes"].tolist() == [o["class"] for o in annotation]


def run_apply_box_prior(case: dict, arrays: dict) -> None:
    boxes, pred = parse_boxes(case["options"]["dets"]), arrays["in_pred"]
    masks = fill_class_masks(boxes["boxes_xyxy"], boxes["classes"], pred.shape)
    things, ignore = case["options"]["thing_classes"], case["options"]["ignore_label"]
    result = apply_box_prior(pred, masks, thing_ids=things, ignore_label=ignore)
    np.testing.assert_array_equal(result, arrays["out_out"])


def check_tags(pred: np.ndarray, gt: np.ndarray, crop: list[int], options: dict) -> np.ndarray:
    crops = paper_crop_grid(*options["canvas_size"], *crop)
    return check_crop_tags(pred, crops, find_crop_values(gt, crops), ignore_label=options["ignore_label"])


def run_check_crop_tags(case: dict, arrays: dict) -> None:
    options = case["options"]
    result = check_tags(arrays["in_pred"], arrays["in_gt"], options["crop_size"], options)
    np.testing.assert_array_equal(result, arrays["out_out"])


def run_merge_box_masks(case: dict, arrays: dict) -> None:
    options = case["options"]
    result = merge_box_masks(
        arrays["in_mag"],
        arrays["in_pred"],
        stuff_ids=options["stuff_classes"],
        thing_ids=options["thing_classes"],
        ignore_label=options["ignore_label"],
    )
    np.testing.assert_array_equal(result, arrays["out_out"])


def run_fill_low_coverage(case: dict, arrays: dict) -> None:
    options = case["options"]
    boxes = parse_boxes(options["annotation"])
    result = fill_low_coverage(
        arrays["in_pred"],
        boxes["boxes_xyxy"],
        boxes["classes"],
        None if options["no_is_grp_field"] else boxes["iscrowd"],
        threshold=options["thresh"],
        keep_things=options["do_not_alter_existing_things"],
        ignore_label=options["ignore_label"],
    )
    np.testing.assert_array_equal(result, arrays["out_out"])


def run_assign_instances(case: dict, arrays: dict) -> None:
    ignore, boxes = case["options"]["ignore_label"], parse_boxes(case["options"]["annotation"])
    step = assign_instances(arrays["in_sem"], **boxes, ignore_label=ignore, ignore_id=ignore, max_id=255)
    np.testing.assert_array_equal(step.instances, arrays["out_out"])
    classes = boxes["classes"][step.box_indices].tolist()
    info = [{"ins_id": i, "name": NAMES[c], "class": c} for i, c in enumerate(classes, start=1)]
    assert info == case["expected"]["ins_info"]
    assert (len(step.missing) > 0) == case["expected"]["sanity_warning"]


def make_options(overrides: dict) -> Options:
    return Options.model_validate({**make_defaults("train"), **overrides})


def run_clean_label(case: dict, arrays: dict) -> None:
    overrides = {name: value for name, value in case["options"].items() if name != "dets"}
    inputs = ImageInputs(
        arrays["in_pred"],
        arrays["in_pred_scores"],
        arrays["in_gt_label"],
        arrays["in_mandg_pred"],
        make_instance_boxes(case["options"]["dets"]),
    )
    stages = generate_labels(inputs, make_options(overrides))
    assert sorted(f"out_{name}" for name in stages) == sorted(case["outputs"])
    for name, result in stages.items():
        np.testing.assert_array_equal(result, arrays[f"out_{name}"], err_msg=name)
        assert result.dtype == np.uint8


def make_instance_boxes(objects: list[dict] | None) -> InstanceBoxes:
    return InstanceBoxes(**parse_boxes(objects), isstuff=np.array([o["is_stuff"] == "1" for o in objects or []], bool))


def run_make_defaults(case: dict, arrays: dict) -> None:
    defaults = make_defaults(case["options"]["split"], case["options"]["dataset"])
    options = Options.model_validate(defaults).model_dump(mode="json", exclude=OPTIONS_OF_THE_BOX_SCRIPT)
    assert options == case["expected"]["opts"]


def run_is_done(case: dict, arrays: dict) -> None:
    *columns, _ = case["expected"]["table_columns"]  # the last is the outcome
    assert len(case["expected"]["table"]) == 32
    for row in case["expected"]["table"]:
        *switches, skip = map(bool, row)
        assert is_done(**dict(zip(columns, switches, strict=True))) == skip, row


def run_plan_box_labels(case: dict, arrays: dict) -> None:
    boxes, palette = make_instance_boxes(case["options"]["dets"]), make_palette()
    calls = case["expected"]["drawing_calls"]
    image = np.full((64, 96, 3), 7, np.uint8)
    if calls is None:
        np.testing.assert_array_equal(draw_boxes(image, boxes, NAMES, palette), image)
        return
    labels = plan_box_labels(boxes, NAMES, palette)
    shapes, texts = calls[0], calls[1:]
    assert shapes["line_width"] == LINE_WIDTH_PX
    assert [label.color.tolist() for label in labels] == shapes["color"]
    assert [to_matlab_rectangle(label.box_xyxy) for label in labels] == shapes["positions"]
    assert sorted({label.font_size for label in labels}, reverse=True) == [call["font"] for call in texts]
    for call in texts:
        group = [label for label in labels if label.font_size == call["font"]]
        assert [label.text for label in group] == call["texts"]
        assert [label.color.tolist() for label in group] == call["color"]
        assert [to_matlab_rectangle(label.box_xyxy)[:2] for label in group] == call["positions"]
    assert (draw_boxes(image, boxes, NAMES, palette) != image).any()


def to_matlab_rectangle(box_xyxy: np.ndarray) -> list[int]:
    """Position from 1, width and height."""
    x0, y0, x1, y1 = box_xyxy.tolist()
    return [x0 + 1, y0 + 1, x1 - x0, y1 - y0]


RUNNERS = {
    "instanceTrainId_to_dets": run_find_instance_boxes,
    "make_bbox_masks": run_fill_class_masks,
    "apply_bbox_prior": run_apply_box_prior,
    "check_image_level_tags": run_check_crop_tags,
    "merge_mag_and_pred": run_merge_box_masks,
    "check_low_iou": run_fill_low_coverage,
    "ins_box_process": run_assign_instances,
    "clean_label": run_clean_label,
    "get_opts": run_make_defaults,
    "save_results_skip": run_is_done,
    "visualise_bboxes": run_plan_box_labels,
}
ERRORS = {"merge_mag_and_pred": "differ in shape", "check_image_level_tags": "two tiles"}


@pytest.mark.parametrize("case", INDEX["cases"], ids=lambda c: f"{c['id']:03d}-{c['function']}")
def test_equals_the_authors_code(case: dict) -> None:
    arrays = {}
    if "file" in case:
        with np.load(CASES_FOLDER / case["file"]) as file:
            arrays = dict(file)
    if "error" in case["expected"]:
        words = ERRORS.get(case["function"]) or re.escape(case["expected"]["error"].rstrip("."))
        with pytest.raises(ValueError, match=words):
            RUNNERS[case["function"]](case, arrays)
        return
    RUNNERS[case["function"]](case, arrays)


def test_every_case_is_accounted_for() -> None:
    assert len(INDEX["cases"]) == 66
    assert {c["function"] for c in INDEX["cases"]} == set(RUNNERS)


@pytest.mark.parametrize("demo", ["merge", "iterative"])
def test_every_stage_of_the_full_size_demos(demo: str) -> None:
    """Every stage, the instances and the pixel counts at 1024x2048."""
    inputs, outputs = (GOLDEN / demo / name for name in ("inputs", "outputs"))
    expected = read_golden_json(f"{demo}/expected.json")
    options = make_options(expected["options_overrides"])
    image = ImageInputs(
        pred=read_label(inputs / "pred.png"),
        scores=read_scores(inputs / "pred_flat_feat.mat") if options.run_score_thresh else None,
        gt_label=read_label(inputs / "aachen_000000_000019_gtFine_labelTrainIds.png"),
        box_masks=read_label(inputs / "mcg_and_grabcut.png"),
        boxes=read_boxes(inputs / "bboxes.mat", NAMES),
    )
    stages = generate_labels(image, options)
    files = {path.stem: path for path in outputs.glob("pred_*.png")}
    assert set(files) == set(stages) - {"final_pred"}
    for name, path in files.items():
        np.testing.assert_array_equal(stages[name], read_label(path), err_msg=name)
    np.testing.assert_array_equal(stages["final_pred"], read_label(outputs / "sem.png"))
    instances = cut_instances(stages["final_pred"], image.boxes, options)
    np.testing.assert_array_equal(instances.ins_pred, read_label(outputs / "ins.png"))
    assert instances.classes.tolist() == [info["class"] for info in expected["ins_info"]]
    assert count_values(stages["final_pred"]) == expected["counts_final"]
    assert count_values(instances.ins_pred) == expected["counts_ins"]


def count_values(label: np.ndarray) -> dict[str, int]:
    values, counts = np.unique(label, return_counts=True)
    return dict(zip(map(str, values), counts.tolist(), strict=True))
