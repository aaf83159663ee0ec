"""Each dataset as its archives unpack: what the readers make of a miniature with the settings in configs/."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from official_trees import make_cityscapes, make_coco2014, make_coco2017, make_voc2007, make_voc2012
from PIL import Image

from pseudogt.annotations import convert_annotations
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.config.dataset import REPOSITORY, DatasetSettings
from pseudogt.datasets import class_table, list_images
from pseudogt.datasets.coco_segments import compare_categories, find_unknown_classes, read_segment_table
from pseudogt.datasets.ground_truth import read_panoptic
from pseudogt.files.index import ImageRecord
from pseudogt.files.io import read_json, write_json


def load(name, **values):
    section = yaml.safe_load((REPOSITORY / f"configs/{name}.yaml").read_text())["dataset"]
    return DatasetSettings.model_validate(section | values)


def read(settings, root, split, image_id):
    return read_panoptic(list_images(settings, root).locate(image_id), settings, class_table(settings))


def count_pixels(panoptic_id):
    return dict(zip(*(v.tolist() for v in np.unique(panoptic_id, return_counts=True)), strict=True))


def test_cityscapes_with_train_extra(tmp_path):
    settings, root = load("cityscapes_train_extra"), make_cityscapes(tmp_path)
    ids = list_images(settings, root).ids
    assert ids["train"] == ["aachen_000000_000019", "bochum_000001_000019", "augsburg_000003_000000"]
    assert ids["val"] == ["lindau_000002_000019"]
    for image_id in ids["train"]:
        panoptic_id, crowds = read(settings, root, "train", image_id)
        assert count_pixels(panoptic_id) == {0: 30, 7000: 526, 24000: 20, 26001: 24} and crowds == [24000]
    assert "gtCoarse" in str(list_images(settings, root).locate(ids["train"][-1]).semantic)


def test_an_image_that_is_in_no_split_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is no image 'ulm_0_0' any more"):
        list_images(load("cityscapes_train_extra"), make_cityscapes(tmp_path)).locate("ulm_0_0")


class TestVoc2012:
    def test_splits(self, tmp_path):
        ids = list_images(load("voc2012"), make_voc2012(tmp_path)).ids
        assert ids == {"train": ["2007_000001", "2008_000003"], "val": ["2007_000002"]}

    def test_own_masks_with_void_borders(self, tmp_path):
        settings, root = load("voc2012"), make_voc2012(tmp_path)
        panoptic_id, crowds = read(settings, root, "train", "2007_000001")
        assert count_pixels(panoptic_id) == {0: 32, 8001: 32, 12001: 48, 21000: 488} and crowds == []

    def test_sbd_fills_in(self, tmp_path):
        """With its classes as they are: the strip that is called cow is an instance of its own."""
        panoptic_id, _ = read(load("voc2012"), make_voc2012(tmp_path), "train", "2008_000003")
        assert count_pixels(panoptic_id) == {10001: 8, 12001: 48, 21000: 544}

    @pytest.mark.parametrize("image_id", ["2007_000001", "2008_000003"])
    def test_the_authors_rule(self, tmp_path, image_id):
        """SBD's masks wherever there are any, and the highest class under an object is its class."""
        panoptic_id, _ = read(load("voc2012", masks="sbd"), make_voc2012(tmp_path), "train", image_id)
        assert count_pixels(panoptic_id) == {12001: 56, 21000: 544}

    def test_instances_alone(self, tmp_path):
        settings = load("voc2012", classes="configs/classes/voc_things.csv", void_values=[0, 255])
        panoptic_id, _ = read(settings, make_voc2012(tmp_path), "train", "2007_000001")
        assert count_pixels(panoptic_id) == {0: 520, 8001: 32, 12001: 48}

    def test_broken_and_missing_files(self, tmp_path):
        settings, root = load("voc2012"), make_voc2012(tmp_path)
        path = root / "benchmark_RELEASE" / "dataset" / "inst" / "2008_000003.mat"
        path.write_bytes(path.read_bytes()[:150])
        with pytest.raises(ValueError, match=r"inst/2008_000003\.mat: not a file of SBD"):
            read(settings, root, "train", "2008_000003")
        path.unlink()
        with pytest.raises(ValueError, match=r"2008_000003\.jpg: its semantic label file is missing"):
            read(settings, root, "train", "2008_000003")
        with pytest.raises(ValueError, match="the folder into which the archives were unpacked"):
            list_images(settings, root / "VOCdevkit")


class TestCoco2017:
    def test_segments(self, tmp_path):
        settings, root = load("coco2017"), make_coco2017(tmp_path)
        assert list_images(settings, root).ids == {"train": ["000000000009"], "val": ["000000000139"]}
        for split, image_id in (("train", "000000000009"), ("val", "000000000139")):
            panoptic_id, crowds = read(settings, root, split, image_id)
            assert count_pixels(panoptic_id) == {0: 30, 1000: 32, 1001: 30, 1002: 24, 187000: 484} and crowds == [1000]

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            (lambda a: a["segments_info"].pop(), r"segments \[5\] are not in"),
            (lambda a: a["segments_info"][0].update(category_id=12), "category 12 is neither in the class table"),
            (lambda a: a["segments_info"][0].update(id=300), "segment id 300 is there twice"),
            (
                lambda a: a["segments_info"][0].update(id=0),
                "a segment has id 0, which means that a pixel has no segment",
            ),
            (lambda a: a["segments_info"][0].update(iscrowd="maybe"), "'maybe' is not a truth value"),
            (lambda a: a["segments_info"][0].pop("category_id"), "category_id: Field required"),
            (lambda a: a.update(file_name="../other.png"), "no annotation of 000000000009.png"),
        ],
    )
    def test_contradictions(self, tmp_path, edit, message):
        settings, root = load("coco2017"), make_coco2017(tmp_path)
        path = root / "annotations" / "panoptic_train2017.json"
        document = read_json(path)
        edit(document["annotations"][0])
        write_json(path, document)
        with pytest.raises(ValueError, match=message) as caught:
            read(settings, root, "train", "000000000009")
        assert "panoptic_train2017" in str(caught.value)

    def test_categories_of_another_table(self, tmp_path):
        settings, root = load("coco2017"), make_coco2017(tmp_path)
        path = root / "annotations" / "panoptic_train2017.json"
        document = read_json(path)
        document["categories"] = [{"id": 1, "name": "Person", "isthing": 1}, {"id": 2, "name": "bike", "isthing": 1}]
        write_json(path, document)
        assert compare_categories(path, settings) == []
        document["categories"] = [{"id": "1", "name": "car", "isthing": 1}, {"id": 2, "name": "bike", "isthing": 0}, 3]
        write_json(path, document)
        read_segment_table.cache_clear()
        (warning,) = compare_categories(path, settings)
        assert "1 is 'car' (thing), 2 is 'bike' (stuff); correct the ids" in warning

    @pytest.mark.parametrize(
        ("edit", "pixels", "unknown"),
        [
            (lambda a: a["segments_info"][1].update(iscrowd="maybe"), {0: 60, 1000: 32, 1001: 24, 187000: 484}, [0]),
            (lambda a: a["segments_info"][1].pop("id"), {0: 60, 1000: 32, 1001: 24, 187000: 484}, [0]),
            (lambda a: a["segments_info"][0].update(id="x"), {0: 514, 1000: 32, 1001: 30, 1002: 24}, [119]),
            (lambda a: a["segments_info"][0].update(category_id=None), {0: 514, 1000: 32, 1001: 30, 1002: 24}, None),
            (lambda a: a["segments_info"].__setitem__(3, "x"), {0: 62, 1001: 30, 1002: 24, 187000: 484}, None),
        ],
    )
    def test_a_broken_segment_hides_no_other_and_its_class_is_not_absent(self, tmp_path, edit, pixels, unknown):
        root, image_id = make_coco2017(tmp_path), "000000000009"
        path = root / "annotations" / "panoptic_train2017.json"
        document = read_json(path)
        edit(document["annotations"][0])
        write_json(path, document)
        with pytest.raises(ValueError, match=rf"{image_id}\.png: .*; correct it, or set dataset.bad_segments: skip"):
            read(load("coco2017"), root, "train", image_id)
        settings = load("coco2017", bad_segments="skip")
        assert count_pixels(read(settings, root, "train", image_id)[0]) == pixels
        classes = find_unknown_classes(list_images(settings, root).locate(image_id), settings)
        assert classes == (list(range(133)) if unknown is None else unknown)

    def test_an_annotation_without_segments_is_a_problem_of_its_image(self, tmp_path):
        root, image_id = make_coco2017(tmp_path), "000000000009"
        path = root / "annotations" / "panoptic_train2017.json"
        document = read_json(path)
        document["annotations"] += [{"segments_info": []}, {"file_name": "7.png"}]
        document["annotations"][0]["segments_info"] = None
        write_json(path, document)
        settings = load("coco2017", bad_segments="skip")
        assert not read(settings, root, "train", image_id)[0].any()
        assert len(find_unknown_classes(list_images(settings, root).locate(image_id), settings)) == 133
        with pytest.raises(ValueError, match=r"000000000009\.png: Input should be a valid dictionary"):
            read(load("coco2017"), root, "train", image_id)

    def test_segments_of_other_tools(self, tmp_path):
        """Without ``iscrowd``, ids as text, and PNG files with alpha, which must not blend colours."""
        settings, root = load("coco2017"), make_coco2017(tmp_path)
        expected = read(settings, root, "train", "000000000009")[0]
        path = root / "annotations" / "panoptic_train2017.json"
        document = read_json(path)
        for segment in document["annotations"][0]["segments_info"]:
            segment["id"] = str(segment["id"])
            if not segment["iscrowd"]:
                del segment["iscrowd"]
        write_json(path, document)
        png = root / "annotations" / "panoptic_train2017" / "000000000009.png"
        with Image.open(png) as image:
            colours = image.convert("RGBA")
        colours.save(png)
        read_segment_table.cache_clear()
        np.testing.assert_array_equal(read(settings, root, "train", "000000000009")[0], expected)
        colours.putpixel((3, 3), (1, 2, 3, 128))
        colours.save(png)
        with pytest.raises(ValueError, match="has transparent pixels"):
            read(settings, root, "train", "000000000009")

    def test_a_missing_iscrowd_is_0(self, tmp_path):
        settings, root = load("coco2017"), make_coco2017(tmp_path)
        path = root / "annotations" / "panoptic_train2017.json"
        document = read_json(path)
        for segment in document["annotations"][0]["segments_info"]:
            assert segment.pop("iscrowd") in (0, 1)
        write_json(path, document)
        _, crowds = read(settings, root, "train", "000000000009")
        assert crowds == []

    @pytest.mark.parametrize("alpha", [255, 254])
    @pytest.mark.parametrize("mode", ["RGBA", "P"])
    def test_colours_in_other_kinds_of_png(self, tmp_path, mode, alpha):
        """Alpha must be full; a palette has none."""
        settings, root = load("coco2017"), make_coco2017(tmp_path)
        expected, _ = read(settings, root, "train", "000000000009")
        path = root / "annotations" / "panoptic_train2017" / "000000000009.png"
        with Image.open(path) as image:
            other = image.convert(mode, palette=Image.Palette.ADAPTIVE)
        if mode == "RGBA":
            other.putalpha(alpha)
        other.save(path)
        if mode == "RGBA" and alpha < 255:
            with pytest.raises(ValueError, match=r"000000000009\.png: has transparent pixels"):
                read(settings, root, "train", "000000000009")
        else:
            np.testing.assert_array_equal(read(settings, root, "train", "000000000009")[0], expected)

    def test_missing_png(self, tmp_path):
        root = make_coco2017(tmp_path)
        (root / "annotations" / "panoptic_train2017" / "000000000009.png").unlink()
        with pytest.raises(ValueError, match=r"000000000009\.jpg: its panoptic PNG is missing"):
            read(load("coco2017"), root, "train", "000000000009")


def convert(name, root):
    """Weak labels of the training images by the config's section `annotations`."""
    document = yaml.safe_load((REPOSITORY / f"configs/{name}.yaml").read_text())
    settings = DatasetSettings.model_validate(document["dataset"])
    section = AnnotationsSettings.model_validate(document["annotations"])
    ids = list_images(settings, root).ids
    records = [ImageRecord(i, str(list_images(settings, root).locate(i).image), 20, 30, "") for i in ids["train"]]
    return ids, convert_annotations(section, root, records, class_table(settings))


def test_voc2007_detection(tmp_path):
    """A class of which only a difficult object is there is unknown; what has no object is absent."""
    ids, result = convert("voc2007", make_voc2007(tmp_path))
    assert ids == {"train": ["000005", "000007"], "val": ["000001"]} and not result.problems
    first, second = result.images
    assert first.boxes_xyxy.tolist() == [[2, 3, 10, 12]] and first.box_classes.tolist() == [14]
    assert np.flatnonzero(first.tags).tolist() == [14, 20] and 11 in first.unknown_ids
    assert np.flatnonzero(second.tags).tolist() == [11, 20] and 14 not in second.unknown_ids


def test_coco2014_instances(tmp_path):
    ids, result = convert("coco2014", make_coco2014(tmp_path))
    assert len(ids["train"]) == 2 and len(ids["val"]) == 1 and not result.problems
    assert result.images[0].boxes_xyxy.tolist() == [[3, 4, 14, 17]]
    assert result.images[1].tags.sum() == 1 and not len(result.images[1].boxes_xyxy)
    assert "1 boxes without area" in result.warnings[0]


def test_class_tables_of_coco_and_voc():
    coco = class_table(load("coco2017"))
    assert (len(coco), len(coco.thing_ids)) == (133, 80) and coco.category_ids[-1] == 200
    voc = class_table(load("voc2012"))
    assert (len(voc), len(voc.thing_ids), voc.category_ids[-1]) == (21, 20, 21)
    things = class_table(load("coco2014"))
    assert things.names[:80] == coco.names[:80] and not things.isthing[80]
