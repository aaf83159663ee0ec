"""Models that find what words name, small and random: their answers mean nothing, but the laws hold."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from small_concepts import write_concept_model

from models.pretrained.concepts import load_concept_model
from pseudogt.files.io import write_json
from pseudogt.pseudo_labels.concept_folder import KINDS, find_concept_model

IMAGE = np.random.default_rng(0).integers(0, 255, (50, 91, 3), np.uint8)
CPU = torch.device("cpu")
PROMPTS = ["car", "road", "a car"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder of a model of each kind, made when it is asked for."""
    made = {}

    def find(kind):
        if kind not in made:
            made[kind] = write_concept_model(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return find


def load(folder, dtype=torch.float32, **options):
    return load_concept_model(str(folder), PROMPTS, CPU, dtype, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_have_their_forms_and_depend_on_words(folders, kind):
    found = find_concept_model(str(folders(kind)))
    model = load(folders(kind))
    assert (found.kind, type(model.network).__name__) == (kind, KINDS[kind].network)
    answers = model.ask(IMAGE, [0, 1])
    assert list(answers) == [0, 1] and model.ask(IMAGE, []) == {}
    for answer in answers.values():
        assert answer.probability.dtype == np.float32 and 0 <= answer.probability.min() < answer.probability.max() <= 1
        assert answer.masks.shape == (len(answer.scores), *answer.probability.shape) and answer.masks.dtype == bool
        assert answer.tells_instances == (kind != "clipseg") and 0 <= answer.presence <= 1
    assert abs(answers[0].probability - answers[1].probability).max() > 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_answers_do_not_depend_on_what_else_is_asked(folders, kind):
    model = load(folders(kind))
    together, alone = model.ask(IMAGE, [0, 1, 2])[2], model.ask(IMAGE, [2])[2]
    np.testing.assert_allclose(together.probability, alone.probability, atol=1e-6)
    np.testing.assert_allclose(together.scores, alone.scores, atol=1e-6)


def test_sam3_answers_as_the_library_does(folders):
    transformers = pytest.importorskip("transformers")
    model = load(folders("sam3"))
    tokens = {key: value[:1] for key, value in model.tokens.items()}
    pixels = transformers.Sam3ImageProcessor.from_pretrained(folders("sam3"))(IMAGE, return_tensors="pt").pixel_values
    with torch.inference_mode():
        expected = model.network(pixel_values=pixels, **tokens)
    answer = model.ask(IMAGE, [0])[0]
    np.testing.assert_allclose(answer.probability, expected.semantic_seg[0, 0].sigmoid(), atol=1e-5)
    np.testing.assert_allclose(answer.scores, expected.pred_logits[0].sigmoid(), atol=1e-5)
    np.testing.assert_array_equal(answer.masks, expected.pred_masks[0] > 0)
    assert answer.presence == pytest.approx(expected.presence_logits.sigmoid().item(), abs=1e-5)
    kept = load(folders("sam3"), min_score=float(np.median(answer.scores))).ask(IMAGE, [0])[0]
    np.testing.assert_array_equal(kept.scores, answer.scores[answer.scores >= np.median(answer.scores)])


def test_clipseg_answers_as_the_library_does(folders):
    model = load(folders("clipseg"))
    pixels = model.processor(IMAGE, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        logits = model.network(pixel_values=pixels.expand(3, -1, -1, -1), **model.tokens).logits
    for position, answer in model.ask(IMAGE, [0, 1, 2]).items():
        np.testing.assert_allclose(answer.probability, logits[position].sigmoid(), atol=1e-5)


@pytest.mark.parametrize("kind", ["sam3", "clipseg"])
def test_the_encoder_may_compute_in_bfloat16(folders, kind):
    found, exact = (load(folders(kind), dtype).ask(IMAGE, [0])[0] for dtype in (torch.bfloat16, torch.float32))
    assert 0 < abs(found.probability - exact.probability).max() < 0.2


def test_prompts_that_do_not_fit_are_errors(folders):
    with pytest.raises(ValueError, match="the prompt 'locomotive' is too long: the model reads 8 tokens"):
        load_concept_model(str(folders("clipseg")), ["car", "locomotive"], CPU, torch.float32)


def test_models_that_do_not_work_are_errors(folders, tmp_path):
    shutil.copytree(folders("clipseg"), tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no model")
    with pytest.raises(ValueError, match="can't be read as a model of concepts"):
        load(tmp_path / "model")
    (tmp_path / "model" / "vocab.json").unlink()
    with pytest.raises(ValueError, match=r"holds no tokenizer\.json, nor vocab\.json and merges\.txt"):
        find_concept_model(str(tmp_path / "model"))
    write_json(tmp_path / "model" / "config.json", {"model_type": "sam"})
    with pytest.raises(ValueError, match=r"says model_type 'sam'; cams\.method: concepts works with sam3, "):
        find_concept_model(str(tmp_path / "model"))
