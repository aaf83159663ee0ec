"""Names that a shell would act on, in every setting that is a text and in file names: nothing they say is done."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import stand_in
from test_reruns import CLASSES, DatasetRun, write_image

TINY = Path(__file__).with_name("tiny.yaml")
HOSTILE = 'it\'s "a" ; touch hacked; $(touch hacked) `touch hacked` && touch hacked | * #'
IMAGE_IDS = [
    "; touch hacked;",
    "$(touch hacked)",
    "`touch hacked`",
    "it's",
    'say "a"',
    "a b",
    "a*",
    "&& touch hacked",
    "$HOME",
]


class HostileRun(DatasetRun):
    def __init__(self, workspace, place) -> None:
        super().__init__(workspace, place)
        self.data = place / HOSTILE

    def arguments(self, *more, **config):
        dataset = {"format": "folder", "classes": CLASSES, "void_values": [9]}
        settings = {
            "name": "made",
            "data_root": f"../{HOSTILE}",
            "shard_size": 4,
            "dataset": dataset | {"train_split": HOSTILE, "val_split": f"val {HOSTILE}"},
            "classifier": {"weights": HOSTILE},
            "segmenter": {"weights": HOSTILE},
            "cams": {"layer": HOSTILE},
            "export": {"image_prefix": HOSTILE},
        }
        path = self.place / "settings.json"
        path.write_text(json.dumps(settings | config))
        return ("--configfile", str(TINY), str(path), *more)


@pytest.fixture(scope="module")
def hostile(make_workspace, tmp_path_factory):
    place = tmp_path_factory.mktemp("hostile")
    stand_in.install(place / "bin")
    run = HostileRun(make_workspace(place / "run"), place)
    for number, image_id in enumerate(IMAGE_IDS):
        write_image(run.data, image_id, number)
    (run.data / f"{HOSTILE}.txt").write_text("".join(f"{i}\n" for i in IMAGE_IDS[:-2]))
    (run.data / f"val {HOSTILE}.txt").write_text("".join(f"{i}\n" for i in IMAGE_IDS[-2:]))
    run.run("--", "all", "export", "proposals", "weak_labels")
    return run


def assert_nothing_was_done(run):
    assert not list(run.place.rglob("hacked*"))
    assert not os.path.exists("hacked")


def test_data_folder_lists_images_and_settings(hostile):
    assert_nothing_was_done(hostile)
    read = [json.loads(path.read_text())["images"] for path in sorted((hostile.results / "index").glob("*.json"))]
    assert sorted(image["image_id"] for shard in read for image in shard) == sorted(IMAGE_IDS)


def test_provided_results_and_lists(hostile):
    given = hostile.place / f"given {HOSTILE}"
    given.mkdir()
    shutil.copy(hostile.results / "weak_labels.json", given / "weak labels; touch hacked.json")
    for name in ("scores $(touch hacked).h5", "only 'these'.txt"):
        (given / name).touch()
    (given / "masks `touch hacked`").mkdir()
    (given / "only 'these'.txt").write_text(f"{IMAGE_IDS[0]}\n")
    provided = {
        "weak_labels": f"{given}/weak labels; touch hacked.json",
        "cams": f"{given}/scores $(touch hacked).h5",
        "box_masks": f"{given}/masks `touch hacked`",
    }
    hostile.run("--", "labels", "export", name="given", provided=provided, export={"only": f"{given}/only 'these'.txt"})
    assert_nothing_was_done(hostile)


def test_predicted_images(hostile):
    images = hostile.place / f"new {HOSTILE}"
    shutil.copytree(hostile.data / "images", images)
    (images / "model; touch hacked.pt").touch()
    model, to = f"{images}/model; touch hacked.pt", f"../to {HOSTILE}"
    hostile.run("--", "predict", images=str(images), model=model, predict_to=to)
    assert (hostile.place / f"to {HOSTILE}" / "file").is_file()
    exported = f"../exported {HOSTILE}.onnx"
    hostile.run("--", "export_model", model=model, model_to=exported)
    hostile.run("--", "predict", images=str(images), model=exported, predict_to="../from the exported model")
    assert (hostile.place / "from the exported model" / "file").is_file()
    assert_nothing_was_done(hostile)
