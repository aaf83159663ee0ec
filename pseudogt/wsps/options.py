"""Every option of the authors' ``get_opts`` and of their box script, by their names and with their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from pseudogt.config.base import Section, describe_validation_error
from pseudogt.files.io import read_json

SPLITS = {"train": "gtFine", "train_extra": "gtCoarse", "val": "gtFine"}
"""Split -> folder of its ground truth, which is also a part of the ground truth's file names."""

DEFAULT_COLORMAP_PATH = "colormapcs.mat"
DEFAULT_NAMES_PATH = "objectName19.mat"

TrainId = Annotated[int, Field(ge=0, le=255)]
Pixels = Annotated[int, Field(ge=1)]
Template = Annotated[str, Field(pattern="^[^%]*%s[^%]*$")]


class Options(Section):
    """Options of both commands; one file may serve both.

    Relative folders lie under ``data_root`` or ``pred_root``, and these under the root of the tree.
    In templates ``%s`` stands for the image id.
    """

    data_root: str = Field("data/Cityscapes", description="Ground truth, boxes and lists.")
    pred_root: str = Field("results", description="All inputs and outputs other than ground truth.")
    list_path: str = Field(description="Under data_root: one image id a line.")
    gt_label_dir: str = Field(description="Under data_root: ground truth; the folder of the city is added.")
    gt_label_template: Template = Field(description="Semantic ground truth, source of the crop tags.")
    annotation_dir: str = Field(description="Under data_root: boxes; `boxes` writes them, `clean` reads them.")
    annotation_template: Template = "%s_leftImg8bit.mat"
    objectNames_path: str = Field(  # noqa: N815 (the authors' name)
        DEFAULT_NAMES_PATH, description="Class names by train id; built in where there is no such file."
    )
    colormap_path: str = Field(DEFAULT_COLORMAP_PATH, description="Palette; built in where there is no such file.")

    canvas_size: tuple[Pixels, Pixels] = Field((1024, 2048), description="Height and width of all images.")
    ignore_label: TrainId = 255
    stuff_classes: tuple[TrainId, ...] = Field(tuple(range(11)), description="Train ids.")
    thing_classes: tuple[TrainId, ...] = Field(tuple(range(11, 19)), description="Train ids.")

    is_panoptic: bool = Field(True, description="`boxes`: full-image boxes of stuff classes, too.")
    incl_grps: bool = Field(True, description="`boxes`: boxes around groups, too.")
    visualise: bool = Field(False, description="`boxes`: a drawing beside each file of boxes.")

    pred_dir: str = Field("pred_sem_raw", description="Under pred_root: predictions; CAMs in the first round.")
    pred_template: Template = "%s_leftImg8bit.png"
    pred_score_dir: str = Field("pred_flat_feat", description="Under pred_root: scores of the predictions.")
    pred_score_template: Template = "%s_leftImg8bit.mat"
    mcg_and_grabcut_dir: str = Field(description="Under pred_root: box masks.")
    mcg_and_grabcut_template: Template = "%s_leftImg8bit.png"
    sem_save_dir: str = Field("pred_sem_clean", description="Under pred_root: semantic labels.")
    ins_save_dir: str = Field("pred_ins_clean", description="Under pred_root: instance labels.")

    run_score_thresh: bool = Field(True, description="Step 1: ignore pixels with a score below score_thresh.")
    score_thresh: float = 0.99
    run_check_image_level_tags: bool = Field(True, description="Step 2: ignore classes without a tag in a crop.")
    schk_crop_size: tuple[Pixels, Pixels] = Field((400, 500), description="Height and width of a crop.")
    run_merge_with_mcg_and_grabcut: bool = Field(True, description="Step 3: merge with the box masks.")
    run_apply_bbox_prior: bool = Field(True, description="Step 4: ignore things outside the boxes of their class.")
    run_check_low_iou: bool = Field(True, description="Step 5: fill boxes that their class covers too little.")
    ichk_thresh: float = Field(0.5, description="Boxes covered by less than this share are filled.")
    ichk_do_not_alter_existing_things: bool = Field(True, description="Fill where no thing is, only.")
    run_ins_box_process: bool = Field(True, description="Cut things into instances by the boxes.")

    force_overwrite: bool = Field(True, description="Make files again that are there.")
    save_sem: bool = Field(True, description="Write semantic labels.")
    save_ins: bool = Field(True, description="Write instance labels; off without run_ins_box_process.")
    visualise_results: bool = Field(False, description="`clean`: a figure of the last image processed.")


def make_defaults(split: str, dataset: str = "cityscapes") -> dict[str, Any]:
    """Defaults of the options that depend on the split: the authors' ``get_opts``.

    Raises
    ------
    ValueError
        For another dataset, for the test set and for an unknown split, in the authors' words.
    """
    if dataset != "cityscapes":
        raise ValueError(f"Unknown dataset option {dataset!r}, known is cityscapes")
    if split == "test":
        raise ValueError("Cannot post-process inferences on the test set.")
    if split not in SPLITS:
        raise ValueError(f"Unknown split option. Got {split!r}, known are {', '.join(SPLITS)}")
    kind = SPLITS[split]
    return {
        "list_path": f"lists/{split}_id.txt",
        "gt_label_dir": f"{kind}/{split}",
        "gt_label_template": f"%s_{kind}_labelTrainIds.png",
        "annotation_dir": f"{kind}_bboxes/{split}/panoptic",
        "mcg_and_grabcut_dir": f"mcg_and_grabcut/{split}",
    }


def read_options(path: Path | None, split: str) -> Options:
    """Defaults of the split, overridden by the JSON object in ``path``.

    Raises
    ------
    ValueError
        Naming the file and the option: one that is unknown (with the nearest known one) or has a
        value that does not fit.

    Notes
    -----
    As in the authors' box script, boxes without stuff lie in ``thing-only`` instead of
    ``panoptic``, unless ``annotation_dir`` says otherwise.
    """
    defaults = make_defaults(split)
    given = {} if path is None else read_json(path)
    if not isinstance(given, dict):
        raise ValueError(f"{path}: expected an object of options, found {type(given).__name__}")
    try:
        options = Options.model_validate({**defaults, **given})
    except ValidationError as error:
        problems = "; ".join(describe_validation_error(error, Options).splitlines())
        raise ValueError(f"{path}: {problems}") from error
    if not options.is_panoptic and "annotation_dir" not in given:
        return options.model_copy(update={"annotation_dir": f"{SPLITS[split]}_bboxes/{split}/thing-only"})
    return options
