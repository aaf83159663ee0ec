"""Which labels a person's time buys: quality of the model against seconds of labelling per image, by form of label.

    python benchmarks/labelling.py --dataset dsb2018 --data DIR --screen
    python benchmarks/labelling.py --dataset camvid-imagenet --data DIR --splits fold_a --forms "points" "all full"
    python benchmarks/labelling.py --page

``--screen`` measures every form that makes sense once, with seed 0; without it those on the frontier (no other form is
both cheaper and better) are measured with seeds 0, 1 and 2, and what was not screened is screened first. ``--forms``,
``--splits`` and ``--seeds`` measure some points only. The full labels of 5 and 20% of the images are mixed with the two
weak forms that have the best PQ. Every form trains the same network for as many steps: weak forms train all rounds,
full labels as many steps as these have together. CamVid is measured on its three folds by sequence. From tags alone the
labels of round 0 are mined (`method: jtsm`), as no box and no point says what is an object.

Each point is a JSON in docs/results/labelling/<dataset>/, to be committed; a point whose JSON was made with the same
settings is not measured again. Runs lie in results/labelling-*, in the current folder; an interrupted one is resumed.
``--page`` writes the tables of docs/what-to-label.md from all points and runs nothing; ``--list`` prints what would be
run. ``--quick`` runs three forms of the tiny street scenes.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from labelling_forms import (
    DATASETS,
    FIRST_FORMS,
    WEAK_FORMS,
    Dataset,
    Form,
    Point,
    choose_best,
    find_forms,
    find_frontier,
    find_reason,
    list_forms,
    list_mixtures,
    read_classes,
)
from labelling_page import write_page
from labelling_settings import PointSettings
from measurement import describe_commit
from mixed import spread_images
from trained_points import SCORES, Run, read_labels, train_and_score, write_training_set
from workflow_runs import TINY, run_workflow

from pseudogt.checking.labelling import MEASURED, FormResult, read_results
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder
from pseudogt.weak_labels.acts import count_acts, count_full_acts, find_kinds
from pseudogt.weak_labels.files import read_weak_labels
from pseudogt.weak_labels.seconds import price_acts

SEEDS = (0, 1, 2)
QUICK = {"tiny": Dataset(TINY)}
QUICK_FORMS = ("stuff points + boxes", "20% full", "20% full + stuff points + boxes")


def main() -> None:
    """Run the benchmark."""
    arguments = parse_arguments()
    if arguments.page:
        write_page(read_results(arguments.results))
        return
    name, dataset = next(iter(QUICK.items())) if arguments.quick else (arguments.dataset, DATASETS[arguments.dataset])
    bench = Bench(name, dataset, arguments)
    if arguments.quick:
        bench.measure([form for form in list_forms(WEAK_FORMS) if form.name in QUICK_FORMS])
    else:
        measure_curve(bench, screen=arguments.screen)
    if bench.failed:
        raise SystemExit("\n".join(["these points failed; the others are measured:", *bench.failed]))


def measure_curve(bench: Bench, *, screen: bool) -> None:
    """Screen all forms, then the mixtures with the best; then, if wanted, repeat what lies on the frontier."""
    if bench.arguments.forms:
        bench.measure(find_forms(bench.arguments.forms), bench.arguments.seeds)
        return
    forms = [form for form in FIRST_FORMS if find_reason(form, bench.classes) is None]
    bench.measure(forms)
    mixtures = list_mixtures(choose_best(bench.read_results()))
    bench.measure(mixtures)
    if not screen:
        on_frontier = find_frontier(bench.read_results())
        bench.measure([form for form in (*forms, *mixtures) if form.name in on_frontier], SEEDS)


def parse_arguments(command: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=sorted(DATASETS), help="which curve")
    parser.add_argument("--data", type=Path, help="the dataset's folder")
    parser.add_argument("--screen", action="store_true", help="one seed of every form, and no more")
    parser.add_argument("--splits", nargs="+", help="only these of the dataset's folds")
    parser.add_argument("--forms", nargs="+", metavar="FORM", help="only these, as docs/what-to-label.md names them")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS[:1], help="seeds of all trainings of --forms")
    parser.add_argument("--configfile", type=Path, action="append", default=[], help="another config file")
    parser.add_argument("--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="more settings")
    parser.add_argument("--results", type=Path, default=MEASURED, help="folder of the points")
    parser.add_argument("--list", action="store_true", help="print what would be measured")
    parser.add_argument("--page", action="store_true", help="write the tables of docs/what-to-label.md")
    parser.add_argument("--quick", action="store_true", help="three forms of the tiny chain; shows that it runs")
    arguments = parser.parse_args(command)
    if not (arguments.page or arguments.quick or (arguments.dataset and arguments.data)):
        parser.error("give --dataset and --data, or --page, or --quick")
    return arguments


class Bench:
    """The runs of one dataset.

    Attributes
    ----------
    name : str
    dataset : Dataset
    arguments : argparse.Namespace
    settings : PointSettings
    classes : ClassTable
    truths : dict
        Split -> its run of :meth:`make_truth`.
    failed : list of str
        Points whose run ended with an error.
    """

    def __init__(self, name: str, dataset: Dataset, arguments: argparse.Namespace) -> None:
        self.name, self.dataset, self.arguments = name, dataset, arguments
        self.settings = PointSettings(
            dataset,
            [dataset.config, *arguments.configfile],
            data_root=arguments.data,
            assignments=arguments.config,
            rounds=1 if arguments.quick else None,
        )
        self.truths: dict[str, Run] = {}
        self.failed: list[str] = []
        self.results = Path("labelling") if arguments.quick else arguments.results
        self.classes = read_classes(dataset.config)

    @property
    def splits(self) -> Sequence[str]:
        """Folds that are measured."""
        return self.arguments.splits or self.dataset.splits

    def read_results(self) -> list[FormResult]:
        """What was measured on this dataset."""
        return [result for result in read_results(self.results) if result.dataset == self.name]

    def measure(self, forms: Iterable[Form], seeds: Sequence[int] = SEEDS[:1]) -> None:
        """Measure all points of some forms that are not there yet."""
        for form in forms:
            for seed in seeds:
                for split in self.splits:
                    self.measure_point(Point(self.name, split, form, seed))

    def measure_point(self, point: Point) -> None:
        """Measure one point, unless its JSON was made with these settings."""
        path = point.locate(self.results)
        digest = self.settings.digest(point)
        if path.is_file() and read_json(path)["digest"] == digest:
            return
        print(f"labelling: {point.dataset}, {point.run_name}", flush=True)
        if self.arguments.list:
            return
        try:
            measured = self.run(point) if point.form.weak else self.train_on_full(point)
        except subprocess.CalledProcessError as error:
            # Others may well succeed, and nobody sits beside a run of many hours.
            self.failed.append(f"{point.dataset}, {point.run_name}: {error}")
            return
        acts = measured.pop("acts")
        facts = {
            "dataset": point.dataset,
            "split": point.split,
            "form": point.form.name,
            "full_percent": point.form.full_percent,
            "seed": point.seed,
            "settings": self.settings.describe(point),
            "digest": digest,
            "commit": describe_commit(),
            "acts": acts,
            "seconds_per_image": round(price_acts(acts), 2),
        }
        write_json(path, facts | measured)

    def run(self, point: Point) -> dict[str, Any]:
        """Run the workflow on weak labels, with full labels of some images if the form has them."""
        settings = self.settings.build(point)
        chosen: list[str] = []
        if point.form.full_percent:
            chosen = self.choose_images(point)
            listed = Path("results", settings["name"], "full.txt").absolute()
            listed.parent.mkdir(parents=True, exist_ok=True)
            listed.write_text("".join(f"{image_id}\n" for image_id in chosen))
            settings["full_labels"] = {"images": str(listed)}
        last = self.settings.resolve(point).rounds.max
        scored = [
            Path("results", settings["name"], "evaluation", f"{s}.json")
            for s in (f"labels-{last}", f"model-{last - 1}")
        ]
        run = Run(run_workflow(self.settings.files, settings, scored))
        labels, model = ({score: read_json(path)[score] for score in SCORES} for path in scored)
        return self.count(run, chosen, weak=True) | {"labels": {"train": labels}, "model": {"val": model}}

    def train_on_full(self, point: Point) -> dict[str, Any]:
        """Train on the full labels of some images, for as many steps as all rounds of a weak form have together."""
        run = self.make_truth(point.split)
        chosen = self.choose_images(point)
        config = self.settings.resolve(point)
        segmenter = config.segmenter.model_dump(mode="json")
        segmenter["steps"] *= config.rounds.max
        with tempfile.TemporaryDirectory() as folder:
            files = write_training_set(run, read_labels(run, "ground_truth"), chosen, Path(folder))
            model = train_and_score(run, files, segmenter, Path(folder), config)
        return self.count(run, chosen, weak=False) | {"labels": None, "model": {"val": model}}

    def choose_images(self, point: Point) -> list[str]:
        """Images with full labels, spread over the sequences from a place that the seed draws."""
        image_ids = list(read_labels(self.make_truth(point.split), "ground_truth"))
        chosen = set(spread_images(image_ids, point.form.full_percent / 100, point.seed))
        return [image_id for image_id in image_ids if image_id in chosen]

    def make_truth(self, split: str) -> Run:
        """A run of which only index, ground truth and the weak labels of the training images are made."""
        if split not in self.truths:
            settings = self.settings.build(Point(self.name, split, Form("image tags + boxes"), 0))
            settings["name"] = "-".join(filter(None, ["labelling", self.name, split, "truth"]))
            run = Run(run_workflow(self.settings.files, settings, ["index"]))
            wanted = run.list_files("weak_labels", "train", ".json")
            wanted += run.list_files("ground_truth", "train") + run.list_files("ground_truth", "val")
            run_workflow(self.settings.files, settings, wanted)
            self.truths[split] = run
        return self.truths[split]

    def count(self, run: Run, full: Sequence[str], *, weak: bool) -> dict[str, Any]:
        """Acts per training image, number of images and kinds of weak labels of those without a full label."""
        truth: dict[str, LabelFolder] = read_labels(run, "ground_truth")
        labels, classes = read_weak_labels(run.list_files("weak_labels", "train", ".json"))
        acts: Counter[str] = Counter()
        for image_id in full:
            segments = [int(classes.category_to_train[s["category_id"]]) for s in truth[image_id].segments(image_id)]
            acts += count_full_acts(segments, len(classes), self.dataset.outline)
        others = [labels[image_id] for image_id in labels if image_id not in set(full)] if weak else []
        for image in others:
            acts += count_acts(image)
        return {
            "images": len(labels),
            "acts": {act: round(count / len(labels), 4) for act, count in sorted(acts.items())},
            "kinds": list(find_kinds(others, classes)),
        }


if __name__ == "__main__":
    main()
