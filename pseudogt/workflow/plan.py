"""The files that a run makes and their inputs, for the rules to query while the workflow is parsed.

Paths are relative to the working folder, with ``{shard}`` and ``{round}`` as in the rules. Parsing imports this module,
so it imports nothing heavy, and it knows nothing of Snakemake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pseudogt.config.mining import RESNET_WS
from pseudogt.config.run import RunConfig
from pseudogt.config.unread import has_marks
from pseudogt.workflow.assignment import find_data_root
from pseudogt.workflow.networks import list_initial_networks
from pseudogt.workflow.shards import split_of_shard
from pseudogt.workflow.subjects import MEASURES, find_subject

JOB_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "1000",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""What every job finds in its environment unless the user has set it. By default the threads of torch spin while they
wait for each other, and on a machine with other work they take the cores from the very threads they wait for. A short
spin costs nothing there and saves an idle machine half of what sleeping at once costs. torch returns its memory after
each step; with huge pages, a training on the CPU takes a tenth less time. Results are the same bits;
``benchmarks/overhead.py`` measures the time."""


@dataclass(frozen=True)
class RunPlan:
    """The files that a run makes, and their inputs.

    Attributes
    ----------
    config : RunConfig
    shards : mapping
        Shard -> image ids.
    full_label_ids : frozenset of str
        Images whose labels of the dataset are used as they are.

    Raises
    ------
    ValueError
        If the configuration names a round that there is not.
    """

    config: RunConfig
    shards: Mapping[str, Sequence[str]]
    full_label_ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        review, export = self.config.review, self.config.export
        for setting, number, kind, last in (
            ("review.round", review.round, "labels", self.label_rounds),
            ("export.round", export.round, export.source, self._last_exported),
        ):
            if number is not None and number > last:
                raise ValueError(f"{setting} is {number}; the last round of {kind} is {last}")

    # What the run is.

    @property
    def results(self) -> str:
        """Folder of the results."""
        return f"results/{self.config.name}"

    @property
    def data_root(self) -> str:
        """Folder of the dataset: the user's, or that of the street scenes."""
        return find_data_root(self.config)

    @property
    def image_count(self) -> int:
        """Images of all shards."""
        return sum(map(len, self.shards.values()))

    @property
    def uses_boxes(self) -> bool:
        """Whether CAMs and box masks make the labels of round 0, rather than mining."""
        return self.config.method == "wsps"

    @property
    def has_ground_truth(self) -> bool:
        """Whether anything can be scored."""
        return self.config.dataset.has_ground_truth

    @property
    def last_round(self) -> int:
        """Number of the last round that is trained, from 0."""
        return self.config.rounds.max - 1

    @property
    def label_rounds(self) -> int:
        """Number of the last labels: one round more than is trained."""
        return self.config.rounds.max

    # Files of all shards; a pattern is a path below the results.

    @cached_property
    def train_shards(self) -> list[str]:
        """Names of the training shards."""
        return [shard for shard in self.shards if split_of_shard(shard) == "train"]

    @cached_property
    def val_shards(self) -> list[str]:
        """Names of the validation shards."""
        return [shard for shard in self.shards if split_of_shard(shard) == "val"]

    def list_train(self, pattern: str) -> list[str]:
        """Files of all training shards; ``pattern`` is a path below the results."""
        return self._fill(pattern, self.train_shards)

    def list_val(self, pattern: str) -> list[str]:
        """Files of all validation shards."""
        return self._fill(pattern, self.val_shards)

    def list_all(self, pattern: str) -> list[str]:
        """Files of all shards."""
        return self.list_train(pattern) + self.list_val(pattern)

    def list_split(self, split: str, pattern: str) -> list[str]:
        """Files of all shards of a split."""
        return self.list_val(pattern) if split == "val" else self.list_train(pattern)

    def list_measured_val(self, pattern: str) -> list[str]:
        """Files of validation shards for trainings that measure themselves on them.

        None if weak labels were given: those are of training images only.
        """
        return [] if self.config.has_given_weak_labels else self.list_val(pattern)

    def _fill(self, pattern: str, shards: Iterable[str]) -> list[str]:
        return [f"{self.results}/{pattern}".replace("{shard}", shard) for shard in shards]

    # Given and full labels.

    def find_given_weak_labels(self) -> str:
        """Pattern of the weak labels as they were derived or given; full labels replace some of them."""
        return f"{self.results}/weak_labels{'_given' if self.config.has_full_labels else ''}/{{shard}}.json"

    def list_marked(self) -> list[str]:
        """Weak labels of all training shards, if points, scribbles or masks may be in them."""
        return self.list_train("weak_labels/{shard}.json") if has_marks(self.config) else []

    def list_full_labels(self) -> list[str]:
        """Label folders of all training images with full labels; none if there are no such images."""
        return self.list_train("full_labels/{shard}") if self.config.has_full_labels else []

    def find_full_labels(self, shard: str) -> list[str]:
        """Full labels of a shard, if any image may have some."""
        return [f"{self.results}/full_labels/{shard}"] if self.config.has_full_labels else []

    def list_full_ids(self, shard: str) -> list[str]:
        """Images of a shard whose labels of the dataset are used."""
        return [image_id for image_id in self.shards[shard] if image_id in self.full_label_ids]

    def find_listed_truth(self, shard: str) -> list[str]:
        """Ground truth of a shard, if the labels of some of its images are used."""
        return [f"{self.results}/ground_truth/{shard}"] if self.list_full_ids(shard) else []

    def find_drawn_things(self, shard: str) -> list[str]:
        """Box masks of a shard that were drawn, if polygons are used."""
        return [f"{self.results}/drawn_things/{shard}"] if self.config.full_labels.polygons else []

    # What box masks are made from.

    def find_box_proposals(self, shard: str) -> list[str]:
        """Proposals, if one of the segmenters of boxes reads them."""
        return [f"{self.results}/proposals/{shard}.h5"] if "proposal" in self.config.box_masks.segmenters else []

    def find_box_cams(self, shard: str) -> list[str]:
        """CAMs, if they are to guide GrabCut."""
        return [f"{self.results}/cams/{shard}.h5"] if self.config.box_masks.cam_prior else []

    # What the labels of a round are made from.

    def find_scores(self, number: int, shard: str) -> str:
        """Sources of a round's labels: the first scores, then those of the last model."""
        return f"{self.results}/predictions/{number - 1}/{shard}.h5" if number else self.find_first_scores(shard)

    def find_first_scores(self, shard: str) -> str:
        """Sources of the labels of round 0: CAMs, or the scores of the mined network."""
        return f"{self.results}/{'cams' if self.uses_boxes else 'mined'}/{shard}.h5"

    def find_mixed_scores(self, number: int, shard: str) -> list[str]:
        """The first scores, if they have a weight in the labels of a later round."""
        return [self.find_first_scores(shard)] if number and self.config.labels.first_scores_weight else []

    def find_box_masks(self, number: int, shard: str) -> list[str]:
        """Box masks, which take part in the labels of the first rounds if there are boxes."""
        takes_part = self.uses_boxes and number < self.config.rounds.box_mask_rounds
        return [f"{self.results}/box_masks/{shard}"] if takes_part else []

    def find_instances(self, number: int, shard: str) -> list[str]:
        """Instances of things without boxes: those that were mined or asked for, later those of the last model."""
        if self.uses_boxes and not self.config.uses_concepts:
            return []
        first = "concepts" if self.uses_boxes else "mined"
        return [f"{self.results}/predictions/{number - 1}/{shard}" if number else f"{self.results}/{first}/{shard}"]

    def find_previous(self, pattern: str, number: int, shard: str = "") -> list[str]:
        """The same file of the round before, which a round after the stop is linked to; none in round 0."""
        path = pattern.replace("{round}", str(number - 1)).replace("{shard}", shard)
        return [f"{self.results}/{path}"] if number else []

    # What trainings start from.

    def find_network_check(self, section: str) -> list[str]:
        """The file that confirms that a section's backbone can be built, if that must be looked up."""
        return [f"{self.results}/backbones/{section}.json"] if section in list_initial_networks(self.config) else []

    def find_initial_weights(self, section: str) -> list[str]:
        """The user's file of initial weights for the backbone of a section, if there is one."""
        network = list_initial_networks(self.config).get(section)
        return [network.weights] if network and network.weights and Path(network.weights).is_file() else []

    def find_mining_weights(self) -> list[str]:
        """Initial weights of mining's backbone, if they are a file; those of a ResNet-WS must be one."""
        mining = self.config.mining
        if mining.init == "classifier":
            return [f"{self.results}/classifier/model.pt"]
        is_file = mining.weights and (mining.backbone in RESNET_WS or Path(mining.weights).is_file())
        return [mining.weights] if mining.weights and is_file else []

    def find_ranking_classifier(self) -> list[str]:
        """The tag classifier that ranks proposals before GrabCut segments them, if mining looks where it says."""
        return self.find_mining_weights() if self.config.mining.overlap_power else []

    def find_initial_model(self, number: int) -> list[str]:
        """The model that a round's training starts from, if it does not start from scratch."""
        return [] if self.config.rounds.init == "scratch" else self.find_previous("segmenter/{round}/model.pt", number)

    def describe_rounds(self, number: int) -> dict[str, Any]:
        """Section `rounds` for the training of one round, to which it does not matter how many may or must follow."""
        rounds = self.config.rounds
        values = rounds.model_dump(mode="json", exclude={"box_mask_rounds"})
        return values | {"max": number + 1, "min": number + 1 if number < rounds.min else 1}

    # Scores and records.

    @property
    def first_stages(self) -> list[str]:
        """Subjects that are scored before the first round."""
        return ["cams", "box_masks"] if self.uses_boxes else ["mined", "mining"]

    def list_rounds(self, kind: str) -> list[str]:
        """Names of the subjects of one kind, of all rounds that are trained."""
        return [f"{kind}-{number}" for number in range(self.config.rounds.max)]

    def list_truth(self, subject: str) -> list[str]:
        """Ground truth that a subject is scored against."""
        return self.list_split(find_subject(subject).split, "ground_truth/{shard}")

    def list_scored(self, subject: str) -> list[str]:
        """Files of a subject that are scored."""
        found = find_subject(subject)
        return self.list_split(found.split, found.files)

    def list_scores(self, subjects: Iterable[str]) -> list[str]:
        """Scores of subjects; none without ground truth."""
        return self.keep_if_scored(f"{self.results}/evaluation/{subject}.json" for subject in subjects)

    def keep_if_scored(self, files: Iterable[str]) -> list[str]:
        """The files if there is ground truth, else none."""
        return list(files) if self.has_ground_truth else []

    def list_measures(self, measures: Iterable[str] = tuple(MEASURES)) -> list[str]:
        """Scores of detections; none without detections or true objects."""
        if self.uses_boxes or not self.config.dataset.has_true_boxes:
            return []
        return [f"{self.results}/evaluation/{measure}.json" for measure in measures]

    def list_paper_measures(self) -> list[str]:
        """Scores of detections in the paper's tables: AP, and of a dataset that has boxes alone CorLoc, too."""
        return self.list_measures(["ap"] if self.has_ground_truth else MEASURES)

    def list_measured(self, measure: str, pattern: str) -> list[str]:
        """Files of all shards of the split on which detections are scored by a measure."""
        return self.list_split(MEASURES[measure], pattern)

    def list_records(self, count: int) -> list[str]:
        """Records of the first rounds."""
        return [f"{self.results}/segmenter/{number}/record.json" for number in range(count)]

    # Report, review, export and prediction.

    @property
    def shown_labels(self) -> dict[str, list[str]]:
        """Labels that the report shows, by round: the first, the last, and at most two between, spread evenly."""
        rounds = sorted({round(self.label_rounds * part / 3) for part in range(4)})
        return {str(number): self.list_train(f"labels/{number}/{{shard}}") for number in rounds}

    @property
    def review_round(self) -> int:
        """Round of the labels that are reviewed."""
        number = self.config.review.round
        return self.label_rounds if number is None else number

    @property
    def export_subject(self) -> str:
        """Name of what section `export` asks for: labels-<round>, predictions-<round>-<split> or box_masks."""
        export = self.config.export
        if export.source == "box_masks":
            return export.source
        number = self._last_exported if export.round is None else export.round
        return f"labels-{number}" if export.source == "labels" else f"predictions-{number}-{export.split}"

    @property
    def _last_exported(self) -> int:
        return self.label_rounds if self.config.export.source == "labels" else self.last_round

    def find_exported(self, subject: str, shard: str) -> str:
        """The label folder of a shard that is exported."""
        source, *number = subject.split("-")[:2]
        return "/".join([self.results, source, *number, shard])

    def list_exported(self, subject: str, pattern: str) -> list[str]:
        """Files of all shards of what is exported."""
        return self.list_split("val" if subject.endswith("-val") else "train", pattern)

    @property
    def predict_model(self) -> str:
        """Model file of the targets `predict` and `export_model`."""
        return self.config.model or f"{self.results}/segmenter/{self.last_round}/model.pt"
