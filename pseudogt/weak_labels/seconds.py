"""How many seconds of a person's time each act of labelling takes, from published studies.

Nothing is imported but the standard library, so that whatever reads the seconds stays light. Costs follow from what an
image holds, never from one constant per form of label: an act is counted as often as it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Price(NamedTuple):
    """What one act costs.

    Attributes
    ----------
    seconds : float
    act : str
        What a person does.
    source : str
        Where the figure comes from.
    basis : str
        ``checked``: read in the source or in a later paper that quotes it; ``cited``: quoted from the source, its
        text was not at hand; ``assumed``: no study is known.
    """

    seconds: float
    act: str
    source: str
    basis: Literal["checked", "cited", "assumed"]


BEARMAN = "Bearman et al., What's the Point, ECCV 2016"

PRICES = {
    "tag": Price(
        1.0, "say whether a class is in the image", f"{BEARMAN}: 20.0 s an image for the 20 classes of VOC", "cited"
    ),
    "crop_tag": Price(
        1.0, "say whether a class that the image has is in a crop", "as fast as for a whole image", "assumed"
    ),
    "box": Price(
        7.0, "box an object by clicking its four extreme points", "Papadopoulos et al., Extreme Clicking, ICCV 2017",
        "checked",
    ),
    "drawn_box": Price(
        34.5, "box an object by dragging a rectangle, and have it verified",
        "Su et al., Crowdsourcing Annotations for Visual Object Detection, HCOMP 2012, as Papadopoulos et al. (2017) "
        "quote it", "cited",
    ),
    "point": Price(
        2.4, "click the first object of a class in an image", f"{BEARMAN}: 22.1 s an image of 1.5 classes", "cited"
    ),
    "further_point": Price(0.9, "click another object of that class", BEARMAN, "cited"),
    "scribble": Price(
        10.9, "draw a stroke through a segment", f"{BEARMAN}: 34.9 s an image of 1.5 classes", "cited"
    ),
    "outline": Price(
        79.2, "outline an object or a region of stuff",
        "Lin et al., Microsoft COCO, ECCV 2014: 22 hours for 1000 objects; for stuff assumed to be the same", "checked",
    ),
    "compact_outline": Price(
        8.4, "outline a small compact object, such as a nucleus",
        "Englbrecht et al., Automatic image annotation for fluorescent cell nuclei segmentation, PLOS ONE 2021: about "
        "15 hours for 6409 nuclei", "checked",
    ),
}  # fmt: skip
"""Price of each act."""

WHOLE_IMAGES = {
    "cityscapes": Price(
        5400.0, "label every pixel of a street scene of Cityscapes",
        "Cordts et al., The Cityscapes Dataset, CVPR 2016: more than 1.5 hours", "checked",
    ),
    "cityscapes_coarse": Price(
        420.0, "label a street scene of Cityscapes by coarse polygons", "Cordts et al., CVPR 2016: 7 minutes", "checked"
    ),
    "voc": Price(
        239.7, "outline all objects of an image of VOC", f"{BEARMAN}: 2.8 objects, 18.5 absent classes", "checked"
    ),
}  # fmt: skip
"""Published seconds of whole images, against which sums of single acts can be held. No cost is computed from them."""


def price_acts(acts: Mapping[str, float], seconds: Mapping[str, float] | None = None) -> float:
    """Seconds of so many acts of each kind.

    Parameters
    ----------
    acts : mapping
        Act -> how often it is done; may be a mean over images.
    seconds : mapping, optional
        Act -> seconds, for acts whose price differs from that in ``PRICES``.

    Examples
    --------
    >>> price_acts({"tag": 18.5, "outline": 2.8}) == 18.5 + 2.8 * 79.2
    True
    >>> price_acts({"box": 2}, {"box": 34.5})
    69.0
    """
    changed = seconds or {}
    return sum(count * changed.get(act, PRICES[act].seconds) for act, count in acts.items())
