"""The prices of single acts add up to what studies measured of whole images."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pseudogt.weak_labels.seconds import PRICES, WHOLE_IMAGES, price_acts

VOC_CLASSES, CLASSES_PER_IMAGE, OBJECTS_PER_IMAGE = 20, 1.5, 2.8
ABSENT = VOC_CLASSES - CLASSES_PER_IMAGE


@pytest.mark.parametrize(
    ("acts", "published"),
    [
        ({"tag": VOC_CLASSES}, 20.0),
        ({"tag": ABSENT, "point": CLASSES_PER_IMAGE}, 22.1),
        ({"tag": ABSENT, "scribble": CLASSES_PER_IMAGE}, 34.9),
        ({"tag": ABSENT, "outline": OBJECTS_PER_IMAGE}, WHOLE_IMAGES["voc"].seconds),
    ],
)
def test_acts_add_up_to_the_seconds_of_an_image_of_voc(acts, published):
    assert price_acts(acts) == pytest.approx(published, rel=0.003)


def test_other_seconds_replace_those_of_the_table():
    acts = {"box": 2, "tag": 3}
    assert price_acts(acts, {"box": PRICES["drawn_box"].seconds}) == 2 * 34.5 + 3


def test_every_price_says_what_it_pays_for_and_where_it_comes_from():
    for price in (*PRICES.values(), *WHOLE_IMAGES.values()):
        assert price.seconds > 0 and price.act and price.source
    assert {act for act, price in PRICES.items() if price.basis == "assumed"} == {"crop_tag"}


def test_seconds_are_read_without_arrays():
    code = "import sys, pseudogt.weak_labels.seconds; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
