"""The whole configuration of a run: one model per section, checked before anything starts.

Only the workflow and the tools around it import this module; a stage imports its own section, so
that a new field in one section reruns that section's stage only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.config.augmentation import AugmentationSettings
from pseudogt.config.base import PathText, Section, describe_validation_error
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.config.cams import CamsSettings
from pseudogt.config.classifier import ClassifierSettings
from pseudogt.config.dataset import DatasetSettings
from pseudogt.config.evaluation import EvaluationSettings
from pseudogt.config.export import WITH_SHAPES, ExportSettings
from pseudogt.config.full_labels import FullLabelsSettings
from pseudogt.config.inheritance import list_sections, resolve
from pseudogt.config.labels import LabelsSettings
from pseudogt.config.machine import MachineSettings
from pseudogt.config.mined import MinedSettings
from pseudogt.config.mining import MiningSettings
from pseudogt.config.old_names import explain_old_name
from pseudogt.config.optimisation import OptimisationSettings
from pseudogt.config.predictions import EXPORTED_SUFFIXES, PredictionsSettings
from pseudogt.config.proposals import ProposalsSettings
from pseudogt.config.provided import ProvidedSettings
from pseudogt.config.report import ReportSettings
from pseudogt.config.review import ReviewSettings
from pseudogt.config.rounds import RoundsSettings
from pseudogt.config.segmenter import SegmenterSettings
from pseudogt.config.streets import StreetsSettings
from pseudogt.config.training import TrainingSettings
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.files.io import TIMESTAMP


class RunConfig(Section):
    """Everything in ``config.yaml``."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the run; its results are in results/<name>/."
    )
    method: Literal["wsps", "jtsm"] = Field(
        "wsps",
        description="How weak labels become the labels of round 0: `wsps` uses boxes and tags (classifier, CAMs, box "
        "masks), or tags alone with `cams.method: concepts`; `jtsm` only tags (segment proposals, mining).",
    )
    data_root: PathText | None = Field(
        None, description="Folder of the dataset; not needed for `dataset.format: streets`."
    )
    shard_size: int = Field(64, ge=1, description="Images per job.")
    gpus: int = Field(
        0,
        ge=0,
        description="GPUs per training job; 0 requests none, though `machine.device: auto` uses one that it finds.",
    )
    threads: int = Field(2, ge=1, description="Cores that a multi-core job requests.")
    decode: bool = Field(False, description="For `snakemake check`: read every pixel, not only the files' headers.")
    keep_scores: bool = Field(
        True,
        description="Keep score files and predictions of training images, which take most of the disk space; if false, "
        "each is removed once no stage needs it, and remade if a stage is forced later.",
    )
    images: PathText | None = Field(None, description="For `snakemake predict`: folder of the images to label.")
    model: PathText | None = Field(
        None,
        description="For `snakemake predict` and `export_model`: model file, for `predict` also one that was exported "
        "to ONNX; the default is the run's last model.",
    )
    predict_to: PathText = Field("predicted", description="For `snakemake predict`: output folder.")
    model_to: PathText = Field(
        "model.onnx",
        description="For `snakemake export_model`: output file, model.onnx by default; its suffix decides the format, "
        ".onnx or .pt2 (torch.export).",
    )
    boxes_from: PathText | None = Field(
        None, description="For `snakemake boxes_to_masks`: folder of images and of boxes in any supported format."
    )
    masks_to: PathText = Field("masks", description="For `snakemake boxes_to_masks`: output folder.")
    dataset: DatasetSettings
    streets: StreetsSettings = StreetsSettings()
    weak_labels: WeakLabelsSettings = WeakLabelsSettings()
    annotations: AnnotationsSettings = AnnotationsSettings()
    provided: ProvidedSettings = ProvidedSettings()
    full_labels: FullLabelsSettings = FullLabelsSettings()
    machine: MachineSettings = MachineSettings()
    optimisation: OptimisationSettings = OptimisationSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    cams: CamsSettings = CamsSettings()
    proposals: ProposalsSettings = ProposalsSettings()
    mining: MiningSettings = MiningSettings()
    mined: MinedSettings = MinedSettings()
    box_masks: BoxMasksSettings = BoxMasksSettings()
    labels: LabelsSettings = LabelsSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    rounds: RoundsSettings = RoundsSettings()
    predictions: PredictionsSettings = PredictionsSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    report: ReportSettings = ReportSettings()
    export: ExportSettings = ExportSettings()
    review: ReviewSettings = ReviewSettings()

    @property
    def has_given_weak_labels(self) -> bool:
        """Whether weak labels are not derived from ground truth."""
        return bool(self.annotations.given or self.provided.weak_labels)

    @property
    def has_full_labels(self) -> bool:
        """Whether some images may have full labels."""
        return any(self.full_labels.model_dump().values())

    @property
    def min_share(self) -> float:
        """Share of an image's pixels that each class with a tag and no box wins, in every round."""
        return self.cams.min_share if self.cams.method == "probability" and self.provided.cams is None else 0.0

    @property
    def prompts(self) -> list[str]:
        """Words for each class, by train id."""
        return [entry.prompt for entry in self.dataset.classes]

    @property
    def uses_sam(self) -> bool:
        """Whether a Segment Anything model of the user's makes the box masks."""
        makes_box_masks = self.method == "wsps" and self.images is None and self.provided.box_masks is None
        return makes_box_masks and "sam" in self.box_masks.segmenters

    @property
    def uses_concepts(self) -> bool:
        """Whether a model of the user's finds the tagged classes by their prompts, in place of a classifier."""
        makes_scores = self.method == "wsps" and self.images is None and self.provided.cams is None
        return makes_scores and self.cams.method == "concepts"

    @property
    def needs_located_things(self) -> bool:
        """Whether things have instances in the labels only where they have boxes, points or scribbles."""
        return self.method == "wsps" and self.images is None and not (self.uses_concepts or self.has_full_labels)

    def list_trainings(self) -> dict[str, TrainingSettings]:
        """Settings of the networks that a run trains, by section, in their order."""
        if self.method == "wsps":
            has_classifier = self.provided.cams is None and not self.uses_concepts
        else:
            has_classifier = self.mining.init == "classifier"
        return {
            **({"classifier": self.classifier} if has_classifier else {}),
            **({"mining": self.mining} if self.method == "jtsm" else {}),
            "segmenter": self.segmenter,
        }

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, config: Any) -> Any:
        """Every section is complete from here on: stages know nothing of inheritance."""
        return resolve(config, list_sections(cls)) if isinstance(config, dict) else config

    @model_validator(mode="after")
    def _check_data_root(self) -> RunConfig:
        if self.images is None and self.dataset.format != "streets" and not self.data_root:
            raise ValueError("data_root is not set; add --config data_root=FOLDER or write it into the config file")
        return self

    @model_validator(mode="after")
    def _check_gpus(self) -> RunConfig:
        """Refuse what a training refuses when it starts, which for the last one may be after days."""
        for section, settings in self.list_trainings().items() if self.gpus > 1 else ():
            size = settings.find_pass_size(self.gpus) * self.gpus
            if settings.batch_size % size:
                raise ValueError(
                    f"{section}.batch_size {settings.batch_size} can't be divided among {self.gpus} GPUs, of which "
                    f"each computes {size // self.gpus} at once; set it to a multiple of {size}, or change gpus or "
                    "images_per_pass"
                )
        return self

    @model_validator(mode="after")
    def _check_model_to(self) -> RunConfig:
        if Path(self.model_to).suffix not in EXPORTED_SUFFIXES:
            raise ValueError(
                f"model_to={self.model_to}: the suffix decides the format; choose {' or '.join(EXPORTED_SUFFIXES)}"
            )
        return self

    @model_validator(mode="after")
    def _check_folders(self) -> RunConfig:
        if self.images is not None:
            self._check_predict_to(Path(self.images), Path(self.predict_to))
        if self.boxes_from is None:
            return self
        if self.images is not None:
            raise ValueError("images is for predict and boxes_from for boxes_to_masks; give one of them")
        masks_to, boxes_from = Path(self.masks_to).resolve(), Path(self.boxes_from).resolve()
        if masks_to.is_relative_to(boxes_from) or boxes_from.is_relative_to(masks_to):
            raise ValueError(
                f"masks_to={self.masks_to} and boxes_from={self.boxes_from}: neither may lie in the other, as masks_to "
                "is overwritten; give another folder"
            )
        if masks_to.is_dir() and any(masks_to.iterdir()) and not (masks_to / "review" / "index.html").is_file():
            raise ValueError(
                f"masks_to={self.masks_to}: is there already and holds other files, which would be lost; give another "
                "folder"
            )
        return self

    def _check_predict_to(self, images: Path, predict_to: Path) -> None:
        """Snakemake would take any folder for finished predictions, and would empty it if they are made again."""
        if images.resolve().is_relative_to(predict_to.resolve()):
            raise ValueError(
                f"predict_to={predict_to}: holds images={images}, which would be lost; give another folder"
            )
        is_made = any((predict_to / name).is_file() for name in (TIMESTAMP, "panoptic.json"))
        if predict_to.exists() and not is_made:
            raise ValueError(
                f"predict_to={predict_to}: is there already and holds no predictions; give another folder, or remove it"
            )

    @model_validator(mode="after")
    def _check_export(self) -> RunConfig:
        """Label maps hold pixels and nothing else, and stuff has no box."""
        export = self.export
        maps = [name for name in export.formats if name not in WITH_SHAPES]
        if export.shapes != "masks" and maps:
            raise ValueError(
                f"export.shapes: {export.shapes} is for the formats {', '.join(WITH_SHAPES)}; take {', '.join(maps)} "
                "out of export.formats, or set export.shapes to masks"
            )
        if export.shapes == "boxes" and export.stuff:
            raise ValueError("stuff has no boxes; set export.stuff to false, or export.shapes to polygons or masks")
        return self

    @model_validator(mode="after")
    def _check_method(self) -> RunConfig:
        """Refuse settings that a method can't use, so that a tags-only result is never mistaken for one from boxes."""
        if self.method == "wsps":
            self._check_annotated_things()
            marked = {self.weak_labels.points, self.weak_labels.scribbles}
            has_things = self.weak_labels.boxes or bool(marked & {"things", "all"})
            if not (self.has_given_weak_labels or has_things or self.uses_concepts):
                raise ValueError(
                    "method: wsps needs boxes, or points or scribbles of things; set weak_labels.boxes to true, "
                    "weak_labels.points or weak_labels.scribbles to things or all, cams.method to concepts, or method "
                    "to jtsm"
                )
            return self
        wrong = [
            f"{key} to {remedy}"
            for key, remedy, is_wrong in (
                ("weak_labels.boxes", "false", self.weak_labels.boxes),
                ("annotations.boxes", "false", self.annotations.path is not None and self.annotations.boxes),
                ("annotations.points", "unknown", self.annotations.points == "weak"),
                ("annotations.masks", "boxes", self.annotations.masks == "scribbles"),
                ("weak_labels.points", "null", self.weak_labels.points is not None),
                ("weak_labels.scribbles", "null", self.weak_labels.scribbles is not None),
                ("weak_labels.thing_tags", "true", not self.weak_labels.thing_tags),
                ("provided.cams", "null", self.provided.cams is not None),
                ("provided.box_masks", "null", self.provided.box_masks is not None),
            )
            if is_wrong
        ]
        if self.cams.method == "concepts":
            wrong.append("cams.method to probability and cams.concept_model to null")
        if wrong:
            raise ValueError(f"method: jtsm learns from tags alone; set {', '.join(wrong)}")
        if self.mining.samples == "crop" and self.weak_labels.tags == "image" and not self.provided.weak_labels:
            raise ValueError("mining.samples: crop needs the tags of crops; set weak_labels.tags to crop")
        return self

    def _check_annotated_things(self) -> None:
        """Refuse annotations that are tags alone: the things of labels made from them would have no instances."""
        annotated = self.annotations
        shows = annotated.boxes or annotated.points == "weak" or annotated.masks == "scribbles"
        if not (annotated.given and self.needs_located_things) or (annotated.path is not None and shows):
            return
        if any(entry.isthing for entry in self.dataset.classes):
            raise ValueError(
                "method: wsps needs boxes or marks of things, but annotations are tags alone; set "
                f"{'annotations.boxes to true' if annotated.path else 'annotations.format and path to boxes'}, "
                "cams.method to concepts, or method to jtsm"
            )

    @model_validator(mode="after")
    def _check_source_of_weak_labels(self) -> RunConfig:
        if self.annotations.given and self.provided.weak_labels:
            raise ValueError("weak labels come from annotations or from provided.weak_labels; set one of them to null")
        if self.full_labels.polygons and self.annotations.path is None:
            raise ValueError("full_labels.polygons takes the polygons of section annotations; set annotations.path")
        self._check_marks()
        if not (self.has_given_weak_labels or self.dataset.has_ground_truth or self.images):
            raise ValueError(
                f"dataset.format {self.dataset.format} has no full labels to derive weak labels from; set "
                "annotations.path or annotations.tags to files with boxes or tags (docs/your-data.md)"
            )
        return self

    def _check_marks(self) -> None:
        """Marks are read from annotations or derived from ground truth: each has settings of its own."""
        annotated, derived = self.annotations, self.weak_labels
        for key, remedy in (("points", "annotations.points to weak"), ("scribbles", "annotations.masks to scribbles")):
            value = getattr(derived, key)
            if value and self.has_given_weak_labels:
                raise ValueError(
                    f"weak_labels.{key}: {value} derives {key} from ground truth, but weak labels are given; set it to "
                    f"null{f', and {remedy}' if annotated.path else ''}"
                )
        if annotated.path is None and (annotated.points, annotated.masks) != ("unknown", "boxes"):
            raise ValueError(
                "annotations.points and annotations.masks are for the marks in annotations.path, which is not set; to "
                "derive marks from ground truth, set weak_labels.points or weak_labels.scribbles"
            )


def parse_run_config(config: dict[str, Any]) -> RunConfig:
    """Validate Snakemake's merged config.

    Raises
    ------
    ValueError
        One line per problem, with the key, the problem and the value found.
    """
    try:
        return RunConfig.model_validate(_read_nulls(config))
    except ValidationError as error:
        problems = describe_validation_error(error, RunConfig, explain_old_name)
        raise ValueError(f"the configuration has problems:\n{problems}") from error


def _read_nulls(value: Any) -> Any:
    """Replace the text null, which is what Snakemake makes of a null after ``--config``."""
    if isinstance(value, dict):
        return {key: _read_nulls(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_read_nulls(entry) for entry in value]
    return None if value == "null" else value
