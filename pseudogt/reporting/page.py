"""The page of the report: one HTML file with pictures to compare, sort and filter, then figures and tables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment

from pseudogt.classes import ClassTable
from pseudogt.reporting.page_script import SCRIPT
from pseudogt.reporting.page_style import STYLE
from pseudogt.reporting.pictures import encode_webp
from pseudogt.reporting.report import describe_supervision, tabulate_ratios
from pseudogt.reporting.sample import BEST, RANDOM, WORST

GROUP_NAMES = {RANDOM: "random", BEST: "best", WORST: "worst"}

# A literal, not a file of its own: the digest that decides what reruns is taken from Python sources.
# The policy makes browsers refuse whatever is not in the file itself.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ dataset }}: weak labels to panoptic labels</title>
<style>{{ style | safe }}</style>
<h1>{{ dataset }}</h1>
<p>Supervision: {{ supervision | join(" and ") }}. {% if rounds -%}
{{ rounds }} round{{ "" if rounds == 1 else "s" }} trained.
{% else %}
There is no ground truth to score against; trust tells the images apart.
{% endif %}</p>
{% if numbers %}
<ul class="numbers">
{% for number in numbers %}<li><b>{{ number.value }}</b><span>{{ number.title }}</span></li>
{% endfor %}</ul>
{% endif %}
{% if data.images %}
<form id="controls" class="controls" aria-label="Pictures to show">
<label>Compare <select name="pair">{% for pair in data.pairs %}
<option value="{{ pair.key }}">{{ pair.title }}</option>{% endfor %}</select></label>
<label>All sliders <input type="range" name="all" min="0" max="100" value="50"></label>
<div class="status"><span id="count" role="status"></span><button type="reset">Reset</button></div>
<details id="more"><summary>Sort and filter</summary>
<div class="grid">
<label>Order <select name="sort"><option value="sample">random, best, worst</option>
{% for measure in measures %}
<option value="{{ measure.key }} up">{{ measure.name }}, lowest first</option>
<option value="{{ measure.key }} down">{{ measure.name }}, highest first</option>
{% endfor %}
<option value="name">name</option></select></label>
<label>Split <select name="split"><option value="">any</option>{% for split in splits %}
<option>{{ split }}</option>{% endfor %}</select></label>
<label>Chosen as <select name="group"><option value="">any</option>{% for group in groups %}
<option value="{{ group }}">{{ data.groups[group] }}</option>{% endfor %}</select></label>
{% for measure in measures %}
<label>{{ measure.name }} at most: <output id="{{ measure.key }}-value">any</output>
<input type="range" name="{{ measure.key }}" min="0" max="1" step="0.01" value="1"></label>
{% endfor %}
<label>Opacity of labels <input type="range" name="opacity" min="0" max="100" value="65"></label>
<fieldset id="chips" class="chips"><legend>Only images with</legend>
{% for class in data.classes %}
<button type="button" aria-pressed="false" data-name="{{ class.name }}">
<span class="swatch" style="background:{{ class.color }}"></span>{{ class.name }}</button>
{% endfor %}
<span class="key"><span class="swatch unlabelled"></span>no label</span>
{% if has_background %}<span class="key"><span class="swatch background"></span>no thing</span>
{% endif %}</fieldset>
</div></details>
</form>
<noscript><p class="low">The pictures need JavaScript; the figures beside this page, *.png, do not.</p></noscript>
<div id="cards" class="cards"></div>
<p id="nothing" hidden>No image has all of this. Choose fewer classes or higher limits.</p>
<h2>Which images these are</h2>
{% for rule in rules %}<p>{{ rule }}</p>
{% endfor %}
<p>PQ is that of one image: of the last labels on train, of the prediction on val. Trust, from 0 to 1, is known without
ground truth: it is the mean, over the segments of these labels, of how sure the scores are of a segment and of how far
the box segmenters agree on it. Lines are the borders of segments, shades of a colour are instances.</p>
<dialog id="large" aria-labelledby="large-title">
<div class="bar"><h2 id="large-title"></h2>
<button type="button" id="previous">Previous</button>
<button type="button" id="next">Next</button>
<button type="button" id="close">Close</button></div>
<div id="large-frame"></div>
<div class="sides"><label>Left <select id="first"></select></label>
<label>Right <select id="second"></select></label></div>
<ul id="large-facts" class="facts muted"></ul>
<ul id="large-classes" class="facts"></ul>
</dialog>
{% endif %}
{% for figure in figures %}
<figure>
<h2>{{ figure.title }}</h2>
<div class="scroll chart"><img src="{{ figure.data }}" alt="{{ figure.title }}"></div>
<figcaption>{{ figure.caption }}</figcaption>
</figure>
{% endfor %}
<div class="tables">
{% for table in tables %}
<section>
<h2>{{ table.title }}</h2>
<p class="muted">{{ table.caption }}</p>
<div class="scroll"><table>
<tr>{% for name in table.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
</section>
{% endfor %}
</div>
{% if data.images %}
<script type="application/json" id="data">{{ data | tojson }}</script>
<script>{{ script | safe }}</script>
{% endif %}
</html>
"""


def name_views(rounds: Sequence[str], images: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Names of the views that any image of the page has, in the order of the chain."""
    names = {
        "image": "image",
        "weak": "weak labels",
        "ground-truth": "ground truth",
        "cams": "CAM labels",
        "box-masks": "box masks",
        "mined": "mined labels",
        **{key: f"labels of round {key.removeprefix('labels-')}" for key in rounds},
        "predictions": "prediction, weak labels",
        "reference-predictions": "prediction, full labels",
    }
    present = {"image", "weak"}.union(*(image["labels"] for image in images))
    return {key: name for key, name in names.items() if key in present}


def list_pairs(rounds: Sequence[str]) -> list[dict[str, Any]]:
    """What a slider may lie between: ``key``, ``title`` and, for each split, pairs of views by preference.

    Parameters
    ----------
    rounds : sequence of str
        Keys of the labels of each round, in their order.
    """
    first, last = rounds[0], rounds[-1]
    return [
        {"key": "label", "title": "Image and label", "train": [["image", last]], "val": [["image", "predictions"]]},
        {
            "key": "weak",
            "title": "Weak and full",
            "train": [["weak", "ground-truth"], ["weak", last]],
            "val": [["predictions", "reference-predictions"]],
        },
        {"key": "rounds", "title": "First and last round", "train": [[first, last]], "val": []},
        *(_pair_rounds(*pair) for pair in itertools.pairwise(rounds) if len(rounds) > 2),
        {
            "key": "truth",
            "title": "Label and ground truth",
            "train": [[last, "ground-truth"]],
            "val": [["predictions", "ground-truth"]],
        },
    ]


def _pair_rounds(one: str, other: str) -> dict[str, Any]:
    numbers = [key.removeprefix("labels-") for key in (one, other)]
    return {"key": other, "title": f"Rounds {' and '.join(numbers)}", "train": [[one, other]], "val": []}


def describe_sample(split: str, images: int, groups: Mapping[str, str], measure: str) -> str:
    """Say in a sentence which images of a split are shown; ``groups`` are those of ``choose_sample``."""
    counts = {group: list(groups.values()).count(group) for group in GROUP_NAMES}
    words = {
        WORST: f"the {counts[WORST]} with the lowest {measure}",
        BEST: f"the {counts[BEST]} with the highest",
        RANDOM: f"{counts[RANDOM]} {'of the rest ' if counts[WORST] else ''}at random",
    }
    return f"Of the {images} images of {split}: " + ", ".join(words[g] for g in words if counts[g]) + "."


def render_page(
    summary: Mapping[str, Any],
    classes: ClassTable,
    images: Sequence[Mapping[str, Any]],
    *,
    titles: Mapping[str, str],
    rounds: Sequence[str],
    rules: Sequence[str],
    figures: Sequence[Mapping[str, Any]],
    tables: Sequence[Mapping[str, Any]],
) -> str:
    """Render the report as one HTML page that needs no other file.

    Parameters
    ----------
    summary : mapping
        As in ``evaluation/summary.json``.
    classes : ClassTable
    images : sequence
        For each image shown: ``id``, ``split``, ``group``, ``score``, ``trust``, ``classes`` (name -> trust),
        ``known``, ``tags``, ``width``, ``height`` and the data URIs ``photo``, ``marked`` and ``labels``.
    titles : mapping
        Names of the views, in the order of the chain.
    rounds : sequence of str
        Views that are labels of a round, in their order.
    rules : sequence of str
        Sentences that say how the images were chosen.
    figures : sequence
        ``title``, ``caption`` and ``image (H, W, 3) uint8`` of each figure.
    tables : sequence
        As of :func:`pseudogt.reporting.report.make_tables`.

    Returns
    -------
    str
        Every value is escaped.
    """
    present = {name for image in images for name in image["classes"]}
    data = {
        "images": images,
        "titles": titles,
        "groups": GROUP_NAMES,
        "pairs": [pair for pair in list_pairs(rounds) if any(_has_pair(image, pair) for image in images)],
        "classes": [
            {"name": name, "color": "#{:02x}{:02x}{:02x}".format(*color)}
            for name, color in zip(classes.names, classes.colors, strict=True)
            if name in present
        ],
    }
    template = Environment(autoescape=True, trim_blocks=True).from_string(PAGE)
    return template.render(
        dataset=summary["dataset"],
        supervision=describe_supervision(summary["supervision"]),
        rounds=len(summary["rounds"]),
        numbers=_list_numbers(summary),
        data=data,
        splits=list(dict.fromkeys(image["split"] for image in images)),
        groups=[group for group in GROUP_NAMES if any(image["group"] == group for image in images)],
        measures=[
            {"key": key, "name": name}
            for key, name in (("score", "PQ"), ("trust", "Trust"))
            if any(image[key] is not None for image in images)
        ],
        has_background="box-masks" in titles,
        rules=rules,
        figures=[{**figure, "data": encode_webp(figure["image"])} for figure in figures],
        tables=tables,
        style=STYLE,
        script=SCRIPT,
    )


def _has_pair(image: Mapping[str, Any], pair: Mapping[str, Any]) -> bool:
    """Whether one of the pairs of views is there for an image."""
    views = {"image", *image["labels"], *(["weak"] if image["marked"] else [])}
    return any(views.issuperset(keys) for keys in pair[image["split"]])


def _list_numbers(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The scores that the page opens with: ``value`` and ``title``."""
    rows = {row["metric"]: row for row in tabulate_ratios(summary)}
    numbers = [
        (rows["PQ"]["weak"], "PQ on val, trained on weak labels"),
        (rows["PQ"]["full"], "PQ on val, trained on full labels"),
        (rows["PQ"]["ratio"], "weak over full"),
        (rows["mIoU"]["weak"], "mIoU on val, trained on weak labels"),
    ]
    return [{"value": f"{value:.3f}", "title": title} for value, title in numbers if value is not None]
