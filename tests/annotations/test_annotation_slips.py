"""Slips in tables that people type, and what spreadsheets make of them."""

from __future__ import annotations

import json

import pytest

from pseudogt.annotations import convert_annotations
from pseudogt.annotations.coco import read_coco
from pseudogt.annotations.label_studio import read_label_studio
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord

CLASSES = ClassTable(("sky", "car"), (1, 2), (False, True), ((0, 0, 0),) * 2)
POINTS, SCRIBBLES = "image,class,x,y\n", "image,class,points\n"


def convert(folder, content, *names, width=100, height=80, orientation=1):
    """Weak labels of images from a table; their warnings and problems."""
    path = folder / "marks.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = AnnotationsSettings(format="csv", path=path.name, points="weak")
    records = [ImageRecord(name, f"{name}.jpg", height, width, "", orientation) for name in names or ("a",)]
    return convert_annotations(settings, folder, records, CLASSES)


@pytest.mark.parametrize("start", [b"PK\x03\x04\x14\x00", b"\xd0\xcf\x11\xe0\xa1\xb1"])
def test_a_spreadsheet_with_the_name_of_a_table_is_called_one(tmp_path, start):
    with pytest.raises(ValueError, match=r"marks\.csv: is a spreadsheet .*; save it as text"):
        convert(tmp_path, start)


@pytest.mark.parametrize(
    ("content", "vertices"),
    [
        ("Image,Class,X,Y\na.jpg,sky,50,5\n", [[50, 5]]),
        (SCRIBBLES + "a.jpg,sky,10 10;20 20;\n", [[10, 10], [20, 20]]),
        ('image;class;points\r\na.jpg;sky;"10,5 10;20 20"\r\n', [[10.5, 10], [20, 20]]),
    ],
    ids=["capitals", "trailing semicolon", "decimal comma"],
)
def test_what_can_only_mean_one_thing_is_read(tmp_path, content, vertices):
    result = convert(tmp_path, content)
    (mark,) = result.images[0].marks
    assert mark.values.tolist() == vertices and not result.problems


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,class,x0,y0,x1,y1,x,y\na.jpg,car,1,1,9,9,7,5\n", "line 2 holds a box and a point; give each a row"),
        ("image,class,x,y,points\na.jpg,sky,5,5,1 1;2 2\n", "line 2 holds a point and a scribble; give each a row"),
        (SCRIBBLES + 'a.jpg,sky,"10,10;20,20"\n', "line 2: its points '10,10;20,20' are not 'x y;x y'"),
        (POINTS + "a.jpg,sky\n", "line 2, x: '' is not a number"),
        (POINTS + "a.jpg,sky,0.5,0.05\na.jpg,car,1,0.25\n", "like fractions of the image; give them in pixels"),
        ("image,class,x0,y0,x1,y1\na.jpg,car,0.1,0.2,0.5,0.6\n", "like fractions of the image; give them in pixels"),
    ],
)
def test_what_would_be_read_wrongly_is_a_problem(tmp_path, content, message):
    assert any(message in problem for problem in convert(tmp_path, content).problems)


@pytest.mark.parametrize(
    "content",
    [
        "image,class,x0,y0,x1,y1,x,y\na.jpg,car,1,1,9,10,5,5\n",
        "image,class,Class,x0,y0,x1,y1\na.jpg,car,7,1,1,9,10\n",
        "Image,filename,class,x0,y0,x1,y1\n7,a.jpg,car,1,1,9,10\n",
        '"image","xmin","ymin","xmax","ymax","label"\n"a.jpg",1,1,9,10,"car"\n',
        "image,label,class,x0,y0,x1,y1\na.jpg,1,car,1,1,9,10\n",
        "file_name,class,x_min,y_min,x_max,y_max\na.jpg,car,1,1,9,10\n",
    ],
    ids=["centre", "class twice", "image twice", "VoTT", "label beside class", "Kaggle"],
)
def test_columns_beside_those_of_a_box_change_nothing(tmp_path, content):
    result = convert(tmp_path, content)
    assert result.images[0].boxes_xyxy.tolist() == [[1, 1, 9, 10]] and not result.problems


def test_the_first_pixel_is_no_fraction(tmp_path):
    assert convert(tmp_path, POINTS + "a.jpg,sky,0,1\n").problems == []


def test_a_pixel_that_is_clicked_for_two_classes_is_named(tmp_path):
    result = convert(tmp_path, POINTS + "a.jpg,sky,50,5\na.jpg,car,50.4,5.9\na.jpg,car,20,20\na.jpg,car,20,20\n")
    assert result.warnings == [
        "1 pixels are clicked for several classes and stay without label: image 'a' at (50, 5) (sky, car)"
    ]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ("", [50, 70]),
        ("c.jpg,sky,110,60\n", [10, 50]),
        ("c.jpg,sky,110,60\nd.jpg,sky,50,110\n", [50, 70]),
    ],
    ids=["one", "two", "contrary"],
)
def test_clicks_that_fit_a_photo_both_ways_follow_those_that_fit_one_way_only(tmp_path, others, expected):
    """A table gives no sizes: two photos show that the clicks were made on photos as they are stored."""
    content = POINTS + "a.jpg,sky,110,70\nb.jpg,sky,50,70\n" + others
    result = convert(tmp_path, content, *"abcd", width=80, height=120, orientation=6)
    (mark,) = result.images[1].marks
    assert mark.values.tolist() == [expected] and not result.problems


def write_coco(folder, *annotations):
    """Car annotations of one image of 100x80 pixels."""
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 1} | a for n, a in enumerate(annotations, 1)],
    }
    (folder / "coco.json").write_text(json.dumps(document))
    return folder / "coco.json"


def test_boxes_that_look_like_corners_are_named(tmp_path):
    """COCO's boxes have a width and a height; those of other libraries have a second corner."""
    (warning,) = read_coco(write_coco(tmp_path, {"bbox": [50, 40, 90, 70]}, {"bbox": [5, 5, 20, 20]})).warnings
    assert "coco.json: 1 boxes stick out of their images" in warning and "if they are corners, subtract" in warning
    assert not read_coco(write_coco(tmp_path, {"bbox": [50, 40, 90, 70]}, {"bbox": [50, 5, 20, 20]})).warnings
    assert not read_coco(write_coco(tmp_path, {"bbox": [5, 5, 20, 20]})).warnings


SQUARE = [5, 5, 25, 5, 25, 25, 5, 25]


@pytest.mark.parametrize(
    ("bbox", "remedy"),
    [
        ([5, 5, 25, 25], "they fit as corners [x0, y0, x1, y1]; subtract x0"),
        ([0, 0, 100, 80], "the box around the segmentation is then used"),
        ([4, 5, 22, 21], None),
        ([0, 0, 0, 0], None),
    ],
)
@pytest.mark.parametrize("polygons", [[SQUARE], SQUARE])
def test_boxes_that_lie_elsewhere_than_their_polygons_are_named(tmp_path, bbox, remedy, polygons):
    path = write_coco(tmp_path, {"bbox": bbox, "segmentation": polygons})
    reading = read_coco(path)
    warnings = [w for w in reading.warnings if "1 annotations lies elsewhere than their segmentation" in w]
    assert [remedy in w for w in warnings] == ([True] if remedy else [])
    assert reading.images[0].boxes[0].segmentation is None
    assert reading.images[0].boxes[0].xyxy[2:] != (0, 0)
    without = change_file(path, lambda document: document["annotations"][0].pop("bbox"))
    assert read_coco(without).images[0].boxes[0].xyxy == (5, 5, 25, 25)


def test_annotations_whose_ids_start_anew_in_each_image_are_all_used(tmp_path):
    path = write_coco(tmp_path, {"bbox": [5, 5, 20, 20]}, {"bbox": [50, 5, 20, 20]})
    reading = read_coco(change_file(path, lambda document: document["annotations"][1].update(id=1)))
    assert len(reading.images[0].boxes) == 2 and not reading.list_faults()
    assert any("1 annotations have the id of another, such as [1]" in w for w in reading.warnings)


def change_file(path, change):
    """Apply a function to the document in a file."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_a_mask_of_another_size_gives_no_box(tmp_path):
    """Width and height swapped: its pixels would be read along the wrong axis."""
    swapped = {"segmentation": {"size": [100, 80], "counts": [10, 20, 7970]}}
    (image,) = read_coco(write_coco(tmp_path, swapped)).images
    assert not image.boxes and "its mask is for [height, width] [100, 80]" in (image.unusable[0].problem or "")


@pytest.mark.parametrize(
    ("task", "warning"),
    [
        ({"annotations": [], "predictions": [{"result": [{}]}]}, "1 tasks have predictions that nobody accepted"),
        ({"annotations": [{"result": [{"type": "x", "image_rotation": 90}]}]}, "1 images were turned in Label Studio"),
    ],
)
def test_tasks_whose_marks_may_be_missed_are_counted(tmp_path, task, warning):
    (tmp_path / "tasks.json").write_text(json.dumps([{"id": 1, "data": {"image": "a.jpg"}} | task]))
    assert any(warning in line for line in read_label_studio(tmp_path / "tasks.json").warnings)


def test_a_name_that_differs_only_in_case_is_explained(tmp_path):
    (problem,) = convert(tmp_path, POINTS + "A.JPG,sky,50,5\n").problems
    assert problem.endswith("'A.JPG'; 'A.JPG' differs from 'a.jpg' only in case: give both the same name")
    (problem,) = convert(tmp_path, POINTS + "b.jpg,sky,50,5\n").problems
    assert "case" not in problem
