import hashlib
import json
import shlex
import signal
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from pseudogt import __version__
from pseudogt.config.annotations import NAME_FILES
from pseudogt.config.duplicates import check_duplicate_keys
from pseudogt.export import FORMATS
from pseudogt.config.inheritance import SHARED
from pseudogt.config.run import parse_run_config
from pseudogt.datasets import find_layout, list_image_ids
from pseudogt.workflow.estimate import ASSUMED_PIXELS, describe_estimate
from pseudogt.files.parsing import read_id_list
from pseudogt.workflow.provenance import compute_code_digest, compute_image_digests, compute_input_digest
from pseudogt.workflow.requirements import (measure_pixels, request_memory_mb, request_minutes, request_training_memory_mb, request_training_minutes)
from pseudogt.workflow.resume import join_live_runs, record_run
from pseudogt.workflow.locks import wait_to_start
from pseudogt.workflow.shards import abbreviate_paths, plan_shards, split_of_shard
from pseudogt.workflow.weights import list_weights

# SLURM and other schedulers may warn a whole job with SIGUSR1, and with SIGTERM before they kill it: both are for the
# training, which writes a checkpoint. Snakemake and the shell around it stay until it has.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
# Jobs find the package wherever Snakemake was started.
shell.prefix(
    f"set -euo pipefail; trap : TERM; export PYTHONPATH={shlex.quote(workflow.basedir)}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
)

try:
    check_duplicate_keys(workflow.configfiles)
    CONFIG = parse_run_config(config)
except ValueError as error:
    raise WorkflowError(str(error)) from None

try:
    # Held as long as this process lives: `make resume` tells a live run from a dead one by it.
    RUN_LOCK = join_live_runs(Path.cwd()) if workflow.is_main_process else None
    START_LOCK = wait_to_start(Path.cwd()) if workflow.is_main_process else None
except ValueError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{CONFIG.name}"
LOGS = f"logs/{CONFIG.name}"
BENCHMARKS = f"{RESULTS}/benchmarks"
PREDICT_MODEL = CONFIG.model or f"{RESULTS}/segmenter/{CONFIG.rounds.max - 1}/model.pt"
DATA_ROOT = f"{RESULTS}/streets" if CONFIG.dataset.format == "streets" else CONFIG.data_root
# `torchrun` gives every GPU of the node its own process.
LAUNCHER = f"torchrun --standalone --nproc-per-node {CONFIG.gpus}" if CONFIG.gpus > 1 else "python"
LAST_ROUND = CONFIG.rounds.max - 1
# What the labels of round 0 are made from.
FIRST_SCORES = "mined" if CONFIG.method == "jtsm" else "cams"
# What is scored before the first round.
FIRST_STAGES = ["mined", "mining"] if CONFIG.method == "jtsm" else ["cams", "box_masks"]
WEAK_LABELS_GIVEN = bool(CONFIG.annotations.given or CONFIG.provided.weak_labels)


def describe_supervision():
    """What the labels are made from, its parts joined by a plus."""
    annotated = CONFIG.annotations.given
    boxes = CONFIG.annotations.path and CONFIG.annotations.boxes if annotated else CONFIG.weak_labels.boxes
    tags = "image_tags" if annotated else f"{CONFIG.weak_labels.tags}_tags"
    parts = ["provided"] if CONFIG.provided.weak_labels else [tags, *(["boxes"] if boxes else [])]
    return "+".join([*parts, "full"] if HAS_FULL_LABELS else parts)


def load_shard_plan():
    """Which image is in which shard, the recorded assignment with new images appended; and pixels of an image."""
    if CONFIG.images is not None:
        return {}, ASSUMED_PIXELS
    record = Path(f"{RESULTS}/index.json")
    previous = json.loads(record.read_text())["shards"] if record.is_file() else None
    try:
        image_ids = list_image_ids(CONFIG.dataset, DATA_ROOT, CONFIG.streets)
        shards = plan_shards(previous, image_ids, CONFIG.shard_size)
        return shards, measure_pixels(CONFIG, image_ids, DATA_ROOT)
    except ValueError as error:
        raise WorkflowError(str(error)) from None


SHARDS, PIXELS = load_shard_plan()
ALL_IMAGES = sum(map(len, SHARDS.values()))
TRAIN_SHARDS = [shard for shard in SHARDS if shard.startswith("train-")]
VAL_SHARDS = [shard for shard in SHARDS if shard.startswith("val-")]


def list_full_labels():
    """Ids of the list of fully labelled images, and the files of the folder of full labels."""
    settings = CONFIG.full_labels
    try:
        listed = read_id_list(Path(settings.images)) if settings.images else []
        if settings.split:
            layout = find_layout(CONFIG.dataset)
            listed += [
                i for part in settings.split.split("+") for i in layout.list_split(Path(DATA_ROOT), part)
            ]
    except ValueError as error:
        raise WorkflowError(f"full_labels: {error}") from None
    strangers = set(listed) - {i for shard in TRAIN_SHARDS for i in SHARDS[shard]}
    if strangers and SHARDS:
        raise WorkflowError(f"full_labels: {sorted(strangers)[0]!r} is no training image of this dataset")
    folder = Path(settings.folder) if settings.folder else None
    if folder is not None and not folder.is_dir():
        raise WorkflowError(f"full_labels.folder: {folder}: no such folder")
    return set(listed), sorted(p for p in folder.rglob("*") if p.is_file()) if folder else []


HAS_FULL_LABELS = any(CONFIG.full_labels.model_dump().values())
FULL_LABEL_IDS, FULL_LABEL_FILES = list_full_labels()
# Weak labels as they were given; those of images with full labels are made from these.
GIVEN_WEAK_LABELS = f"{RESULTS}/weak_labels{'_given' if HAS_FULL_LABELS else ''}/{{shard}}.json"


def describe_annotations():
    """The files with boxes and tags, by name, size and time."""
    settings = CONFIG.annotations
    named = [Path(DATA_ROOT, path) for path in (settings.path, settings.names, settings.tags) if path]
    for path in named:
        if not path.exists():
            raise WorkflowError(f"annotations: {path}: no such file or folder")
    if settings.format == "yolo":
        folders = [named[0], *named[0].resolve().parents[:2]]
        named += [
            path for folder in folders for path in (folder / name for name in NAME_FILES) if path.is_file()
        ]
    files = [file for path in named for file in (path.rglob("*") if path.is_dir() else [path])]
    return digest(sorted([str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()))


def describe_full_labels(wildcards):
    """What the full labels of a shard are made from: a corrected file touches its own shard only."""
    image_ids = set(SHARDS[wildcards.shard])
    files = [
        [str(path), path.stat().st_size, path.stat().st_mtime_ns]
        for path in FULL_LABEL_FILES
        if path.suffix in (".json", ".xml") or path.stem.partition("_gtFine")[0] in image_ids
    ]
    return digest(files)


def list_full_ids(shard):
    """Images of a shard whose labels of the dataset are used."""
    return [image_id for image_id in SHARDS[shard] if image_id in FULL_LABEL_IDS]


def get_listed_ground_truth(wildcards):
    """Ground truth of a shard, if the labels of some of its images are used."""
    return f"{RESULTS}/ground_truth/{wildcards.shard}" if list_full_ids(wildcards.shard) else []


def get_full_labels(wildcards):
    """Full labels of a shard, if any image has some."""
    return f"{RESULTS}/full_labels/{wildcards.shard}" if HAS_FULL_LABELS else []


def digest(value):
    """A short name for a value that is too long to be a parameter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def settings(section):
    """A config section as the JSON that its stage parses."""
    return json.dumps(getattr(CONFIG, section).model_dump(mode="json"), sort_keys=True)


def round_settings(wildcards):
    """Section `rounds` for the training of one round, to which it does not matter how many may follow."""
    number = int(wildcards.round) + 1
    values = CONFIG.rounds.model_dump(mode="json", exclude={"box_mask_rounds"})
    return json.dumps(values | {"max": max(number, CONFIG.rounds.min)}, sort_keys=True)


def list_provided_weak_labels():
    """What the provided weak labels say of each image, as digests: an edited box touches its own shard only."""
    if not CONFIG.provided.weak_labels:
        return {}
    try:
        return compute_image_digests(
            json.loads(Path(CONFIG.provided.weak_labels).read_text(encoding="utf-8"))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkflowError(
            f"provided.weak_labels: {CONFIG.provided.weak_labels}: not a COCO-style file ({error!r})"
        ) from None


PROVIDED_WEAK_LABELS = list_provided_weak_labels()


def provided(kind):
    """The part of section `provided` that names the files of one stage, as JSON."""
    return json.dumps({kind: getattr(CONFIG.provided, kind)})


def code(stage):
    """Digest of the code behind a stage."""
    return compute_code_digest(f"pseudogt.stages.{stage}")


def weights(section):
    """Digest of the weight files that a stage reads: a replaced file is a new result."""
    paths = list_weights(getattr(CONFIG, section))
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise WorkflowError(f"{missing[0]}: no such file; the settings in section {section} need it")
    return compute_input_digest([], paths)


def for_train(pattern):
    """The files of all training shards."""
    return [f"{RESULTS}/{pattern}".replace("{shard}", shard) for shard in TRAIN_SHARDS]


def for_val(pattern):
    """The files of all validation shards."""
    return [f"{RESULTS}/{pattern}".replace("{shard}", shard) for shard in VAL_SHARDS]


def get_data_root(wildcards, input):
    """The dataset's folder: the user's, or that of the street scenes."""
    return input.get("streets") or DATA_ROOT


def get_scores(wildcards):
    """What the labels of a round are made from: CAMs (or mined labels) at first, then the last model's scores."""
    round = int(wildcards.round)
    if round == 0:
        return f"{RESULTS}/{FIRST_SCORES}/{wildcards.shard}.h5"
    return f"{RESULTS}/predictions/{round - 1}/{wildcards.shard}.h5"


def get_first_scores(wildcards):
    """What round 0 was made from takes part in the labels of later rounds if it has a weight there."""
    is_needed = int(wildcards.round) and CONFIG.labels.first_scores_weight
    return f"{RESULTS}/{FIRST_SCORES}/{wildcards.shard}.h5" if is_needed else []


def get_box_masks(wildcards):
    """Box masks take part in the labels of the first rounds only, and where there are boxes."""
    if CONFIG.method == "jtsm" or int(wildcards.round) >= CONFIG.rounds.box_mask_rounds:
        return []
    return f"{RESULTS}/box_masks/{wildcards.shard}"


def get_instances(wildcards):
    """Without boxes, instances are those that were mined, later those of the last model."""
    if CONFIG.method == "wsps":
        return []
    round = int(wildcards.round)
    return (
        f"{RESULTS}/predictions/{round - 1}/{wildcards.shard}"
        if round
        else f"{RESULTS}/mined/{wildcards.shard}"
    )


def get_mining_weights():
    """What the backbone of mining starts from, as far as it is a file."""
    if CONFIG.mining.init == "classifier":
        return f"{RESULTS}/classifier/model.pt"
    weights = CONFIG.mining.weights
    return weights if weights and Path(weights).is_file() else []


def get_box_proposals(wildcards):
    """Box masks read the proposals if one of their segmenters does."""
    return f"{RESULTS}/proposals/{wildcards.shard}.h5" if "proposal" in CONFIG.box_masks.segmenters else []


def get_box_cams(wildcards):
    """Box masks read the CAMs if these are to guide GrabCut."""
    return f"{RESULTS}/cams/{wildcards.shard}.h5" if CONFIG.box_masks.cam_prior else []


def describe_export_subject():
    """Name of what section `export` asks for: labels-<round>, or predictions-<round>-<split>."""
    is_labels = CONFIG.export.source == "labels"
    last = CONFIG.rounds.max if is_labels else LAST_ROUND
    round = last if CONFIG.export.round is None else CONFIG.export.round
    if round > last:
        raise WorkflowError(f"export.round is {round}; the last round of {CONFIG.export.source} is {last}")
    return f"labels-{round}" if is_labels else f"predictions-{round}-{CONFIG.export.split}"


EXPORT_SUBJECT = describe_export_subject()
# Settings that no label depends on, and sections whose settings stages have inherited; the manifest's digest leaves
# them out.
WITHOUT_INFLUENCE = {
    *SHARED,
    "evaluation",
    "report",
    "export",
    "review",
    "images",
    "model",
    "predict_to",
    "threads",
    "decode",
    "keep_scores",
}


def get_export_labels(wildcards):
    """The label folder of a shard that is exported."""
    source, round = wildcards.subject.split("-")[:2]
    return f"{RESULTS}/{source}/{round}/{wildcards.shard}"


def for_subject(pattern, subject):
    """The files of all shards of an export."""
    return for_val(pattern) if subject.endswith("-val") else for_train(pattern)


def export_settings():
    """The part of section `export` that decides what is in a set."""
    return CONFIG.export.model_dump_json(exclude={"formats", "source", "round", "split"})


def describe_provenance(wildcards):
    """What the manifest of an export says of the run."""
    source, round = wildcards.subject.split("-")[:2]
    facts = {
        "run": CONFIG.name,
        "subject": {
            "source": source,
            "round": int(round),
            "split": "val" if wildcards.subject.endswith("-val") else "train",
        },
        "config_digest": digest(CONFIG.model_dump(mode="json", exclude=WITHOUT_INFLUENCE)),
        "code": {"version": __version__, "digest": code(source)},
        "weak_labels": {
            "source": CONFIG.provided.weak_labels
            or CONFIG.annotations.path
            or CONFIG.annotations.tags
            or "derived from the ground truth of the dataset",
            "ground_truth_used": not WEAK_LABELS_GIVEN,
        },
        "full_labels": {
            "of_the_dataset": len(FULL_LABEL_IDS),
            "folder": CONFIG.full_labels.folder,
            "ground_truth_used": bool(FULL_LABEL_IDS),
        },
    }
    return json.dumps(facts, sort_keys=True)


def choose_review_round():
    """Round of the labels that are reviewed."""
    round = CONFIG.rounds.max if CONFIG.review.round is None else CONFIG.review.round
    if round > CONFIG.rounds.max:
        raise WorkflowError(f"review.round is {round}; the last round of labels is {CONFIG.rounds.max}")
    return round


REVIEW_ROUND = choose_review_round()


def get_review_scores(wildcards):
    """The scores that the reviewed labels were made from."""
    if REVIEW_ROUND == 0:
        return f"{RESULTS}/{FIRST_SCORES}/{wildcards.shard}.h5"
    return f"{RESULTS}/predictions/{REVIEW_ROUND - 1}/{wildcards.shard}.h5"


def get_initial_model(wildcards):
    """The model that a round's training starts from, if it does not start from scratch."""
    round = int(wildcards.round)
    if round == 0 or CONFIG.rounds.init == "scratch":
        return []
    return f"{RESULTS}/segmenter/{round - 1}/model.pt"


def get_earlier_records(wildcards):
    """Records of the rounds before this one; the stop rule reads them."""
    return [f"{RESULTS}/segmenter/{r}/record.json" for r in range(int(wildcards.round))]


def get_previous(pattern):
    """The same file of the round before; a round after the stop is linked to it."""

    def get(wildcards):
        round = int(wildcards.round)
        path = pattern.replace("{round}", str(round - 1)).replace("{shard}", wildcards.shard)
        return [f"{RESULTS}/{path}"] if round else []

    return get


def get_previous_record(wildcards):
    """Record of the model whose predictions the labels of a round are made from."""
    round = int(wildcards.round)
    return [f"{RESULTS}/segmenter/{round - 1}/record.json"] if round else []


def with_truth(files):
    """The files if the dataset has ground truth, else none."""
    return list(files) if CONFIG.dataset.has_ground_truth else []


def list_files(name, files):
    """``--name FILE...`` for a shell command; files of consecutive shards are one word.

    Linux takes no more than 128 kB in a command, which a few hundred shards would fill.
    """
    files = [files] if isinstance(files, str) else list(files)
    return f"--{name} {shlex.join(abbreviate_paths(files))}"


def flag(name, files):
    """As :func:`list_files`, or nothing if there are no files."""
    return list_files(name, files) if files else ""


def describe_predict_inputs():
    """What tells one call of `predict` from another: the images by name and size, the model by size and time."""
    if CONFIG.images is None:
        return []
    folder, model = Path(CONFIG.images), Path(PREDICT_MODEL)
    if not folder.is_dir():
        raise WorkflowError(f"images={CONFIG.images}: no such folder")
    if not model.is_file():
        raise WorkflowError(f"model={PREDICT_MODEL}: no such file; name one with --config model=FILE")
    images = sorted((p.name, p.stat().st_size) for p in folder.iterdir() if p.is_file())
    return digest([images, model.stat().st_size, model.stat().st_mtime_ns])


def memory(stage, images=0):
    """Memory of a job of a stage in MB; of one on all images if their number is given."""
    return lambda wildcards, attempt: request_memory_mb(stage, PIXELS, attempt, images)


def minutes(stage, images=CONFIG.shard_size):
    """Minutes of a job of a stage that works on a shard, or on that many images."""
    return lambda wildcards, attempt: request_minutes(stage, PIXELS, images, attempt)


def training_memory(section):
    """Memory of a training in MB."""
    return lambda wildcards, attempt: request_training_memory_mb(
        getattr(CONFIG, section), ALL_IMAGES, PIXELS, CONFIG.gpus, attempt
    )


def training_minutes(section, rounds=1):
    """Minutes of a training of the steps of ``rounds`` rounds."""
    return lambda wildcards, attempt: request_training_minutes(
        getattr(CONFIG, section), rounds, CONFIG.gpus, attempt
    )


def passing(path):
    """An output that only other stages read: removed once none needs it, unless `keep_scores` is set."""
    return path if CONFIG.keep_scores else temp(path)


def grow(base):
    """A resource that doubles with each attempt."""
    return lambda wildcards, attempt: base * 2 ** (attempt - 1)


wildcard_constraints:
    shard=r"(train|val)-\d+",
    round=r"\d+",
    subject=r"labels-\d+|predictions-\d+-(train|val)",
    format="|".join(FORMATS.names),


onstart:
    print(describe_estimate(CONFIG, SHARDS, PIXELS), file=sys.stderr)
    if workflow.is_main_process:
        if SHARDS:
            # Imported late: parsing needs none of what it reads images with.
            from pseudogt.stages.index import record_plan

            record_plan(Path(f"{RESULTS}/index.json"), SHARDS, CONFIG.dataset, CONFIG.shard_size)
        os.close(START_LOCK)
        if workflow.local_exec:
            # Snakemake's limit of 100 local jobs a second leaves a timer behind with every job that ends, each of
            # which has it go through all that are ready once a second.
            workflow.scheduler.job_rate_limiter = None
        # Arguments are relative to where Snakemake was started, which --directory left.
        origin = Path(os.environ.get("PWD", ".")) if workflow.overwrite_workdir else Path.cwd()
        record_run(Path.cwd(), origin, sys.argv[1:], workflow.executor_plugin.name)
