"""The page of the review queue: pictures with numbered boxes, and what is wrong with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray

from pseudogt.reporting.overlays import resize_to_width
from pseudogt.reporting.page_style import STYLE
from pseudogt.reporting.review_queue import Suspect

GAP_PX = 6

PICTURE_WIDTH_PX = 560
"""Width of a picture of the page."""

# A literal, not a file of its own: the digest that decides what reruns is taken from Python sources.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Review queue</title>
<link rel="icon" href="data:,">
<style>{{ style | safe }}
 body { max-width: 1200px }
 section { border-top: 1px solid var(--line); padding: 1rem 0 } h2 { margin: 0 0 .5rem; font-size: 1.2rem }
 th, td { text-align: left; white-space: normal; padding: .15rem .8rem; border: 0; vertical-align: top }
 .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; margin: .5rem 0 }
 .pair span { overflow: hidden } .pair img { display: block; max-width: none; width: {{ picture_percent }}% }
 .pair span + span img { margin-left: -{{ second_percent }}% }
 @media (max-width: 40rem) { .pair { grid-template-columns: 1fr } }
</style>
<h1>Review queue</h1>
<p>The {{ rows | length }} of {{ total }} images in which a corrected mask is expected to help most. Numbers on the
pictures are those of the tables; red boxes are trusted least. Hatched parts have no label. All images are in
<a href="images.csv">images.csv</a>, all masks in <a href="segments.csv">segments.csv</a>.</p>
{% for row in rows %}
<section>
<h2>{{ row.rank }}. {{ row.image_id }}</h2>
<p class="muted">priority {{ row.priority }}, mean trust {{ row.trust }}, {{ row.coverage }} of the pixels labelled.
{{ row.reasons }}</p>
{% set picture = "pictures/%04d.jpg" % row.rank %}
<a class="pair" href="{{ picture }}"><span><img src="{{ picture }}" alt="{{ row.image_id }}" loading="lazy"></span>
<span><img src="{{ picture }}" alt="label of {{ row.image_id }}" loading="lazy"></span></a>
<table>
<tr><th></th><th>class</th><th>trust</th><th>why</th></tr>
{% for number, suspect in suspects[loop.index0] %}<tr{% if suspect.trust < 0.5 %} class="low"{% endif %}>
<td>{{ number or "" }}</td><td>{{ suspect.name }}</td><td>{{ "%.2f" % suspect.trust }}</td>
<td>{{ suspect.reasons | join("; ") }}</td></tr>
{% endfor %}</table>
</section>
{% endfor %}
</html>
"""


def draw_suspects(
    image: NDArray[np.uint8], overlay: NDArray[np.uint8], suspects: Sequence[Suspect], width_px: int
) -> NDArray[np.uint8]:
    """Image and label side by side ``(h, w, 3) uint8 RGB``, numbered boxes on both in the colour of their trust."""
    panels = []
    for panel in (image, overlay):
        small = resize_to_width(panel, width_px).copy()
        factor = width_px / panel.shape[1]
        for number, suspect in number_suspects(suspects):
            if suspect.box_xyxy is not None:
                _draw_box(small, [round(v * factor) for v in suspect.box_xyxy], str(number), color_trust(suspect.trust))
        panels.append(small)
    gap = np.full((panels[0].shape[0], GAP_PX, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1]], axis=1)


def number_suspects(suspects: Sequence[Suspect]) -> list[tuple[int | None, Suspect]]:
    """Least trusted first, boxes numbered 1, 2, ... in this order."""
    numbered = []
    number = 0
    for suspect in sorted(suspects, key=lambda s: s.trust):
        number += suspect.box_xyxy is not None
        numbered.append((number if suspect.box_xyxy is not None else None, suspect))
    return numbered


def color_trust(trust: float) -> tuple[int, int, int]:
    """From red (0) over yellow (0.5) to green (1)."""
    return int(255 * min(1, 2 - 2 * trust)), int(220 * min(1, 2 * trust)), 40


def _draw_box(panel: NDArray[np.uint8], box: Sequence[int], text: str, color: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = box
    cv2.rectangle(panel, (x0, y0), (max(x1 - 1, x0), max(y1 - 1, y0)), color, 1)
    for thickness, ink in ((3, (0, 0, 0)), (1, color)):
        place = (x0 + 2, max(y0 - 3, 10))
        cv2.putText(panel, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, thickness, cv2.LINE_AA)


def render_queue(rows: Sequence[Mapping[str, Any]], suspects: Sequence[Sequence[Suspect]], total: int) -> str:
    """Render the page of the head of the queue, which holds ``total`` images; every value is escaped.

    The halves of a picture are shown one by one, so that they lie below each other on a phone.
    """
    template = Environment(autoescape=True, trim_blocks=True).from_string(PAGE)
    return template.render(
        rows=rows,
        suspects=[number_suspects(s) for s in suspects],
        total=total,
        style=STYLE,
        # Widths of the picture, and of its first half with the gap, where a half is 100%.
        picture_percent=f"{100 * (2 + GAP_PX / PICTURE_WIDTH_PX):.4f}",
        second_percent=f"{100 * (1 + GAP_PX / PICTURE_WIDTH_PX):.4f}",
    )
