"""The pages in headless Chromium: what a person does with them, by mouse, finger and keyboard."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from chromium import PROGRAM, Chromium

from pseudogt.classes import ClassTable
from pseudogt.files.images import write_png
from pseudogt.reporting.page import render_page
from pseudogt.reporting.pictures import embed_image
from pseudogt.reporting.review_page import GAP_PX, PICTURE_WIDTH_PX, draw_suspects, render_queue
from pseudogt.reporting.review_queue import Suspect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason="no program `chromium`; install Debian's package of that name"),
]

CLASSES = ClassTable(
    ("road", "sky", "car <b>"), (7, 23, 26), (False, False, True), ((128, 64, 128), (70, 130, 180), (0, 0, 142))
)
METRICS = ("pq", "pq_th", "pq_st", "miou", "ap")
TITLES = {
    "image": "image",
    "ground-truth": "ground truth",
    "labels-0": "labels of round 0",
    "labels-2": "labels of round 2",
    "predictions": "prediction, weak labels",
    "reference-predictions": "prediction, full labels",
}
VIEWS = {
    "train": ("ground-truth", "labels-0", "labels-2"),
    "val": ("ground-truth", "predictions", "reference-predictions"),
}


def make_images(*, scored: bool) -> list[dict]:
    """Four images of train and four of val; cars in half of them."""
    label = np.full((40, 80), 7000, np.int32)
    images = []
    for i in range(8):
        split, has_car = "train" if i < 4 else "val", i % 2 == 0
        label[10:20, 20:40] = 26001 if has_car else 23000
        views = [view for view in VIEWS[split] if scored or view not in ("ground-truth", "reference-predictions")]
        photo = np.full((40, 80, 3), 30 * i, np.uint8)
        pictures = embed_image(photo, dict.fromkeys(views, label), None, CLASSES, width_px=80, limit_bytes=10**6)
        classes = {"road": 0.9} | ({CLASSES.names[2]: i / 10} if has_car else {"sky": 0.5})
        described = {"id": f"{split} <i>{i}</i>", "split": split, "group": ("random", "best", "worst")[i % 3]}
        # The last image has neither score nor trust.
        measured = {"score": i / 10 if scored and i < 7 else None, "trust": 1 - i / 10 if i < 7 else None}
        described |= measured | {"classes": classes, "known": "boxes", "tags": ["road"]}
        images.append(described | asdict(pictures))
    return images


def make_page(*, scored: bool = True) -> str:
    summary = {
        "dataset": "streets",
        "supervision": "boxes",
        "rounds": [],
        "reference": {"val": None},
        "ratio": dict.fromkeys(METRICS),
    }
    images = make_images(scored=scored)
    titles = {key: title for key, title in TITLES.items() if key == "image" or any(key in i["labels"] for i in images)}
    figure = {"title": "Rounds", "caption": "", "image": np.zeros((30, 60, 3), np.uint8)}
    table = {"title": "Time", "caption": "", "columns": ["stage"], "rows": [["cams"]]}
    rounds = ["labels-0", "labels-2"]
    return render_page(
        summary, CLASSES, images, titles=titles, rounds=rounds, rules=["All."], figures=[figure], tables=[table]
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(make_page(), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, page):
    browser.open(page)
    yield browser
    assert browser.errors == []
    assert browser.requests == []


def set_value(browser: Chromium, name: str, value: str) -> None:
    """Set a control of the form as a person does: its value, then the event."""
    browser.run(
        f"form['{name}'].value = '{value}'; form['{name}'].dispatchEvent(new Event('input', {{bubbles: true}}))"
    )


def list_shown(browser: Chromium) -> list[int]:
    """Numbers of the images that the page shows, in its order."""
    script = "[...document.querySelectorAll('.card:not([hidden])')].map((c) => Number(c.dataset.id.match(/\\\\d/)[0]))"
    return browser.run(script.replace("\\\\", "\\"))


def find_frame(browser: Chromium, selector: str = ".card .frame") -> dict[str, float]:
    """Place of the first frame in the window."""
    return browser.run(f"document.querySelector('{selector}').getBoundingClientRect().toJSON()")


def find_border(browser: Chromium, selector: str = ".card .frame") -> float:
    """Where the border between the two views of a frame is, as a share of its width, by what the browser paints."""
    return browser.run(
        f"(() => {{ const frame = document.querySelector('{selector}'), place = frame.getBoundingClientRect();"
        "const line = frame.querySelector('.line').getBoundingClientRect();"
        "return (line.left + line.width / 2 - place.left) / place.width; })()"
    )


def test_page_shows_every_picture(opened):
    assert opened.run("document.images.length") > 8
    broken = "[...document.images].filter((i) => i.getAttribute('src') && !(i.complete && i.naturalWidth)).length"
    assert opened.run(broken) == 0
    assert opened.run("performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:'))") == []
    assert opened.run("document.querySelectorAll('i, h1 b').length") == 0  # names of images and classes are text
    assert opened.run("find('count').textContent") == "8 of 8 images"


def test_policy_refuses_what_is_not_in_the_file(browser, page):
    browser.open(page)
    browser.run("fetch('http://localhost:9/x').catch(() => null)")
    browser.run(
        "new Promise((done) => { const i = new Image(); i.onerror = done; i.src = 'http://localhost:9/y.png' })"
    )
    assert any("Content Security Policy" in error for error in browser.errors)


def test_mouse_moves_the_slider(opened):
    place = find_frame(opened)
    assert find_border(opened) == pytest.approx(0.5, abs=0.01)
    y = place["top"] + place["height"] / 2
    opened.drag((place["left"] + place["width"] / 2, y), (place["left"] + 0.2 * place["width"], y))
    assert find_border(opened) == pytest.approx(0.2, abs=0.01)
    assert opened.run("data.images[0].frame.range.value") == "20"


def test_label_is_painted_right_of_the_border_alone(opened):
    def paint(percent: int) -> np.ndarray:
        opened.run(f"data.images[0].frame.move({percent})")
        return opened.run(
            "[...document.querySelectorAll('.card .frame .left, .card .frame .right')].slice(0, 2)"
            ".map((side) => [side.hidden, getComputedStyle(side).clipPath])"
        )

    (left_hidden, _), (right_hidden, clipped) = paint(80)
    assert left_hidden  # the photo lies below
    assert not right_hidden
    assert clipped == "inset(0px 0px 0px 80%)"


def test_keys_move_the_slider(opened):
    opened.run("data.images[0].frame.range.focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        opened.press(key)
    assert find_border(opened) == pytest.approx(0.51, abs=0.005)
    assert opened.run("data.images[0].frame.range.getAttribute('aria-valuetext')") == "51% image"
    opened.press("Home")
    assert find_border(opened) == pytest.approx(0, abs=0.005)


def test_finger_moves_the_slider_of_a_phone(opened, page):
    opened.open(page, 390, 844)
    place = find_frame(opened)
    assert place["width"] > 340
    y = place["top"] + 30
    opened.swipe((place["left"] + 0.5 * place["width"], y), (place["left"] + 0.9 * place["width"], y))
    assert find_border(opened) == pytest.approx(0.9, abs=0.02)


def test_phone_shows_pictures_on_its_first_screen_and_does_not_scroll_sideways(opened, page):
    opened.open(page, 390, 844)
    assert opened.run("document.documentElement.scrollWidth") <= 390
    assert find_frame(opened)["top"] < 500
    assert not opened.run("find('more').open")


def test_one_slider_moves_all(opened):
    set_value(opened, "all", "75")
    assert opened.run("data.images.every((image) => image.frame.range.value === '75')")
    set_value(opened, "opacity", "20")
    assert opened.run("getComputedStyle(document.querySelector('.frame .layer')).opacity") == "0.2"


def test_pairs_to_compare(opened):
    def read_names() -> list[str]:
        return opened.run("[...document.querySelectorAll('.card:not([hidden]) .name')].map((n) => n.textContent)")

    assert read_names()[:2] == ["image", "labels of round 2"]
    set_value(opened, "pair", "rounds")
    assert list_shown(opened) == [0, 1, 2, 3]
    assert read_names()[:2] == ["labels of round 0", "labels of round 2"]
    assert opened.run("[...document.querySelectorAll('.card:not([hidden]) .frame img')].every((i) => !i.hidden)")
    set_value(opened, "pair", "weak")
    assert read_names()[-2:] == ["prediction, weak labels", "prediction, full labels"]
    set_value(opened, "pair", "truth")
    assert read_names()[:2] == ["labels of round 2", "ground truth"]


def test_filters(opened):
    set_value(opened, "split", "val")
    assert list_shown(opened) == [4, 5, 6, 7]
    set_value(opened, "group", "worst")
    assert list_shown(opened) == [5]
    assert opened.run("find('count').textContent") == "1 of 8 images"
    opened.run("document.querySelector('button[type=reset]').click(); new Promise((done) => setTimeout(done))")
    assert len(list_shown(opened)) == 8
    set_value(opened, "score", "0.25")
    assert list_shown(opened) == [0, 1, 2]
    assert opened.run("find('score-value').textContent") == "0.25"
    set_value(opened, "score", "1")
    set_value(opened, "trust", "0.55")
    assert list_shown(opened) == [5, 6]


def test_classes_filter_and_narrow_trust_to_them(opened):
    click = "document.querySelector('#chips button[data-name=\"{}\"]').click()"
    opened.run(click.format(CLASSES.names[2]))
    assert list_shown(opened) == [0, 2, 4, 6]
    set_value(opened, "sort", "trust down")  # of the cars, which rises where that of the images falls
    assert list_shown(opened) == [6, 4, 2, 0]
    caption = opened.run("document.querySelector('.card:not([hidden]) .caption').textContent")
    assert caption.endswith("random of val, PQ 0.60, trust of car <b> 0.60")
    opened.run(click.format("sky"))
    assert list_shown(opened) == []
    assert not opened.run("find('nothing').hidden")
    opened.run(click.format(CLASSES.names[2]))
    assert sorted(list_shown(opened)) == [1, 3, 5, 7]


def test_orders(opened):
    set_value(opened, "sort", "score down")
    assert list_shown(opened) == [6, 5, 4, 3, 2, 1, 0, 7]  # what has no score comes last
    set_value(opened, "sort", "score up")
    assert list_shown(opened) == [0, 1, 2, 3, 4, 5, 6, 7]
    set_value(opened, "sort", "trust up")
    assert list_shown(opened) == [6, 5, 4, 3, 2, 1, 0, 7]


def test_large_view(opened):
    opened.run("document.querySelectorAll('.view button')[1].click()")
    assert opened.run("dialog.open && find('large-title').textContent") == "train <i>1</i>"
    assert find_frame(opened, "#large .frame")["width"] > 2 * find_frame(opened)["width"]
    place = find_frame(opened, "#large .frame")
    y = place["top"] + place["height"] / 2
    opened.drag((place["left"] + 100, y), (place["left"] + 0.3 * place["width"], y))
    assert find_border(opened, "#large .frame") == pytest.approx(0.3, abs=0.01)
    opened.run("find('first').value = 'ground-truth'; find('first').dispatchEvent(new Event('change'))")
    assert opened.run("document.querySelector('#large .name').textContent") == "ground truth"
    opened.run("find('next').click()")
    assert opened.run("find('large-title').textContent") == "train <i>2</i>"
    assert "trust 0.20" in opened.run("find('large-classes').textContent")
    opened.press("Escape")
    assert not opened.run("dialog.open")


def test_page_without_ground_truth(browser, tmp_path):
    (tmp_path / "index.html").write_text(make_page(scored=False), encoding="utf-8")
    browser.open(tmp_path / "index.html")
    assert browser.run("[...form.pair.options].map((o) => o.value)") == ["label", "rounds"]
    assert browser.run("form.score === undefined")
    set_value(browser, "sort", "trust up")
    assert list_shown(browser)[:2] == [6, 5]
    assert browser.errors == browser.requests == []


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    """The page of a review queue of one image with a long name."""
    folder = tmp_path_factory.mktemp("queue")
    suspects = [Suspect("box", "car", [1, 1, 9, 9], 50, 0.3, {"agreement": 0.3})]
    panels = (np.full((40, 80, 3), shade, np.uint8) for shade in (50, 200))
    (folder / "pictures").mkdir()
    # What the file holds decides how it is read, not what it is called.
    write_png(folder / "pictures" / "0001.jpg", draw_suspects(*panels, suspects, PICTURE_WIDTH_PX))
    row = {"rank": 1, "image_id": "a_long_name_" * 6, "priority": "1", "trust": "0.3", "coverage": "1", "reasons": ""}
    (folder / "index.html").write_text(render_queue([row], [suspects], 1), encoding="utf-8")
    return folder / "index.html"


@pytest.mark.parametrize(("width", "columns"), [(1400, 2), (390, 1)])
def test_review_page_shows_image_and_label(browser, queue, width, columns):
    browser.open(queue, width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    read = "[...document.querySelectorAll('.pair {}')].map((e) => e.getBoundingClientRect().toJSON())"
    halves, pictures = browser.run(read.format("span")), browser.run(read.format("img"))
    assert len({half["left"] for half in halves}) == columns
    # Each half shows its part of the picture, and the gap of neither.
    scale = halves[0]["width"] / PICTURE_WIDTH_PX
    shifts = [(half["left"] - picture["left"]) / scale for half, picture in zip(halves, pictures, strict=True)]
    assert shifts == pytest.approx([0, PICTURE_WIDTH_PX + GAP_PX], abs=0.5)
    assert pictures[1]["width"] / scale == pytest.approx(2 * PICTURE_WIDTH_PX + GAP_PX, abs=0.5)
    assert browser.errors == []
    assert {request.rpartition("/")[2] for request in browser.requests} == {"0001.jpg"}
