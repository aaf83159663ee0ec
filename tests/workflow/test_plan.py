"""Which files a run makes and from what."""

from __future__ import annotations

import json
import re

import pytest

from pseudogt.config.run import RunConfig
from pseudogt.reporting.report import SUPERVISION_NAMES
from pseudogt.workflow.assignment import assign_shards, find_data_root, find_odd_shards
from pseudogt.workflow.entries import select_entries
from pseudogt.workflow.networks import list_initial_networks
from pseudogt.workflow.plan import RunPlan
from pseudogt.workflow.provenance import find_first_party_modules
from pseudogt.workflow.run_facts import describe_provenance, digest_config, name_supervision
from pseudogt.workflow.subjects import EXPORT_PATTERN, SUBJECT_PATTERN, find_subject

DATASET = {"classes": "configs/classes/streets.csv", "void_values": []}
SHARDS = {"train-0000": ["a", "b"], "train-0001": ["c"], "val-0000": ["v"]}
JTSM = {"method": "jtsm", "weak_labels": {"tags": "image", "boxes": False}}
CONCEPTS = {"cams": {"method": "concepts", "concept_model": "folder"}}
WITHOUT_TRUTH = {
    "data_root": "photos",
    "dataset": {"format": "images", "train_split": "images", "classes": {"a": "thing", "b": "stuff"}},
    "annotations": {"format": "yolo", "path": "labels", "background": "outside_boxes"},
}


def configure(**sections):
    return RunConfig.model_validate({"name": "x", "dataset": DATASET, **sections})


def plan(*, full=(), **sections):
    return RunPlan(configure(**sections), SHARDS, frozenset(full))


def test_files_of_shards_by_split():
    run = plan()
    assert run.list_train("index/{shard}.json") == [f"results/x/index/train-000{i}.json" for i in (0, 1)]
    assert run.list_val("labels/{round}/{shard}") == ["results/x/labels/{round}/val-0000"]
    assert run.list_all("a/{shard}") == run.list_split("train", "a/{shard}") + run.list_split("val", "a/{shard}")
    assert run.image_count == 4


@pytest.mark.parametrize(("rounds", "shown"), [(1, "01"), (2, "012"), (3, "0123"), (9, "0369")])
def test_report_shows_labels_of_at_most_four_rounds(rounds, shown):
    labels = plan(rounds={"max": rounds}).shown_labels
    assert list(labels) == list(shown)
    assert labels["0"] == ["results/x/labels/0/train-0000", "results/x/labels/0/train-0001"]


def test_trainings_measure_themselves_on_val_unless_weak_labels_were_given():
    assert plan().list_measured_val("index/{shard}.json") == ["results/x/index/val-0000.json"]
    assert plan(**WITHOUT_TRUTH).list_measured_val("index/{shard}.json") == []


@pytest.mark.parametrize(
    ("sections", "number", "expected"),
    [
        ({}, 0, ("cams/s.h5", [], ["box_masks/s"], [])),
        ({}, 1, ("predictions/0/s.h5", ["cams/s.h5"], ["box_masks/s"], [])),
        ({}, 5, ("predictions/4/s.h5", ["cams/s.h5"], [], [])),
        ({"labels": {"first_scores_weight": 0}}, 1, ("predictions/0/s.h5", [], ["box_masks/s"], [])),
        (JTSM, 0, ("mined/s.h5", [], [], ["mined/s"])),
        (JTSM, 2, ("predictions/1/s.h5", ["mined/s.h5"], [], ["predictions/1/s"])),
        (CONCEPTS, 0, ("cams/s.h5", [], ["box_masks/s"], ["concepts/s"])),
        (CONCEPTS, 1, ("predictions/0/s.h5", ["cams/s.h5"], ["box_masks/s"], ["predictions/0/s"])),
        (CONCEPTS | {"provided": {"cams": "x"}}, 0, ("cams/s.h5", [], ["box_masks/s"], [])),
    ],
    ids=[
        "first",
        "second",
        "after the box masks",
        "without first scores",
        "mined",
        "mined, later",
        "concepts",
        "concepts, later",
        "provided",
    ],
)
def test_labels_of_a_round_are_made_from_the_round_before(sections, number, expected):
    sections = {"labels": {"first_scores_weight": 0.5}} | sections
    run = plan(rounds={"max": 6}, **sections)
    found = (
        run.find_scores(number, "s"),
        run.find_mixed_scores(number, "s"),
        run.find_box_masks(number, "s"),
        run.find_instances(number, "s"),
    )
    scores, *lists = expected
    assert found == (f"results/x/{scores}", *([f"results/x/{path}" for path in paths] for paths in lists))


def test_round_starts_from_the_model_before_or_from_scratch():
    assert plan().find_initial_model(0) == []
    assert plan().find_initial_model(2) == ["results/x/segmenter/1/model.pt"]
    assert plan(rounds={"init": "scratch"}).find_initial_model(2) == []
    assert plan().list_records(2) == [f"results/x/segmenter/{i}/record.json" for i in (0, 1)]
    assert plan().find_previous("labels/{round}/{shard}", 0, "s") == []
    assert plan().find_previous("labels/{round}/{shard}", 3, "s") == ["results/x/labels/2/s"]


def test_training_of_a_round_does_not_depend_on_how_many_may_or_must_follow():
    two, nine, all_nine = (plan(rounds={"max": a, "min": b}) for a, b in ((2, 2), (9, 2), (9, 9)))
    for number in (0, 1):
        assert two.describe_rounds(number) == nine.describe_rounds(number) == all_nine.describe_rounds(number)
    # Whether round 8 is trained depends on losses, unless nine rounds are the least.
    assert (nine.describe_rounds(8)["max"], nine.describe_rounds(8)["min"]) == (9, 1)
    assert all_nine.describe_rounds(8)["min"] == 9
    assert "box_mask_rounds" not in two.describe_rounds(1)


@pytest.mark.parametrize(
    ("name", "split", "files", "options"),
    [
        ("cams", "train", "cams/{shard}.h5", ("first-scores", "")),
        ("box_masks", "train", "box_masks/{shard}", ("labels", "--things-only")),
        ("mined", "train", "mined/{shard}", ("labels", "")),
        ("mining", "val", "mined/{shard}", ("labels", "--scored")),
        ("labels-12", "train", "labels/12/{shard}", ("labels", "")),
        ("model-0", "val", "predictions/0/{shard}", ("labels", "--scored")),
        ("reference", "val", "reference_predictions/{shard}", ("labels", "--scored")),
    ],
)
def test_subjects_of_the_evaluation(name, split, files, options):
    assert re.fullmatch(SUBJECT_PATTERN, name)
    subject = find_subject(name)
    assert (subject.split, subject.files, (subject.option, subject.flag)) == (split, files, options)
    assert plan().list_scored(name) == plan().list_split(split, files)
    assert plan().list_truth(name) == plan().list_split(split, "ground_truth/{shard}")


def test_detections_are_scored_where_there_are_objects():
    """Boxes of VOC 2007 are no full labels: they have no PQ, but AP and CorLoc."""
    assert plan().list_measures() == [], "method: wsps has no detections"
    ap, corloc = "results/x/evaluation/ap.json", "results/x/evaluation/corloc.json"
    assert plan(**JTSM).list_measures() == [ap, corloc]
    assert plan(**JTSM).list_paper_measures() == [ap], "the paper has CorLoc of VOC 2007 alone"
    voc = {**JTSM, "dataset": {"format": "voc2007", "classes": {"cat": "thing"}}, "annotations": {"tags": "tags.csv"}}
    assert plan(**voc, data_root="somewhere").list_paper_measures() == [ap, corloc]
    assert plan(**voc, data_root="somewhere").list_scores(["mining"]) == []


@pytest.mark.parametrize("name", ["summary", "labels", "model-", "cams-0", "reference-1", "labels-0-train"])
def test_what_is_no_subject(name):
    assert not re.fullmatch(SUBJECT_PATTERN, name)


def test_nothing_is_scored_without_ground_truth():
    assert plan().list_scores(["cams", "model-1"]) == [
        "results/x/evaluation/cams.json",
        "results/x/evaluation/model-1.json",
    ]
    assert plan(**WITHOUT_TRUTH).list_scores(["cams"]) == []
    assert plan(rounds={"max": 2}).list_rounds("model") == ["model-0", "model-1"]
    assert plan(**WITHOUT_TRUTH).list_measures() == []
    assert plan(**JTSM).first_stages == ["mined", "mining"]


@pytest.mark.parametrize(
    ("section", "subject", "split"),
    [
        ({}, "labels-2", "train"),
        ({"round": 0}, "labels-0", "train"),
        ({"source": "predictions"}, "predictions-1-train", "train"),
        ({"source": "predictions", "round": 0, "split": "val"}, "predictions-0-val", "val"),
    ],
)
def test_what_is_exported(section, subject, split):
    run = plan(rounds={"max": 2}, export=section)
    assert run.export_subject == subject
    assert re.fullmatch(EXPORT_PATTERN, subject)
    assert run.list_exported(subject, "{shard}") == run.list_split(split, "{shard}")
    source, number = subject.split("-")[:2]
    assert run.find_exported(subject, "s") == f"results/x/{source}/{number}/s"
    facts = describe_provenance(run.config, subject, frozenset())
    assert facts["subject"] == {"source": source, "round": int(number), "split": split}


def test_reviewed_labels_and_their_scores():
    for sections, scores in (
        ({"rounds": {"max": 2}}, "predictions/1"),
        ({"review": {"round": 0}}, "cams"),
        ({"review": {"round": 0}, **JTSM}, "mined"),
    ):
        run = plan(**sections)
        assert run.find_scores(run.review_round, "s") == f"results/x/{scores}/s.h5"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"review": {"round": 3}}, "review.round is 3; the last round of labels is 2"),
        ({"export": {"round": 3}}, "export.round is 3; the last round of labels is 2"),
        (
            {"export": {"source": "predictions", "round": 2}},
            "export.round is 2; the last round of predictions is 1",
        ),
    ],
)
def test_rounds_that_there_are_not(sections, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        plan(rounds={"max": 2}, **sections)


def test_full_labels_stand_between_given_and_final_weak_labels():
    assert plan().find_given_weak_labels() == "results/x/weak_labels/{shard}.json"
    assert plan().find_full_labels("train-0000") == []
    run = plan(full_labels={"images": "full.txt"}, full=["b"])
    assert run.find_given_weak_labels() == "results/x/weak_labels_given/{shard}.json"
    assert run.find_full_labels("train-0001") == ["results/x/full_labels/train-0001"]
    assert run.find_listed_truth("train-0000") == ["results/x/ground_truth/train-0000"]
    assert run.find_listed_truth("train-0001") == []
    assert run.list_full_ids("train-0000") == ["b"]
    assert describe_provenance(run.config, "labels-0", {"b"})["full_labels"]["of_the_dataset"] == 1


def test_what_box_masks_and_mining_read():
    assert plan(box_masks={"segmenters": ["network"]}).find_box_proposals("s") == []
    assert plan(box_masks={"segmenters": ["proposal"]}).find_box_proposals("s") == ["results/x/proposals/s.h5"]
    assert plan(box_masks={"segmenters": ["grabcut"], "cam_prior": True}).find_box_cams("s") == ["results/x/cams/s.h5"]
    assert plan(**JTSM).find_mining_weights() == ["results/x/classifier/model.pt"]
    looking = {"decoder": True, "overlap_power": 4}
    assert plan(mining=looking, **JTSM).find_ranking_classifier() == ["results/x/classifier/model.pt"]
    assert plan(**JTSM).find_ranking_classifier() == []
    assert plan(mining={"init": "scratch"}, **JTSM).find_mining_weights() == []
    name = {"init": "weights", "backbone": "resnet18", "weights": "IMAGENET1K_V1"}
    assert plan(mining=name, **JTSM).find_mining_weights() == []  # of torchvision, no file


def test_initial_weights_of_mining_that_are_a_file_are_an_input(tmp_path):
    """Those of a ResNet-WS even if they are missing, so that Snakemake says so before anything is computed."""
    (tmp_path / "w.pth").write_bytes(b"")
    for backbone, file in (("resnet18", str(tmp_path / "w.pth")), ("resnet_ws18", "missing.pkl")):
        settings = {"init": "weights", "backbone": backbone, "weights": file}
        assert plan(mining=settings, **JTSM).find_mining_weights() == [file]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, "crop_tags+boxes"),
        (JTSM, "image_tags"),
        (WITHOUT_TRUTH, "image_tags+boxes"),
        ({"provided": {"weak_labels": "w.json"}}, "provided"),
        ({"full_labels": {"images": "full.txt"}}, "crop_tags+boxes+full"),
        ({"weak_labels": {"points": "all", "boxes": False}}, "crop_tags+points_of_all"),
        ({"weak_labels": {"scribbles": "things", "boxes": False}}, "crop_tags+scribbles_of_things"),
    ],
)
def test_supervision(sections, expected):
    assert name_supervision(configure(**sections)) == expected
    assert set(expected.split("+")) <= SUPERVISION_NAMES.keys(), "the report has words for each part"


def test_only_sets_that_may_hold_marks_have_them_counted():
    assert plan().list_marked() == []
    for kind in ("points", "scribbles"):
        derived = plan(weak_labels={kind: "stuff"})
        assert derived.list_marked() == derived.list_train("weak_labels/{shard}.json") != []
    assert plan(provided={"weak_labels": "w.json"}).list_marked()


def test_digest_leaves_out_what_no_label_depends_on():
    digests = [
        digest_config(configure(**sections))
        for sections in ({}, {"threads": 7, "report": {"examples": 1}}, {"segmenter": {"steps": 7}})
    ]
    assert digests[0] == digests[1] != digests[2]


def test_images_keep_their_recorded_shards(folder_dataset, folder_settings, tmp_path):
    config = configure(dataset=folder_settings.model_dump(), data_root=str(folder_dataset), shard_size=2)
    fresh, pixels, _ = assign_shards(config, tmp_path / "index.json")
    assert fresh["train-0000"] == ["a", "b"]
    assert pixels == 20 * 30
    (tmp_path / "index.json").write_text(json.dumps({"shards": {"train-0000": ["b"], "val-0000": ["c"]}}))
    assert assign_shards(config, tmp_path / "index.json")[0]["train-0000"] == ["b", "a"]


@pytest.mark.parametrize("text", ["", '{"shards": {"tra', "[]", '{"shards": {"train-0000": 3}}'])
def test_a_record_of_shards_that_was_cut(folder_dataset, folder_settings, tmp_path, text):
    config = configure(dataset=folder_settings.model_dump(), data_root=str(folder_dataset))
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(ValueError, match=r"index\.json: can't be read as the shards of an earlier run; delete it"):
        assign_shards(config, tmp_path / "index.json")


def test_new_images_to_predict_need_no_dataset(tmp_path):
    config = configure(images=str(tmp_path), dataset={**DATASET, "format": "folder"})
    assert assign_shards(config, tmp_path / "index.json")[0] == {}
    assert find_data_root(config) == ""


def test_odd_shards_are_named():
    assert find_odd_shards(SHARDS, 2) == []
    warnings = find_odd_shards({"train-0000": ["a"]}, 64)
    assert [warning.split(":")[0] for warning in warnings] == [
        "no image in val",
        "only one image in train",
        "shard_size 64 exceeds the 1 images",
    ]


TIMM = {"backbone": "timm/resnet50", "weights": "a1_in1k"}


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, {}),
        ({"segmenter": {"backbone": "resnet50"}}, {}),
        ({"segmenter": {"backbone": "resnet50", "weights": "IMAGENET1K_V2"}}, {"segmenter": (4, False)}),
        ({"segmenter": TIMM, "classifier": TIMM | {"levels": 3}}, {"segmenter": (4, False), "classifier": (3, False)}),
        ({"mining": TIMM | {"init": "weights"}}, {}),
        (JTSM | {"mining": TIMM | {"init": "weights"}}, {"mining": (4, True)}),
        (JTSM | {"mining": TIMM | {"init": "weights", "levels": 2}}, {"mining": (2, False)}),
        (
            JTSM | {"mining": {"backbone": "timm/resnet50"}, "classifier": TIMM | {"levels": 3}},
            {"mining": (3, True), "classifier": (3, False)},
        ),
        (
            JTSM | {"mining": {"backbone": "timm/resnet50", "decoder": True}, "classifier": TIMM},
            {"classifier": (2, False)},
        ),
        (JTSM | {"mining": {"backbone": "resnet_ws18", "init": "weights", "weights": "file.pkl"}}, {}),
        (CONCEPTS | {"classifier": TIMM}, {}),
    ],
    ids=[
        "small",
        "random",
        "torchvision",
        "timm",
        "unused",
        "mining",
        "two levels",
        "classifier",
        "decoder",
        "ws",
        "concepts",
    ],
)
def test_backbones_that_are_looked_up_first(sections, expected):
    run = plan(**sections)
    networks = list_initial_networks(run.config)
    assert {name: (network.levels, network.dense) for name, network in networks.items()} == expected
    for section in ("classifier", "mining", "segmenter"):
        path = [f"results/x/backbones/{section}.json"] if section in expected else []
        assert run.find_network_check(section) == path


def test_a_network_whose_library_may_be_missing_is_looked_up_first():
    networks = list_initial_networks(configure(segmenter={"backbone": "small", "network": "mask_transformer"}))
    assert networks["segmenter"].network == "mask_transformer"
    assert "segmenter" not in list_initial_networks(configure(segmenter={"backbone": "small", "network": "bottom_up"}))


def test_code_of_a_stage_is_that_of_its_network():
    for name, other in (("bottom_up", "mask_transformer"), ("mask_transformer", "bottom_up")):
        for stage in ("segmenter", "predictions", "reference"):
            selected = select_entries(configure(segmenter={"network": name}), stage)
            modules = find_first_party_modules(f"pseudogt.stages.{stage}", selected)
            assert f"models.segmenter.{name}" in modules and f"models.segmenter.{other}" not in modules


def test_file_of_weights_is_an_input(tmp_path):
    file = tmp_path / "weights.pth"
    for weights, found in ((file, []), (None, [])):
        assert plan(segmenter={"weights": weights and str(weights)}).find_initial_weights("segmenter") == found
    file.touch()
    assert plan(segmenter={"weights": str(file)}).find_initial_weights("segmenter") == [str(file)]


def test_code_of_a_stage_is_that_of_its_backbone():
    config = configure(segmenter={"backbone": "timm/resnet50"}, classifier={"backbone": "resnet18"})
    for stage, names, families in (("segmenter", [], ["timm"]), ("classifier", ["resnet18"], [])):
        selected = select_entries(config, stage)
        assert selected["models.backbones.names"] == names and selected["models.backbones.families"] == families
        modules = find_first_party_modules(f"pseudogt.stages.{stage}", selected)
        assert ("models.backbones.timm_networks" in modules) == bool(families)
        assert ("models.backbones.resnet" in modules) == bool(names)
        assert "models.backbones.small" not in modules
