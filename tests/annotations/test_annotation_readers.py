"""Readers of COCO, VOC, YOLO and tables: what good files say and how bad ones are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pseudogt.annotations.coco import read_coco, recognise
from pseudogt.annotations.geometry import decode_segmentation, encode_mask
from pseudogt.annotations.tables import read_box_table
from pseudogt.annotations.tags import read_tags
from pseudogt.annotations.voc import read_voc, read_voc_folder
from pseudogt.annotations.yolo import read_yolo

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg", "width": 30, "height": 20}, {"id": 8, "file_name": "b.jpg"}],
    "categories": [{"id": 3, "name": "car"}, {"id": 9, "name": "person"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 5, 4.5], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 9, "bbox": [0, 0, 30, 20], "iscrowd": 1},
    ],
}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def name_images(*image_ids):
    return {image_id: f"/images/{image_id}.jpg" for image_id in image_ids}


def change(document, *keys, **values):
    """A copy of a JSON document with values set in the part that the keys lead to."""
    copy = json.loads(json.dumps(document))
    part = copy
    for key in keys:
        part = part[key]
    part.update(values)
    return copy


class TestCoco:
    def test_boxes_of_each_image(self, tmp_path):
        reading = read_coco(write(tmp_path / "a.json", COCO))
        first, second = reading.images
        assert (first.file_name, first.width, first.height) == ("a.jpg", 30, 20)
        assert [(b.label, b.xyxy, b.iscrowd) for b in first.boxes] == [
            ("car", (1, 2, 6, 6.5), False),
            ("person", (0, 0, 30, 20), True),
        ]
        assert second.boxes == [] and second.boxed and second.width is None
        assert reading.box_labels == {"car", "person"} and not reading.problems

    def test_annotations_may_be_a_mapping(self, tmp_path):
        """As in LIVECell."""
        document = COCO | {"annotations": {str(a["id"]): a for a in COCO["annotations"]}}
        assert recognise(document)
        assert len(read_coco(write(tmp_path / "a.json", document)).images[0].boxes) == 2

    def test_lvis_looks_for_some_classes_in_each_image(self, tmp_path):
        lvis = {"neg_category_ids": [9], "not_exhaustive_category_ids": [3], "coco_url": "http://x/train2017/a.jpg"}
        document = change(change(COCO, "images", 0, **lvis), "images", 1, **lvis)
        del document["images"][0]["file_name"]
        reading = read_coco(write(tmp_path / "a.json", document))
        assert reading.images[0].file_name.endswith("/a.jpg") and len(reading.images[0].boxes) == 2
        assert [image.vocabulary for image in reading.images] == [{"person"}, {"person"}]
        assert "is of LVIS" in reading.warnings[0]

    def test_keys_may_be_text(self, tmp_path):
        document = change(change(COCO, "images", 0, id="x"), "annotations", 0, image_id="x")
        reading = read_coco(write(tmp_path / "a.json", change(document, "annotations", 1, image_id="x")))
        assert len(reading.images[0].boxes) == 2

    def test_ids_that_differ_in_type_only(self, tmp_path):
        document = change(change(COCO, "annotations", 0, image_id="7"), "annotations", 1, category_id="9")
        reading = read_coco(write(tmp_path / "a.json", document))
        assert [box.label for box in reading.images[0].boxes] == ["car", "person"] and not reading.list_faults()
        twice = read_coco(write(tmp_path / "a.json", change(COCO, "images", 1, id="7"))).problems
        assert "id 7 is in 'images' more than once" in twice[0]
        other = change(change(COCO, "images", 0, id="007"), "images", 1, id=7)
        reading = read_coco(write(tmp_path / "a.json", other))
        assert [len(image.boxes) for image in reading.images] == [0, 2] and not reading.problems

    @pytest.mark.parametrize(
        ("text", "expected"), [("0", False), ("false", False), ("no", False), ("1", True), ("True", True)]
    )
    def test_truth_values_as_text(self, tmp_path, text, expected):
        reading = read_coco(write(tmp_path / "a.json", change(COCO, "annotations", 0, iscrowd=text)))
        assert reading.images[0].boxes[0].iscrowd is expected

    def test_categories_of_one_name_are_one_class(self, tmp_path):
        reading = read_coco(write(tmp_path / "a.json", change(COCO, "categories", 1, name=" car")))
        assert [box.label for box in reading.images[0].boxes] == ["car", "car"]
        assert "categories 3, 9 are all named 'car'" in reading.warnings[0]

    @pytest.mark.parametrize("bbox", [None, [], [None] * 4, [1, 2, "NaN", 3]])
    @pytest.mark.parametrize(
        "mask", [[[4, 3, 11, 3, 11, 9]], {"size": [20, 30], "counts": encode_mask(np.eye(20, 30) > 0)["counts"]}]
    )
    def test_a_box_that_is_missing_is_that_of_the_mask(self, tmp_path, bbox, mask):
        reading = read_coco(write(tmp_path / "a.json", change(COCO, "annotations", 0, bbox=bbox, segmentation=mask)))
        expected = (4, 3, 11, 9) if isinstance(mask, list) else (0, 0, 20, 20)
        assert reading.images[0].boxes[0].xyxy == expected and not reading.list_faults()

    def test_a_polygon_of_a_turned_box_shows_where_it_is(self, tmp_path):
        turned = {"attributes": {"rotation": "90.0"}, "segmentation": [[4, 3, 11, 3, 11, 9]]}
        reading = read_coco(write(tmp_path / "a.json", change(COCO, "annotations", 0, **turned)))
        assert reading.images[0].boxes[0].xyxy == (4, 3, 11, 9)

    @pytest.mark.parametrize(
        "attributes", [[{"name": "rotation", "value": "90"}], [{"occluded": False}, {"rotation": 90}], {"rotation": 90}]
    )
    def test_attributes_may_be_a_list(self, tmp_path, attributes):
        turned = {"attributes": attributes, "bbox": [0, 5, 20, 10]}
        reading = read_coco(write(tmp_path / "a.json", change(COCO, "annotations", 0, **turned)))
        assert reading.images[0].boxes[0].xyxy == pytest.approx((5, 0, 15, 20))

    @pytest.mark.parametrize("attributes", [["occluded"], [{"name": "rotation"}], [], "rotation"])
    def test_attributes_without_a_rotation_leave_the_box_as_it_is(self, tmp_path, attributes):
        reading = read_coco(write(tmp_path / "a.json", change(COCO, "annotations", 0, attributes=attributes)))
        assert reading.images[0].boxes[0].xyxy == read_coco(write(tmp_path / "b.json", COCO)).images[0].boxes[0].xyxy

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_encodings_of_unicode(self, tmp_path, encoding):
        document = change(COCO, "images", 0, file_name="Straße.jpg")
        data = json.dumps(document, ensure_ascii=False).encode(encoding)
        assert read_coco(write(tmp_path / "a.json", data)).images[0].file_name == "Straße.jpg"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (json.dumps(COCO)[:-30], "Invalid JSON: EOF"),
            ("", r"is empty \(0 bytes\)"),
            ([], "should be an object"),
            ({"images": []}, "categories: Field required"),
            (change(COCO, images=None), "images: Input should be a valid array"),
            ("[" * 100_000, "recursion limit"),
            (json.dumps(change(COCO, "images", 0, file_name="ä"), ensure_ascii=False).encode("latin-1"), "not UTF-8"),
        ],
    )
    def test_broken_files(self, tmp_path, content, message):
        with pytest.raises(ValueError, match=message) as caught:
            read_coco(write(tmp_path / "a.json", content))
        assert str(tmp_path / "a.json") in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (change(COCO, "annotations", 0, bbox=[1, 2, 3]), r"annotation 1: bbox.3: Field required"),
            (change(COCO, "annotations", 0, bbox=[1, 2, "x", 3]), "valid number"),
            (change(COCO, "annotations", 0, bbox=[1, 2, 1e300, 3]), "less than or equal to 1000000"),
            (json.dumps(COCO).replace("4.5", "NaN"), "annotation 1: bbox.3"),
            (change(COCO, "annotations", 0, bbox=None), "annotation 1: bbox: Input should be a valid tuple"),
            (change(COCO, "annotations", 0, iscrowd="maybe"), "annotation 1, iscrowd: 'maybe' is not a truth value"),
            (change(COCO, "annotations", 0, category_id=4), "annotation 1 has category_id 4"),
        ],
    )
    def test_broken_annotations_hide_no_other(self, tmp_path, content, message):
        reading = read_coco(write(tmp_path / "a.json", content))
        first = reading.images[0]
        assert [box.label for box in first.boxes] == ["person"] and not reading.problems
        assert message in first.unusable[0].problem and str(tmp_path / "a.json") in first.unusable[0].problem

    def test_an_image_without_usable_size(self, tmp_path):
        reading = read_coco(write(tmp_path / "a.json", change(COCO, "images", 0, width=-3)))
        assert reading.images[0].width is None and len(reading.images[0].boxes) == 2
        assert "image number 0: width: Input should be greater than or equal to 1" in reading.broken[0]

    def test_missing_file_and_folder(self, tmp_path):
        with pytest.raises(ValueError, match="no such file"):
            read_coco(tmp_path / "none.json")

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            (change(COCO, "images", 1, id=7), "id 7 is in 'images' more than once"),
            (change(COCO, "categories", 1, id=3), "id 3 is in 'categories' more than once"),
            (change(COCO, "annotations", 1, image_id=5), "annotation 2 is of image 5"),
        ],
    )
    def test_contradictions_are_collected(self, tmp_path, document, message):
        problems = read_coco(write(tmp_path / "a.json", document)).list_faults()
        assert any(message in p and "a.json" in p for p in problems)

    def test_masks_are_read_when_asked_for(self, tmp_path):
        mask = np.zeros((20, 30), bool)
        mask[3:9, 4:11] = mask[12, 2] = True
        document = change(COCO, "annotations", 0, segmentation=[[4, 3, 11, 3, 11, 9, 4, 9]])
        document = change(document, "annotations", 1, segmentation=encode_mask(mask))
        path = write(tmp_path / "a.json", document)
        assert read_coco(path).images[0].boxes[0].segmentation is None
        polygon, runs = (box.segmentation for box in read_coco(path, masks=True).images[0].boxes)
        np.testing.assert_array_equal(decode_segmentation(runs, 20, 30), mask)
        assert decode_segmentation(polygon, 20, 30).sum() == 42
        empty = write(tmp_path / "a.json", change(document, "annotations", 0, segmentation=[]))
        assert read_coco(empty, masks=True).images[0].boxes[0].segmentation is None


def test_compressed_run_lengths_are_those_of_pycocotools():
    from pycocotools import mask as coco_mask

    rng = np.random.default_rng(0)
    for shape in ((1, 1), (7, 5), (90, 130)):
        mask = rng.random(shape) < 0.3
        packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        segmentation = {"size": list(shape), "counts": packed["counts"].decode()}
        np.testing.assert_array_equal(decode_segmentation(segmentation, *shape), mask)
        assert coco_mask.frPyObjects(encode_mask(mask), *shape) == packed


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3, 4]],
        [],
        {"size": [20, 31], "counts": [620]},
        {"size": [20, 30], "counts": [599]},
        {"size": [20, 30], "counts": [-1, 601]},
        {"size": [20, 30], "counts": "ä"},
        {"size": [20, 30], "counts": "oooooooooooooooooooo"},
        {"size": [20, 30], "counts": [2**63, 2**63]},
    ],
)
def test_broken_masks(segmentation):
    with pytest.raises(ValueError, match=r"polygon|mask|run lengths"):
        decode_segmentation(segmentation, 20, 30)


VOC = """<annotation><folder>VOC2007</folder><filename>a.jpg</filename>
<size><width>500</width><height>375</height><depth>3</depth></size>
<object><name>person</name><difficult>0</difficult>
 <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
 <part><name>head</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part></object>
<object><name>car</name><difficult>1</difficult>
 <bndbox><ymin>5</ymin><xmax>500</xmax><ymax>375</ymax><xmin>9.5</xmin></bndbox></object></annotation>"""


class TestVoc:
    def test_corners_are_inclusive_and_count_from_1(self, tmp_path):
        image = read_voc(write(tmp_path / "0001.xml", VOC))
        assert (image.file_name, image.width, image.height) == ("0001", 500, 375)
        assert [(b.label, b.xyxy, b.difficult) for b in image.boxes] == [
            ("person", (0, 1, 30, 40), False),
            ("car", (8.5, 4, 500, 375), True),
        ]

    def test_turned_boxes_of_rolabelimg(self, tmp_path):
        """By a right angle, in radians, about the centre."""
        turned = "<robndbox><cx>50</cx><cy>40</cy><w>40</w><h>10</h><angle>1.5707963</angle></robndbox>"
        text = f"<annotation><object><type>robndbox</type><name>car</name>{turned}</object></annotation>"
        assert read_voc(write(tmp_path / "a.xml", text)).boxes[0].xyxy == pytest.approx((45, 20, 55, 60))

    @pytest.mark.parametrize(
        "points",
        [
            "<x1>4</x1><y1>3</y1><x2>11.5</x2><y2>3</y2><x3>11.5</x3><y3>9</y3>",
            "<username>me</username><pt><x>4</x><y>3</y></pt><pt><x>11.5</x><y>3</y></pt><pt><x>11</x><y>9</y></pt>",
        ],
    )
    def test_a_polygon_alone_gives_a_box(self, tmp_path, points):
        text = f"<annotation><object><name>car</name><polygon>{points}</polygon></object></annotation>"
        image = read_voc(write(tmp_path / "a.xml", text))
        assert [box.xyxy for box in image.boxes] == [(4, 3, 11.5, 9)] and not image.unusable

    @pytest.mark.parametrize("points", ["", "<x1>4</x1>", "<pt><x>4</x></pt>", "<x1>far</x1><y1>3</y1>"])
    def test_a_broken_polygon_is_named(self, tmp_path, points):
        text = f"<annotation><object><name>car</name><polygon>{points}</polygon></object></annotation>"
        image = read_voc(write(tmp_path / "a.xml", text))
        assert not image.boxes and "a.xml: object 1 (car)" in image.unusable[0].problem

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
    def test_declared_encodings(self, tmp_path, encoding):
        text = f'<?xml version="1.0" encoding="{encoding}"?>' + VOC.replace("person", "Fußgänger")
        assert read_voc(write(tmp_path / "a.xml", text.encode(encoding))).boxes[0].label == "Fußgänger"

    def test_a_folder(self, tmp_path):
        write(tmp_path / "a.xml", VOC)
        write(tmp_path / "b.xml", "<annotation/>")
        write(tmp_path / "c.xml", VOC[:-9])
        reading = read_voc_folder(tmp_path, name_images("a", "b", "c", "d"))
        assert [i.file_name for i in reading.images] == ["a", "b"]
        assert len(reading.broken) == 1 and "c.xml: not valid XML" in reading.broken[0]
        with pytest.raises(ValueError, match="no such folder"):
            read_voc_folder(tmp_path / "none", name_images("a"))

    def test_size_of_0_is_none(self, tmp_path):
        path = write(tmp_path / "a.xml", VOC.replace(">500</width>", ">0</width>"))
        assert read_voc(path).width is None

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("</annotation>", "", "not valid XML"),
            ("annotation>", "annotations>", "its root is <annotations>"),
            (">500</width>", ">-5</width>", "-5 is not a size"),
            ("<annotation>", '<?xml version="1.0" encoding="klingon"?><annotation>', "not valid XML"),
        ],
    )
    def test_broken_files(self, tmp_path, old, new, message):
        path = write(tmp_path / "a.xml", VOC.replace(old, new, 1) if old != "annotation>" else VOC.replace(old, new))
        with pytest.raises(ValueError, match=message) as caught:
            read_voc(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (">30<", ">thirty<", "object 1 (person), xmax: 'thirty' is not a number"),
            (">30<", ">inf<", "'inf' is not a coordinate"),
            ("<xmax>30</xmax>", "", "xmax: None is not a number"),
            ("<name>car</name>", "<name> </name>", "object 2 has no <name>"),
            ("<difficult>1<", "<difficult>maybe<", "difficult: 'maybe' is not a truth value"),
        ],
    )
    def test_broken_objects_hide_no_other(self, tmp_path, old, new, message):
        path = write(tmp_path / "a.xml", VOC.replace(old, new, 1))
        image = read_voc(path)
        assert len(image.boxes) == 1
        assert message in image.unusable[0].problem and str(path) in image.unusable[0].problem

    @pytest.mark.parametrize(
        "declaration",
        [
            '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">',
            '<!ENTITY c SYSTEM "file:///etc/passwd">',
            '<!ENTITY % c "x">',
        ],
    )
    def test_entities_are_refused(self, tmp_path, declaration):
        text = f"<!DOCTYPE annotation [{declaration}]><annotation><filename>&c;</filename></annotation>"
        with pytest.raises(ValueError, match="declares the entity"):
            read_voc(write(tmp_path / "a.xml", text))


class TestYolo:
    @pytest.fixture
    def folder(self, tmp_path):
        write(tmp_path / "data.yaml", "path: .\nnames:\n  0: nucleus\n  1: cell\n")
        return tmp_path / "labels"

    def test_boxes(self, folder):
        write(folder / "a.txt", "0 0.5 0.25 0.2 0.1\n\n1 0.1 0.1 0.2 0.2\n")
        write(folder / "b.txt", "")
        reading = read_yolo(folder, name_images("a", "b", "c"))
        first, second = reading.images
        assert [b.label for b in first.boxes] == ["nucleus", "cell"] and first.relative
        assert first.boxes[0].xyxy == pytest.approx((0.4, 0.2, 0.6, 0.3))
        assert second.boxes == [] and second.boxed
        assert reading.box_labels == {"nucleus", "cell"}

    def test_polygons_are_masks(self, folder):
        write(folder / "a.txt", "0 0.1 0.1 0.5 0.1 0.5 0.4 0.1 0.4\n1 0 0 1 0 0.5 1\n")
        reading = read_yolo(folder, name_images("a"))
        four, three = reading.images[0].boxes
        assert four.xyxy == (0.1, 0.1, 0.5, 0.4) and len(four.segmentation[0]) == 8
        assert three.xyxy == (0, 0, 1, 1) and not reading.warnings

    def test_lines_of_9_alone_are_oriented_boxes(self, folder):
        write(folder / "a.txt", "0 0.3 0.1 0.5 0.3 0.3 0.5 0.1 0.3\n")
        reading = read_yolo(folder, name_images("a"))
        box = reading.images[0].boxes[0]
        assert box.xyxy == (0.1, 0.1, 0.5, 0.5) and box.segmentation is None
        assert "oriented boxes" in reading.warnings[0]

    def test_key_points_are_left_out(self, folder):
        write(folder.parent / "data.yaml", "names: [nucleus]\nkpt_shape: [2, 3]\n")
        write(folder / "a.txt", "0 0.5 0.5 0.2 0.2 0.4 0.4 2 0.6 0.6 2\n")
        box = read_yolo(folder, name_images("a")).images[0].boxes[0]
        assert box.xyxy == pytest.approx((0.4, 0.4, 0.6, 0.6)) and box.segmentation is None

    def test_names_of_a_plain_list(self, folder):
        write(folder / "classes.txt", "one\ntwo\n")
        write(folder / "a.txt", "1 0.5 0.5 0.2 0.2\r\n")
        assert read_yolo(folder, name_images("a"), folder / "classes.txt").images[0].boxes[0].label == "two"

    def test_names_of_darknet(self, folder):
        (folder.parent / "data.yaml").unlink()
        write(folder / "a.txt", "1 0.5 0.5 0.2 0.2\n")
        write(folder.parent / "my.names", "person\ncar\n")
        assert read_yolo(folder, name_images("a")).images[0].boxes[0].label == "car"
        write(folder.parent / "our.names", "car\nperson\n")
        with pytest.raises(ValueError, match=r"my\.names and our\.names may both"):
            read_yolo(folder, name_images("a"))
        write(folder.parent / "Obj.NAMES", "bus\ntram\n")
        assert read_yolo(folder, name_images("a")).images[0].boxes[0].label == "tram"
        with pytest.raises(ValueError, match=r"line 2 is blank"):
            read_yolo(folder, name_images("a"), write(folder / "classes.txt", "one\n\ntwo\n"))
        with pytest.raises(ValueError, match=r"set annotations\.names to its \.names file"):
            read_yolo(folder, name_images("a"), write(folder / "obj.data", "names = obj.names\n"))

    def test_names_are_text_as_it_is_written(self, folder):
        write(folder.parent / "data.yaml", "names: [no, yes, 1e3, 2026-01-01, ~, 007]\n")
        write(folder / "a.txt", "".join(f"{i} 0.5 0.5 0.2 0.2\n" for i in range(6)))
        boxes = read_yolo(folder, name_images("a")).images[0].boxes
        assert [b.label for b in boxes] == ["no", "yes", "1e3", "2026-01-01", "~", "007"]

    def test_boxes_among_polygons(self, folder):
        """A polygon that was simplified to two points looks like a box, often one beyond the image."""
        write(folder / "a.txt", "0 0 0 1 0 0.5 1\n1 0.6 0.6 0.9 0.9\n1 0.5 0.5 0.2 0.2\n")
        reading = read_yolo(folder, name_images("a"))
        image = reading.images[0]
        assert [box.label for box in image.boxes] == ["nucleus", "cell"]
        assert "line 2: as a box it reaches beyond the image" in image.unusable[0].problem
        assert "1 lines of 5 values among polygons are read as boxes" in reading.warnings[0]
        assert f"{folder / 'a.txt'}: line 3" in reading.warnings[0]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("2 0.5 0.5 0.1 0.1", "class 2 has no name; there are 0 to 1"),
            ("0.5 0.5 0.5 0.1 0.1", "class 0.5 has no name"),
            ("0 120 80 30 20", "120 is not a fraction"),
            ("0 0.5 0.5 0.1 0.1 0.93", "a prediction with its confidence"),
            ("0 0.5 0.5 0.1", "4 values; a box has 5"),
            ("0 0.5 0.5 0.1 0.1 0.2 0.2 0.3", "8 values"),
            ("0 0.5 0,5 0.1 0.1", "'0,5' is not a number"),
            ("0 nan 0.5 0.1 0.1", "'nan' is not a coordinate"),
            (b"0 0.5 \xff 0.1 0.1", "not UTF-8"),
        ],
    )
    def test_bad_lines_are_collected(self, folder, line, message):
        write(folder / "a.txt", line)
        write(folder / "b.txt", "0 0.5 0.5 0.1 0.1")
        reading = read_yolo(folder, name_images("a", "b"))
        (problem,) = reading.list_faults()
        assert message in problem and "a.txt" in problem
        assert reading.images[-1].file_name == "b"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("names: [a\n", "not valid YAML"),
            ("nc: 3\n", "no 'names'"),
            ("names: obj.names\n", "'names' is 'obj.names', not a list .*set annotations.names to it"),
            ("names: {car: 0}\n", "no 'names'"),
            ("names: [a]\nkpt_shape: 3\n", "kpt_shape is 3"),
            ("- a\n", "no 'names'"),
            ("[" * 5000, "not valid YAML"),
        ],
    )
    def test_bad_names(self, folder, text, message):
        write(folder / "a.txt", "")
        write(folder.parent / "data.yaml", text)
        with pytest.raises(ValueError, match=message):
            read_yolo(folder, name_images("a"))

    def test_missing_names_and_folder(self, tmp_path):
        with pytest.raises(ValueError, match="no such folder"):
            read_yolo(tmp_path / "none", name_images("a"))
        write(tmp_path / "x" / "y" / "labels" / "a.txt", "")
        with pytest.raises(ValueError, match=r"no data\.yaml"):
            read_yolo(tmp_path / "x" / "y" / "labels", name_images("a"))


class TestBoxTable:
    def test_boxes_and_images_without(self, tmp_path):
        text = "image,class,x0,y0,x1,y1\nUnser Bild ä.png,car,1,2,3.5,4\nb.png,,,,,\n"
        reading = read_box_table(write(tmp_path / "a.csv", text))
        assert [i.file_name for i in reading.images] == ["Unser Bild ä.png", "b.png"]
        assert reading.images[0].boxes[0].xyxy == (1, 2, 3.5, 4)
        assert reading.images[1].boxes == [] and reading.box_labels == {"car"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "must name the columns"),
            ("image|class|x0|y0|x1|y1\n", "separated by commas, semicolons or tabs"),
            ("image,class,x0,y0,x1,x1\n", "must name the columns"),
            ("image,class,x0,y0,x1,y1\na,b,1,2,3,4,5\n", "line 2 has more values"),
            ('image,class,x0,y0,x1,y1\n"a', "must name|names no class|not CSV|line 2"),
        ],
    )
    def test_broken_files(self, tmp_path, text, message):
        path = write(tmp_path / "a.csv", text)
        try:
            problems = read_box_table(path).list_faults()
        except ValueError as error:
            problems = [str(error)]
        if text.endswith('"a'):
            assert not problems  # an open quote at the end: an image without boxes
        else:
            assert any(message in p and str(path) in p for p in problems)

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (",car,1,2,3,4", "line 2 names no image"),
            ("a,,1,2,3,4", "line 2 names no class"),
            ("a,car,1,2,3,", "line 2, y1: '' is not a number"),
            ("a,car,1,2,3,1e9", "'1e9' is not a coordinate"),
        ],
    )
    def test_bad_rows_are_collected(self, tmp_path, row, message):
        reading = read_box_table(write(tmp_path / "a.csv", f"image,class,x0,y0,x1,y1\n{row}\nb,car,1,2,3,4\n"))
        (problem,) = reading.list_faults()
        assert message in problem
        assert len(reading.images[-1].boxes) == 1

    def test_latin_1(self, tmp_path):
        with pytest.raises(ValueError, match="save the file as UTF-8"):
            read_box_table(write(tmp_path / "a.csv", "image,class,x0,y0,x1,y1\nä,c,1,2,3,4".encode("latin-1")))


class TestTags:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("t.csv", "image,class\na,sky\na,road\nb,sky\n"),
            ("t.csv", "image,class,state\na,sky,present\na,road,yes\nb,sky,1\nb,road,unknown\n"),
            ("t.csv", "Image,Class,State\na,sky,present\na,road,yes\nb,sky,1\nb,road,unknown\n"),
            ("t.csv", "image,sky,road\na,1,true\nb,1,\n"),
            ("t.csv", "IMAGE,sky,road\na,1,true\nb,1,\n"),
            ("t.json", '{"a": ["sky", "road"], "b": {"sky": true, "road": null}}'),
        ],
    )
    def test_forms(self, tmp_path, name, text):
        reading = read_tags(write(tmp_path / name, text))
        tags = {i.file_name: {k: v for k, v in i.tags.items() if v is not None} for i in reading.images}
        assert tags == {"a": {"sky": True, "road": True}, "b": {"sky": True}}
        assert reading.tag_labels == {"sky", "road"}
        assert not any(i.boxed for i in reading.images)

    def test_absent_and_unknown(self, tmp_path):
        reading = read_tags(write(tmp_path / "t.csv", "image,sky,road,car\na,0,absent,\n"))
        assert reading.images[0].tags == {"sky": False, "road": False, "car": None}

    def test_a_column_of_labels_alone_holds_classes(self, tmp_path):
        reading = read_tags(write(tmp_path / "t.csv", "image,Label\na,sky\na,road\n"))
        assert reading.images[0].tags == {"sky": True, "road": True}

    def test_classes_called_like_a_column(self, tmp_path):
        reading = read_tags(write(tmp_path / "t.csv", "image,Image,State\na,0,1\n"))
        assert reading.images[0].tags == {"Image": False, "State": True}

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("t.csv", "image,sky\na,maybe\n", "line 2: image 'a': 'maybe' is not a state"),
            ("t.csv", "image,class,state\na,sky,1\na,sky,0\n", "line 3: image 'a' has two states of class 'sky'"),
            ("t.csv", "image,sky\n,1\n", "line 2 names no image"),
            ("t.csv", "picture,sky\na,1\n", "must name the columns image"),
            ("t.json", '{"a": "sky"}', "image 'a': 'sky' is neither a list"),
            ("t.json", '{"a": ["sky"', "Invalid JSON"),
        ],
    )
    def test_bad_files(self, tmp_path, name, text, message):
        path = write(tmp_path / name, text)
        try:
            problems = read_tags(path).list_faults()
        except ValueError as error:
            problems = [str(error)]
        assert any(message in p and str(path) in p for p in problems)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", '{"a": ["car", "bus"], "b": "bus"}'),
        ("t.json", '{"a": ["car", "bus"], "b": [["bus"]]}'),
        ("t.json", '{"a": ["car", "bus"], "b": {"": "present"}}'),
        ("t.csv", "image,car,bus\na,1,1\nb,0,0,1\n"),
        ("t.csv", "image,class,state\na,car,1\na,bus,1\nb,car,0,1\n"),
    ],
)
def test_a_broken_tag_leaves_all_classes_of_its_image_unknown(tmp_path, name, text):
    reading = read_tags(write(tmp_path / name, text))
    assert [dict(image.tags) for image in reading.images] == [{"car": True, "bus": True}, {"car": None, "bus": None}]
    assert len(reading.broken) == 1 and reading.tag_labels == {"car", "bus"}
