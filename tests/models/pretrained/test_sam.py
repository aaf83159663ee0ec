"""Segment Anything of every kind, with small random models: their masks mean nothing, but the laws hold."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from small_sam import SIDE, write_sam

from models.pretrained.loading import load_segmenters
from models.pretrained.sam import SamModel
from pseudogt.box_masks.prompts import NO_POINTS, PointPrompts
from pseudogt.box_masks.sam_folder import KINDS, find_sam
from pseudogt.box_masks.scene import BoxScene
from pseudogt.boxes import box_slices
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.files.io import read_json, write_json
from pseudogt.weak_labels.labelled import LabelledPixels

IMAGE = np.random.default_rng(0).integers(0, 255, (50, 91, 3), np.uint8)
BOXES = np.array([[10, 5, 60, 45], [0, 0, 1, 1], [0, 0, 91, 50], [80, 3, 91, 9], [30, 30, 31, 50]], np.int32)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder of a model of each kind, made when it is asked for."""
    made = {}

    def find(kind):
        if kind not in made:
            made[kind] = write_sam(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return find


@pytest.fixture(scope="module")
def models(folders):
    loaded = {}

    def find(kind):
        if kind not in loaded:
            loaded[kind] = SamModel.load(str(folders(kind)), CPU, torch.float32)
        return loaded[kind]

    return find


@pytest.fixture(params=KINDS)
def model(request, models):
    return models(request.param)


def test_the_kind_is_found_and_decides_the_network(folders, models):
    for kind, expected in KINDS.items():
        found = find_sam(str(folders(kind)))
        assert (found.kind, type(models(kind).network).__name__) == (kind, expected.network)
        assert models(kind).side == SIDE[kind]
        assert [path.name for path in found.files] == ["config.json", "preprocessor_config.json", "model.safetensors"]


def test_masks_have_the_size_of_their_boxes(model):
    for image in (IMAGE, IMAGE.transpose(1, 0, 2), np.tile(IMAGE, (3, 3, 1)), IMAGE[:1, :1]):
        height, width = image.shape[:2]
        boxes = np.minimum(BOXES, [width - 1, height - 1, width, height])
        boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]
        for box, found in zip(boxes, model.segment_boxes(image, boxes, [NO_POINTS] * len(boxes)), strict=True):
            assert found.shape == image[box_slices(box)].shape[:2] and found.dtype == np.float32
            assert ((found >= 0) & (found <= 1)).all()
    assert model.segment_boxes(IMAGE, np.zeros((0, 4), np.int32), []) == []


def test_a_later_kind_is_stretched_whatever_its_files_say_of_padding(folders, models, tmp_path):
    shutil.copytree(folders("sam2"), tmp_path, dirs_exist_ok=True)
    path = tmp_path / "preprocessor_config.json"
    write_json(path, read_json(path) | {"pad_size": {"height": 64, "width": 64}, "size": {"height": 32, "width": 32}})
    model = SamModel.load(str(tmp_path), CPU, torch.float32)
    assert model.embed_image(IMAGE).resized == (64, 64)
    found, expected = (m.segment_boxes(IMAGE, BOXES[:1], [NO_POINTS])[0] for m in (model, models("sam2")))
    np.testing.assert_array_equal(found, expected)


def test_boxes_in_batches_give_what_each_gives_alone(model):
    points = PointPrompts(np.array([[20.5, 15.5], [40.5, 20.5]]), np.array([True, False]))
    prompts = [points, NO_POINTS, NO_POINTS, NO_POINTS, NO_POINTS]
    together = model.segment_boxes(IMAGE, BOXES, prompts)
    assert together[0].std() > 1e-4
    for box, prompt, found in zip(BOXES, prompts, together, strict=True):
        np.testing.assert_allclose(found, model.segment_boxes(IMAGE, box[None], [prompt])[0], atol=1e-5)


def test_points_of_either_kind_change_the_mask(model):
    alone, *others = (
        model.segment_boxes(IMAGE, BOXES[:1], [prompt])[0]
        for prompt in (NO_POINTS, *(PointPrompts(np.array([[30.5, 20.5]]), np.array([side])) for side in (True, False)))
    )
    for first, second in ((alone, others[0]), (alone, others[1]), (others[0], others[1])):
        assert abs(first - second).max() > 1e-4


def test_masks_are_those_that_the_library_makes(models, folders):
    """SAM 2 resizes once, as we do; its own function gives the same mask of the whole image."""
    transformers = pytest.importorskip("transformers")
    processor = transformers.Sam2Processor(transformers.Sam2ImageProcessor.from_pretrained(folders("sam2")))
    model = models("sam2")
    inputs = processor(images=IMAGE, input_boxes=[[BOXES[0].tolist()]], return_tensors="pt")
    with torch.inference_mode():
        output = model.network(**{k: v for k, v in inputs.items() if k != "original_sizes"}, multimask_output=False)
    (masks,) = processor.post_process_masks(output.pred_masks, inputs["original_sizes"], binarize=False)
    expected = torch.sigmoid(masks[0, 0]).numpy()[box_slices(BOXES[0])]
    np.testing.assert_allclose(model.segment_boxes(IMAGE, BOXES[:1], [NO_POINTS])[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_may_compute_in_bfloat16(folders, models, kind):
    model = SamModel.load(str(folders(kind)), CPU, torch.bfloat16)
    found, exact = (m.segment_boxes(IMAGE, BOXES[:1], [NO_POINTS])[0] for m in (model, models(kind)))
    assert found.dtype == np.float32
    assert 0 < abs(found - exact).max() < 0.1


def test_a_scene_gives_its_labelled_pixels_to_the_model(folders):
    settings = BoxMasksSettings(segmenters=("sam",), sam_model=str(folders("sam")), device="cpu", precision="fp32")
    (prepare,) = load_segmenters(settings)
    columns = (np.array([value]) for value in (20, 30, 0, 0))
    labelled = LabelledPixels(*columns)
    threads = torch.get_num_threads()
    bare, marked = (prepare(BoxScene(IMAGE, BOXES, np.zeros(5, int), labelled=each)) for each in (None, labelled))
    assert torch.get_num_threads() == threads
    assert abs(bare(0) - marked(0)).max() > 1e-4
    np.testing.assert_array_equal(bare(3), marked(3))


def test_weights_that_are_missing_are_no_random_ones(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = write_sam(tmp_path, "sam")
    state = load_file(folder / "model.safetensors")
    del state["mask_decoder.mask_tokens.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors of a SamModel, mask_decoder\.mask_tokens\.weight among"):
        SamModel.load(str(folder), CPU, torch.float32)
    (folder / "model.safetensors").write_bytes(b"no model")
    with pytest.raises(ValueError, match="can't be read as a Segment Anything model"):
        SamModel.load(str(folder), CPU, torch.float32)


def test_other_kinds_are_errors_that_name_those_that_work(tmp_path):
    folder = write_sam(tmp_path, "sam")
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"model_type": "mask2former"})
    with pytest.raises(ValueError, match=r"says model_type 'mask2former'; .* sam, sam_hq, sam2, sam2_video") as caught:
        SamModel.load(str(folder), CPU, torch.float32)
    assert str(folder) in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(folders):
    settings = BoxMasksSettings(segmenters=("sam",), sam_model=str(folders("sam")), device="cuda")
    with pytest.raises(ValueError, match="torch finds no GPU"):
        load_segmenters(settings)
