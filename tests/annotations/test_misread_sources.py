"""Sources that could be read without an error, but as something else: each is read rightly, or named."""

from __future__ import annotations

import json

import pytest

from pseudogt.annotations import convert_annotations
from pseudogt.annotations.matching import match_names
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord

CLASSES = ClassTable(("sky", "car", "bus"), (1, 2, 3), (False, True, True), ((0, 0, 0),) * 3)
PLACE = "0.2 0.375 0.2 0.25"
"""Box [10, 20, 30, 40] of an image of 100x80 pixels, as YOLO writes it."""


class Source:
    """A folder with files of annotations of the images a and b, of 100x80 pixels."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")

    def convert(self, kind, path, images=("a.jpg", "b.jpg"), **settings):
        records = [ImageRecord(name.rpartition(".")[0], f"/photos/{name}", 80, 100, "") for name in images]
        return convert_annotations(
            AnnotationsSettings(format=kind, path=path, **settings), self.folder, records, CLASSES
        )


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


def list_boxes(result):
    return [
        [(CLASSES.names[c], *box) for c, box in zip(w.box_classes, w.boxes_xyxy.tolist(), strict=True)]
        for w in result.images
    ]


def list_unknown(result):
    return [[CLASSES.names[i] for i in w.unknown_ids if i] for w in result.images]


class TestYolo:
    @pytest.fixture(autouse=True)
    def _write(self, source):
        source.write("data.yaml", "names: [car, bus]\n")
        source.write("labels/a.txt", f"0 {PLACE}\n")
        source.write("labels/b.txt", f"1 {PLACE}\n")

    def test_lists_of_names_that_contradict_each_other(self, source):
        """labelImg writes its own list beside the labels, in the order in which the classes were first drawn."""
        source.write("labels/classes.txt", "bus\ncar\n")
        with pytest.raises(ValueError, match=r"classes\.txt and .*data\.yaml may both .*annotations\.names"):
            source.convert("yolo", "labels")
        result = source.convert("yolo", "labels", names="data.yaml")
        assert list_boxes(result) == [[("car", 10, 20, 30, 40)], [("bus", 10, 20, 30, 40)]]
        source.write("labels/classes.txt", "car\nbus\ntram\n")
        assert list_boxes(source.convert("yolo", "labels")) == list_boxes(result)

    def test_a_number_that_is_named_twice(self, source):
        source.write("data.yaml", "names:\n  0: car\n  0: bus\n  1: bus\n")
        with pytest.raises(ValueError, match=r"data\.yaml: '0' is there twice in the mapping that starts in line 2"):
            source.convert("yolo", "labels")

    def test_numbers_of_one_name(self, source):
        source.write("data.yaml", "names: [car, car]\n")
        assert any("numbers 0, 1 are all named 'car'" in w for w in source.convert("yolo", "labels").warnings)

    def test_numbers_that_start_at_one(self, source):
        """What has no name could be left out; all others would then have the name of their neighbour."""
        source.write("labels/a.txt", f"1 {PLACE}\n")
        source.write("labels/b.txt", f"2 {PLACE}\n")
        (problem,) = source.convert("yolo", "labels", bad_boxes="skip").problems
        assert "class 2 is used, but" in problem and "names 0 to 1: all numbers may be one too high" in problem
        source.write("labels/a.txt", f"0 {PLACE}\n")
        assert not source.convert("yolo", "labels", bad_boxes="skip").problems

    def test_key_points_without_their_number(self, source):
        source.write("labels/a.txt", f"0 {PLACE} 0.15 0.3 2 0.25 0.45 1\n")
        source.write("labels/b.txt", f"1 {PLACE} 0 0 0 0.25 0.45 2.0\n")
        assert "add kpt_shape: [2, 3] to" in source.convert("yolo", "labels").problems[0]
        source.write("data.yaml", "names: [car, bus]\nkpt_shape: [2, 3]\n")
        assert list_boxes(source.convert("yolo", "labels")) == [[("car", 10, 20, 30, 40)], [("bus", 10, 20, 30, 40)]]
        source.write("data.yaml", "names: [car, bus]\n")
        for name, points in (("a", "0.15 0.3 0.25 0.45"), ("b", "0 0 0.25 0.45")):
            source.write(f"labels/{name}.txt", f"0 {PLACE} {points}\n")
        assert any("may also be boxes with 2 key points" in w for w in source.convert("yolo", "labels").warnings)
        source.write("labels/a.txt", "0 0.1 0.1 0.3 0.1 0.3 0.3 0.1 0.3\n")
        assert not any("key points" in w for w in source.convert("yolo", "labels").warnings)

    def test_corners_in_place_of_centre_and_size(self, source):
        source.write("labels/a.txt", "0 0.1 0.25 0.3 0.5\n0 0.6 0.6 0.95 0.9\n")
        source.write("labels/b.txt", "1 0.4 0.5 0.8 0.75\n")
        warning = source.convert("yolo", "labels").warnings[0]
        assert "2 boxes reach beyond their images" in warning and "a.txt: line 2" in warning
        source.write("labels/b.txt", f"1 {PLACE}\n")
        assert not any("reach beyond" in w for w in source.convert("yolo", "labels").warnings)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (f"0 {PLACE} 1.57", "a box with an angle, which must be given by its four corners"),
            ("0,0.2,0.375,0.2,0.25", "separate values by blanks"),
            ("5 0.2 0.375 0.2 0.25", "class 5 has no name; there are 0, 2"),
        ],
    )
    def test_remedies(self, source, line, message):
        source.write("data.yaml", "names: {0: car, 2: bus}\n")
        source.write("labels/a.txt", line)
        source.write("labels/b.txt", f"0 {PLACE}\n")
        assert any(message in problem for problem in source.convert("yolo", "labels").problems)

    def test_label_files_of_nearly_the_name_of_their_image(self, source):
        """Apple's normal form, and the suffix of the image before that of the file."""
        source.write("labels/Mu\u0308ll.txt", f"0 {PLACE}\n")
        source.write("labels/c.JPG.txt", f"1 {PLACE}\n")
        result = source.convert("yolo", "labels", ("M\u00fcll.jpg", "c.JPG"))
        assert list_boxes(result) == [[("car", 10, 20, 30, 40)], [("bus", 10, 20, 30, 40)]]

    def test_label_files_that_belong_to_no_image(self, source):
        result = source.convert("yolo", "labels", ("a.jpg", "B.jpg"))
        assert any(
            "1 files are named like none of the images to train on: 'b.txt'; 'b.txt' differs from 'B.jpg' only in case"
            in warning
            for warning in result.warnings
        )
        assert not any("named like none" in w for w in source.convert("yolo", "labels", ("a.jpg",)).warnings)


VOC = "<annotation><object><name>{}</name><bndbox>{}</bndbox></object></annotation>"
CORNERS = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"


class TestVoc:
    def test_fractions(self, source):
        """The first pixel is 1 in VOC, so that a fraction less 1 is negative."""
        source.write("xml/a.xml", VOC.format("car", CORNERS.format(0.1, 0.2, 0.3, 0.4)))
        assert "like fractions of the image" in source.convert("voc", "xml").problems[0]

    @pytest.mark.parametrize(
        "change", [lambda t: t.replace("object>", "Object>"), lambda t: t.replace("<object>", "<objects><object>", 1)]
    )
    def test_objects_elsewhere_in_the_file(self, source, change):
        text = change(VOC.format("car", CORNERS.format(11, 21, 30, 40)))
        source.write(
            "xml/a.xml", text.replace("</annotation>", "</objects></annotation>") if "<objects>" in text else text
        )
        source.write("xml/b.xml", VOC.format("bus", CORNERS.format(11, 21, 30, 40)))
        result = source.convert("voc", "xml")
        assert any("no <object> directly in <annotation>" in problem for problem in result.problems)
        assert list_unknown(source.convert("voc", "xml", bad_boxes="skip"))[0] == ["car", "bus"]


def write_coco(source, *annotations, name="coco.json", **others):
    """Annotations, by turns of the images a and b; cars unless they say otherwise."""
    document = {
        "images": [{"id": i, "file_name": f"{name}.jpg", "width": 100, "height": 80} for i, name in enumerate("ab")],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
        "annotations": [{"id": n, "image_id": n % 2, "category_id": 1} | a for n, a in enumerate(annotations)],
    }
    source.write(name, document | others)


BOX = {"bbox": [10, 20, 20, 20]}


class TestCoco:
    @pytest.mark.parametrize(
        "segmentation",
        [
            [10, 20, 30, 20, 30, 40, 10, 40],
            [[10, 20], [30, 20], [30, 40], [10, 40]],
            [{"size": [80, 100], "counts": [820, 20, *[60, 20] * 19, 8000 - 840 - 80 * 19]}],
            {"size": [80, 100], "counts": "b'dP1T1\\\\\\\\1'"},
        ],
        ids=["flat", "pairs", "runs in a list", "bytes as text"],
    )
    def test_segmentations_of_other_tools(self, source, segmentation):
        if isinstance(segmentation, dict):
            mask = pytest.importorskip("pycocotools.mask")
            np = pytest.importorskip("numpy")
            pixels = np.zeros((80, 100), np.uint8, order="F")
            pixels[20:40, 10:30] = 1
            segmentation = {"size": [80, 100], "counts": str(mask.encode(pixels)["counts"])}
        write_coco(source, {"segmentation": segmentation}, BOX)
        result = source.convert("coco", "coco.json")
        assert list_boxes(result)[0] == [("car", 10, 20, 30, 40)] and not result.problems

    def test_ids_as_decimal_numbers(self, source):
        """A table program writes them; another entry, which is turned, must not change how they are read."""
        ids = {"id": 7.0, "image_id": 1.0, "category_id": 2.0}
        write_coco(source, BOX | {"attributes": {"rotation": 180}}, BOX | ids)
        assert list_boxes(source.convert("coco", "coco.json"))[1] == [("bus", 10, 20, 30, 40)]

    @pytest.mark.parametrize("key", ["ignore", "difficult"])
    def test_objects_that_do_not_count(self, source, key):
        """In many conversions of VOC."""
        for value in (1, "1", True):
            write_coco(source, BOX | {key: value}, BOX | {key: 0})
            result = source.convert("coco", "coco.json")
            assert list_boxes(result) == [[], [("car", 10, 20, 30, 40)]] and list_unknown(result)[0] == ["car"]
            assert list_boxes(source.convert("coco", "coco.json", difficult="use"))[0]

    def test_boxes_of_a_larger_copy_are_named(self, source):
        write_coco(source, {"bbox": [20, 40, 100, 20]}, {"bbox": [90, 40, 15, 20]})
        (warning,) = [w for w in source.convert("coco", "coco.json").warnings if "far out" in w]
        assert warning.startswith("1 boxes reach far out of their image") and warning.endswith("image 'a': box 1 (car)")

    def test_corners_that_say_so(self, source):
        """Detectron2's datasets keep the form of a box beside it."""
        write_coco(source, {"bbox": [10, 20, 30, 40], "bbox_mode": 0}, BOX | {"bbox_mode": 1})
        assert list_boxes(source.convert("coco", "coco.json")) == [[("car", 10, 20, 30, 40)]] * 2
        write_coco(source, BOX | {"bbox_mode": 4})
        assert any("bbox_mode 4 is not read" in problem for problem in source.convert("coco", "coco.json").problems)

    def test_corners_by_their_area(self, source):
        """They fit the image, so that only the area tells."""
        write_coco(source, {"bbox": [10, 20, 30, 40], "area": 400}, {"bbox": [5, 5, 20, 45], "area": 600.4})
        assert any(
            "'area' of all 2 annotations is that between corners" in w
            for w in source.convert("coco", "coco.json").warnings
        )
        write_coco(source, {"bbox": [10, 20, 30, 40], "area": 400}, BOX | {"area": 400})
        assert not any("corners" in w for w in source.convert("coco", "coco.json").warnings)

    def test_predictions(self, source):
        write_coco(source, BOX | {"score": 0.1}, BOX | {"score": None})
        assert any("1 annotations have a score" in w for w in source.convert("coco", "coco.json").warnings)

    def test_categories_that_start_at_zero(self, source):
        write_coco(source, BOX | {"category_id": 0}, BOX)
        (problem,) = source.convert("coco", "coco.json", bad_boxes="skip").problems
        assert "class 0 is used, but 'categories' names 1 to 2: all numbers may be one too low" in problem

    @pytest.mark.parametrize(
        ("document", "message"),
        [({"images": [], "categories": []}, "got the keys 'images', 'categories'"), ([BOX], "should be an object")],
    )
    def test_other_files_of_coco(self, source, document, message):
        source.write("coco.json", document)
        with pytest.raises(ValueError, match=rf"{message}.*has 'images', 'categories' and 'annotations' with boxes"):
            source.convert("coco", "coco.json")


def test_parts_of_an_object_by_group(source):
    """LabelMe and CVAT give polygons of one object, cut in two by a post, one group."""
    left, right = [[10, 20], [20, 20], [20, 40]], [[40, 20], [50, 20], [50, 40]]
    shapes = [{"label": "car", "points": p, "shape_type": "polygon", "group_id": 3} for p in (left, right)]
    shapes.append({"label": "bus", "points": left, "shape_type": "polygon", "group_id": 3})
    shapes += [{"label": "car", "points": p[:2], "shape_type": "line", "group_id": None} for p in (left,)]
    source.write("labelme/a.json", {"shapes": shapes, "imagePath": "a.jpg"})
    polygons = [";".join(f"{x},{y}" for x, y in points) for points in (left, right)]
    text = "".join(f'<polygon label="car" points="{p}" group_id="3"/>' for p in polygons)
    text += f'<polygon label="bus" points="{polygons[0]}" group_id="3"/>'
    text += '<box label="car" xtl="1" ytl="1" xbr="5" ybr="5" group_id="4"/>' * 1
    masks = "".join(
        f'<mask label="bus" rle="0,4" left="{x}" top="60" width="2" height="2" group_id="5"/>' for x in (60, 70)
    )
    source.write(
        "cvat.xml", f'<annotations><image name="a.jpg" width="100" height="80">{text}{masks}</image></annotations>'
    )
    expected = [("car", 10, 20, 50, 40), ("bus", 10, 20, 20, 40)]
    result = source.convert("labelme", "labelme")
    assert list_boxes(result)[0] == expected
    assert any("1 polygons and masks are further parts of objects" in w for w in result.warnings)
    result = source.convert("cvat", "cvat.xml")
    assert list_boxes(result)[0] == [*expected, ("car", 1, 1, 5, 5), ("bus", 60, 60, 72, 62)]


def test_objects_that_x_anylabeling_calls_difficult(source):
    shape = {"label": "car", "points": [[10, 20], [30, 40]], "shape_type": "rectangle", "difficult": True}
    source.write("labelme/a.json", {"shapes": [shape], "imagePath": "a.jpg"})
    source.write("labelme/b.json", {"shapes": [shape | {"difficult": False}], "imagePath": "b.jpg"})
    result = source.convert("labelme", "labelme")
    assert list_boxes(result) == [[], [("car", 10, 20, 30, 40)]] and "car" in list_unknown(result)[0]


def test_a_tag_without_label(source):
    source.write("cvat.xml", '<annotations><image name="a.jpg" width="100" height="80"><tag/></image></annotations>')
    assert (
        source.convert("cvat", "cvat.xml")
        .problems[0]
        .endswith("image 'a.jpg': a <tag> has no label; correct it, or set annotations.bad_boxes: skip")
    )


def rectangle(target="image"):
    value = {"x": 10, "y": 25, "width": 20, "height": 25, "rectanglelabels": ["car"]}
    size = {"original_width": 100, "original_height": 80}
    return {"id": "r", "type": "rectanglelabels", "to_name": target, "value": value, **size}


class TestLabelStudio:
    @pytest.mark.parametrize(
        ("data", "results", "boxes"),
        [
            ({"image": "b.jpg", "image2": "a.jpg"}, [rectangle("image2")], 1),
            ({"image": "a.jpg", "image2": "c.jpg"}, [rectangle("img")], 1),
            ({"image": "/tasks/1/resolve/?fileuri=czM6Ly9idWNrZXQvYS5qcGc="}, [rectangle()], 1),
            ({"image": "data:image/png;base64,iVBO"}, [rectangle()], 1),
        ],
    )
    def test_the_image_of_a_task(self, source, data, results, boxes):
        source.write("l.json", [{"id": 1, "data": data, "file_upload": "a.jpg", "annotations": [{"result": results}]}])
        result = source.convert("label_studio", "l.json", images=("a.jpg",))
        assert list_boxes(result) == [[("car", 10, 20, 30, 40)]] and not result.problems

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"image": "a.jpg", "image2": "c.jpg"}, "has results on the images image, image2"),
            ({"image": ["a.jpg", "c.jpg"]}, "has a list of images in 'image'"),
        ],
    )
    def test_tasks_of_several_images(self, source, data, message):
        results = [rectangle(), rectangle("image2")]
        source.write("l.json", [{"id": 1, "data": data, "annotations": [{"result": results}]}])
        assert message in source.convert("label_studio", "l.json").problems[0]

    def test_fractions_in_place_of_percent(self, source):
        value = rectangle()["value"] | {"x": 0.1, "y": 0.25, "width": 0.2, "height": 0.25}
        task = {"data": {"image": "a.jpg"}, "annotations": [{"result": [rectangle() | {"value": value}]}]}
        source.write("l.json", [task])
        assert "multiply them by 100" in source.convert("label_studio", "l.json").problems[0]
        other = {"data": {"image": "b.jpg"}, "annotations": [{"result": [rectangle()]}]}
        source.write("l.json", [task, other])
        assert not source.convert("label_studio", "l.json").problems

    def test_drafts(self, source):
        draft = {"id": 1, "data": {"image": "a.jpg"}, "annotations": [], "drafts": [{"result": [rectangle()]}]}
        source.write(
            "l.json", [draft, {"id": 2, "data": {"image": "b.jpg"}, "annotations": [{"result": [rectangle()]}]}]
        )
        assert any(
            "1 tasks have drafts that nobody submitted" in w for w in source.convert("label_studio", "l.json").warnings
        )


class TestTables:
    def test_sizes_of_images_in_a_table_of_boxes(self, source):
        """Without them, boxes of a smaller copy would be read as they are."""
        header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        source.write("t.csv", f"{header}a.jpg,50,40,car,5,10,15,20\nb.jpg,50,40,bus,5,10,15,20\n")
        assert "a.jpg: is 100x80, its annotations are for 50x40" in source.convert("csv", "t.csv").problems[0]
        source.write("t.csv", f"{header}a.jpg,100,80,car,5,10,15,20\nb.jpg,100,80,bus,5,10,15,20\n")
        result = source.convert("csv", "t.csv")
        assert not result.problems and not any("not read" in w for w in result.warnings)
        source.write("t.csv", f"{header}a.jpg,10,10,car,50,50,60,60\nb.jpg,10,10,bus,5,10,15,20\n")
        result = source.convert("csv", "t.csv")
        assert not result.problems and any("columns that are not read: 'width', 'height'" in w for w in result.warnings)

    def test_corner_and_size_in_place_of_two_corners(self, source):
        source.write("t.csv", "image,class,x,y,width,height\na.jpg,car,10,20,20,20\n")
        with pytest.raises(ValueError, match="may be boxes, or points in images of that size; write boxes as x0,y0"):
            source.convert("csv", "t.csv", points="weak")

    def test_the_first_line_is_quoted_as_it_is(self, source):
        source.write("t.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\n")
        with pytest.raises(ValueError, match="its first line is 'ImageID,LabelName,XMin,XMax,YMin,YMax'; it must name"):
            source.convert("csv", "t.csv")

    def test_an_image_that_is_tagged_twice_in_json(self, source):
        source.write("t.json", '{"a.jpg": ["car"], "a.jpg": ["sky"], "b.jpg": ["bus", "sky"]}')
        records = [ImageRecord(name, f"/photos/{name}.jpg", 80, 100, "") for name in "ab"]

        def convert(**settings):
            return convert_annotations(AnnotationsSettings(tags="t.json", **settings), source.folder, records, CLASSES)

        assert "t.json: image 'a.jpg' is there twice" in convert().problems[0]
        assert list_unknown(convert(bad_boxes="skip"))[0] == ["car", "bus"]


@pytest.mark.parametrize(
    ("kind", "path", "content", "found"),
    [
        ("coco", "x.xml", "<annotations/>", "cvat"),
        ("voc", "x.json", {"images": [], "categories": [], "annotations": []}, "coco"),
        ("label_studio", "x.csv", "image,class,x0,y0,x1,y1\n", "csv"),
        ("yolo", "x/a.xml", "<annotation/>", "voc"),
        ("via", "x/a.json", [{"id": 1, "annotations": []}], "label_studio"),
    ],
)
def test_the_format_that_a_file_really_has_is_suggested(source, kind, path, content, found):
    source.write(path, content)
    with pytest.raises(ValueError, match=rf"looks like the format {found}: set annotations\.format to {found}"):
        source.convert(kind, path.partition("/")[0])


@pytest.mark.parametrize(
    ("name", "rename", "message"),
    [
        ("a car, red", {}, "rename: {'a car, red': a class"),
        ("no", {}, "rename: {'no': a class"),
        ("it's", {}, "rename: {'it''s': a class"),
        ("tram", {}, "rename: {tram: a class"),
        ("tram", {"tram": "train"}, "rename makes 'train' of class 'tram' of the annotations"),
    ],
)
def test_names_that_are_not_in_the_class_table(source, name, rename, message):
    write_coco(source, BOX, categories=[{"id": 1, "name": name}])
    assert message in source.convert("coco", "coco.json", rename=rename).problems[0]


def test_another_image_of_the_same_name(source):
    """The export holds all splits, but not this image of the training split."""
    images = {"a": "/data/train/a.jpg", "b": "/data/train/b.jpg", "c": "/data/train/c.jpg"}
    matches = match_names(["val/a.jpg", "train/b.jpg", "c.jpg"], images)
    assert matches.by_image == {"b": [1], "c": [2]} and matches.unmatched == ["val/a.jpg"]
    assert match_names(["val/a.jpg", "cam/b.jpg"], images).by_image == {"a": [0], "b": [1]}


def test_another_tool_is_not_taken_for_label_studio(source):
    """CreateML's file is a list of images with annotations, too."""
    source.write("c.json", [{"image": "a.jpg", "annotations": [{"label": "car", "coordinates": {"x": 1}}]}])
    with pytest.raises(ValueError, match="should be an object") as caught:
        source.convert("coco", "c.json")
    assert "looks like" not in str(caught.value)


@pytest.mark.parametrize("name", ["a b.jp2", "a%20b.jpg", "/data/a%20b.jp2", "a b.png"])
def test_names_as_other_tools_write_them(name):
    assert match_names([name], {"a b": "/photos/a b.jp2"}).by_image == {"a b": [0]}
