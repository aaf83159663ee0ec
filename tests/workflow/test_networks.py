"""What the networks behind labels have seen, and what a model of concepts costs."""

from __future__ import annotations

import pytest
import yaml
from snakemake.utils import update_config

from pseudogt.config.dataset import REPOSITORY
from pseudogt.config.run import RunConfig
from pseudogt.costs.requirements import find_costs
from pseudogt.files.io import write_json
from pseudogt.workflow.given_files import GivenFiles
from pseudogt.workflow.networks import describe_networks, find_fast_rates
from pseudogt.workflow.run_facts import describe_provenance, digest_config

CLASSES = [
    {"name": "nucleus", "id": 1, "isthing": True, "color": "#ff0000", "prompt": "cell nucleus"},
    {"name": "ground", "id": 2, "isthing": False, "color": "#00ff00"},
]


@pytest.fixture
def model(tmp_path):
    """Folder that looks like a CLIPSeg until it is read."""
    write_json(tmp_path / "config.json", {"model_type": "clipseg"})
    write_json(tmp_path / "preprocessor_config.json", {})
    write_json(tmp_path / "tokenizer.json", {})
    (tmp_path / "model.safetensors").write_bytes(bytes(2_000_000))
    return tmp_path


def configure(model, **sections):
    cams = {"method": "concepts", "concept_model": str(model)}
    dataset = {"classes": CLASSES, "void_values": []}
    return RunConfig.model_validate({"name": "x", "dataset": dataset, "cams": cams, **sections})


def test_all_networks_with_weights_are_named_with_what_they_have_seen(model):
    found = describe_networks(configure(model, box_masks={"segmenters": ["sam", "network"], "sam_model": "s"}))
    assert [(each["section"], each["model"]) for each in found] == [
        ("cams", str(model)),
        ("box_masks", "box_masks.pt"),
        ("box_masks", "s"),
    ]
    assert "PhraseCut" in found[0]["has_seen"] and "COCO" in found[1]["has_seen"] and "people" in found[2]["has_seen"]
    jtsm = {"method": "jtsm", "weak_labels": {"tags": "image", "boxes": False}, "cams": {}}
    assert [each["model"] for each in describe_networks(configure(model, **jtsm))] == ["contours.pt", "ranker.npz"]
    assert describe_networks(configure(model, cams={}, box_masks={"segmenters": ["ellipse"]})) == []


@pytest.mark.parametrize("sections", [{"weak_labels": {"boxes": False}}, {"annotations": {"tags": "tags.csv"}}])
def test_without_boxes_no_segmenter_of_boxes_takes_part(model, sections):
    assert [each["section"] for each in describe_networks(configure(model, **sections))] == ["cams"]
    with_full = describe_networks(configure(model, full_labels={"images": "full.txt"}, **sections))
    assert [each["section"] for each in with_full] == ["cams", "box_masks"]


def test_the_manifest_names_them_and_its_digest_tells_prompts_apart(model):
    config = configure(model)
    facts = describe_provenance(config, "labels-0", ())
    assert facts["mask_networks"] == describe_networks(config)
    others = [CLASSES[0] | {"prompt": "nucleus"}, CLASSES[1]]
    changed = configure(model, dataset={"classes": others, "void_values": []})
    assert digest_config(changed) != facts["config_digest"]


def test_a_prompt_is_the_name_unless_it_is_given_and_no_other_stage_sees_it(model):
    config = configure(model)
    assert config.prompts == ["cell nucleus", "ground"]
    assert "prompt" not in config.model_dump_json(include={"dataset"})


def test_tags_alone_suffice_with_a_model_of_concepts(model):
    assert configure(model, weak_labels={"boxes": False}).uses_concepts
    assert not configure(model, weak_labels={"points": "things"}, provided={"cams": "x.h5"}).uses_concepts
    with pytest.raises(ValueError, match=r"set weak_labels\.boxes to true, .*cams\.method to concepts"):
        configure(model, weak_labels={"boxes": False}, cams={})


def test_a_model_is_looked_at_before_anything_runs(model):
    first = GivenFiles.read(configure(model), "", {}).weights["cams"]
    (model / "tokenizer.json").write_text("{} ")
    assert GivenFiles.read(configure(model), "", {}).weights["cams"] != first
    (model / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"cams\.concept_model: .*holds no tokenizer"):
        GivenFiles.read(configure(model), "", {})
    with pytest.raises(ValueError, match=r"cams\.concept_model: nowhere/at/all: no such folder"):
        GivenFiles.read(configure("nowhere/at/all"), "", {})


def test_its_weights_count_in_memory(model):
    plain, asked = (find_costs("cams", configure(model, **sections)) for sections in ({"cams": {}}, {}))
    assert asked.mb > plain.mb + 4 and asked.seconds_per_image > plain.seconds_per_image


def test_pretrained_weights_at_the_rate_of_random_ones_are_named():
    def find(**sections):
        return find_fast_rates(RunConfig.model_validate({"name": "x", "dataset": {"classes": CLASSES}, **sections}))

    pretrained = {"backbone": "resnet50", "weights": "IMAGENET1K_V2"}
    (line,) = find(segmenter=pretrained)
    assert line.startswith("segmenter.weights: with learning_rate 0.003 and backbone_rate 1, ")
    assert len(find(segmenter=pretrained, classifier=pretrained)) == 2
    assert not find(segmenter={**pretrained, "backbone_rate": 0.3}) and not find(segmenter={"backbone": "resnet50"})
    assert not find(segmenter={**pretrained, "learning_rate": 1e-4})
    assert not find(segmenter={**pretrained, "optimiser": "sgd", "learning_rate": 0.01})


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_of_the_repository_keep_their_pretrained_weights(path):
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    update_config(config, yaml.safe_load(path.read_text()))
    assert not find_fast_rates(RunConfig.model_validate(config | {"data_root": "somewhere"}))
