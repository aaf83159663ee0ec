import json
import os
import shlex
import signal
import sys
from collections import Counter
from pathlib import Path

from snakemake import __version__ as SNAKEMAKE_VERSION
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

sys.path.insert(0, workflow.basedir)

from pseudogt.config.duplicate_keys import check_duplicate_keys
from pseudogt.config.run import parse_run_config
from pseudogt.config.unread import find_unread
from pseudogt.costs.estimate import describe_estimate, estimate_seconds_of_jobs
from pseudogt.costs.mining import count_boxes_ahead, count_evidence_boxes
from pseudogt.costs.requirements import (
    find_costs,
    request_memory_mb,
    request_minutes,
    request_training_memory_mb,
    request_training_minutes,
    request_training_threads,
)
from pseudogt.export import FORMATS
from pseudogt.terminal.display import RunDisplay
from pseudogt.workflow.assignment import assign_shards, find_data_root, find_odd_shards, record_shards
from pseudogt.workflow.entries import select_entries
from pseudogt.workflow.given_files import GivenFiles, check_model, digest_predict_inputs, digest_times
from pseudogt.workflow.locks import ATTEMPT_VARIABLE, RUN_VARIABLE, claim_name, wait_to_start
from pseudogt.workflow.networks import describe_networks, find_fast_rates, list_initial_networks
from pseudogt.workflow.plan import JOB_ENVIRONMENT, RunPlan
from pseudogt.workflow.provenance import compute_code_digest
from pseudogt.workflow.resume import join_live_runs, record_run
from pseudogt.workflow.run_facts import describe_provenance, name_supervision
from pseudogt.workflow.shards import pass_files, pass_files_if_any, pass_named_files, split_of_shard
from pseudogt.workflow.subjects import EXPORT_PATTERN, MEASURES, SUBJECT_PATTERN, find_subject

# SLURM and other schedulers may send a whole job SIGUSR1 as a warning, and SIGTERM before they kill it. Both are meant
# for the training, which then writes a checkpoint; Snakemake and the shell around it wait until it has.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
# Jobs on a cluster parse this, too; only the Snakemake that starts them has something to show.
DISPLAY = RunDisplay(logger, workflow.output_settings) if workflow.is_main_process else None
# Everything that reads files while the workflow is parsed; its errors are printed without a traceback.
try:
    check_duplicate_keys(workflow.configfiles)
    BOXES_FOUND = ""
    if config.get("boxes_from"):
        # Reads annotations; imported here, because other runs parse without the libraries that this needs.
        from pseudogt.setup.boxes import configure_boxes

        # Snakemake's merged config does not distinguish the user's settings from the defaults.
        given = workflow.config_settings.overwrite_config
        config, BOXES_FOUND = configure_boxes(Path(config["boxes_from"]).expanduser(), config, given)
    CONFIG = parse_run_config(config)
    RESULTS = f"results/{CONFIG.name}"
    # Held as long as this process lives, so that `make resume` can tell a live run from a dead one.
    RUN_LOCK = join_live_runs(Path.cwd()) if workflow.is_main_process else None
    START_LOCK = wait_to_start(Path.cwd()) if workflow.is_main_process else None
    SHARDS, PIXELS, PASSED_OVER = assign_shards(CONFIG, Path(f"{RESULTS}/index.json"))
    GIVEN = GivenFiles.read(CONFIG, find_data_root(CONFIG), SHARDS)
    PLAN = RunPlan(CONFIG, SHARDS, GIVEN.full_label_ids)
    PREDICT_INPUTS = (
        digest_predict_inputs(Path(CONFIG.images), Path(PLAN.predict_model)) if CONFIG.images else ""
    )
except (ValueError, OSError) as error:
    # With `--quiet all` Snakemake prints nothing, not even why it stops.
    if any(kind.name == "ALL" for kind in workflow.output_settings.quiet or ()):
        print(f"error: {error}", file=sys.stderr)
    raise WorkflowError(str(error)) from None

# Predictions of new images write none of the files of a run of the same name.
LOCK_NAME = f"{CONFIG.name} predict" if CONFIG.images else CONFIG.name
# Jobs find the package wherever Snakemake was started, and keep environment variables that the user has set.
EXPORTS = "".join(f"export {name}=${{{{{name}:-{value}}}}}; " for name, value in JOB_ENVIRONMENT.items())
shell.prefix(
    f"set -euo pipefail; trap : TERM; {EXPORTS}"
    f"export {RUN_VARIABLE}={shlex.quote(LOCK_NAME)} {ATTEMPT_VARIABLE}=$HOSTNAME-$$-$RANDOM; "
    f"export PYTHONPATH={shlex.quote(workflow.basedir)}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
)

LOGS = f"logs/{CONFIG.name}"
BENCHMARKS = f"{RESULTS}/benchmarks"
# Masks that all runs share; deleting them only costs time.
EVIDENCE = "evidence"
# GrabCut in mining uses all cores of this machine; on a cluster, as many as other trainings.
LOCAL_CORES = workflow.resource_settings.cores if workflow.local_exec else None
SEGMENTING_CORES = (LOCAL_CORES or 0) if count_evidence_boxes(CONFIG.mining) else 0
GIVEN_WEAK_LABELS = PLAN.find_given_weak_labels()
# `torchrun` gives every GPU of the node its own process.
LAUNCHER = f"torchrun --standalone --nproc-per-node {CONFIG.gpus}" if CONFIG.gpus > 1 else "python"
# Jobs that apply a network use one GPU, so that several of them run side by side.
CORES_PER_GPU = max(1, CONFIG.threads // max(CONFIG.gpus, 1))


wildcard_constraints:
    shard=r"(train|val)-\d+",
    round=r"\d+",
    format="|".join(FORMATS.names),


def dump_settings(section):
    """A config section as the JSON that its stage parses."""
    return json.dumps(getattr(CONFIG, section).model_dump(mode="json"), sort_keys=True)


def dump_provided(kind):
    """The part of section `provided` that one stage reads, as JSON."""
    others = {"bad_boxes"} if kind == "weak_labels" else set()
    return json.dumps(CONFIG.provided.model_dump(include={kind} | others), sort_keys=True)


def digest_code(stage, **entries):
    """Digest of the code behind a stage, of tables only the entries that the settings, or ``entries``, name."""
    return compute_code_digest(f"pseudogt.stages.{stage}", select_entries(CONFIG, stage, **entries))


def pass_inputs(wildcards, input):
    """Pass each named input as the option of that name, `weak_labels` as `--weak-labels`, and the others not at all."""
    return pass_named_files(input.items())


def remove_after_use(path):
    """An output that only other stages read: removed once none needs it, unless `keep_scores` is set."""
    return path if CONFIG.keep_scores else temp(path)


def limit_memory(stage, images=0):
    """Memory of a job of a stage in MB; of one on all images if their number is given."""
    costs = find_costs(stage, CONFIG)
    return lambda wildcards, attempt: request_memory_mb(costs, PIXELS, attempt, images)


def limit_time(stage, images=CONFIG.shard_size):
    """Minutes of a job of a stage that works on a shard, or on that many images."""
    costs = find_costs(stage, CONFIG)
    return lambda wildcards, attempt: request_minutes(costs, PIXELS, images, attempt)


def limit_training_memory(section):
    """Memory of a training in MB."""
    settings = getattr(CONFIG, section)
    return lambda wildcards, attempt: request_training_memory_mb(
        settings, PIXELS, CONFIG.threads, CONFIG.gpus, attempt
    )


def count_training_threads(section, least=0):
    """Cores of a training, which can use ``least``."""
    return request_training_threads(getattr(CONFIG, section), max(CONFIG.threads, least), CONFIG.gpus)


def limit_training_time(section, rounds=1):
    """Minutes of a training of the steps of ``rounds`` rounds."""
    settings = getattr(CONFIG, section)
    return lambda wildcards, attempt: request_training_minutes(
        settings, rounds, PLAN.image_count, CONFIG.gpus, attempt, pixels=PIXELS, threads=CONFIG.threads
    )


onstart:
    # `predict`, `export_model model=FILE` and `boxes_to_masks` train nothing; `check` says all of this in its own table.
    targets = set(workflow.dag_settings.targets)
    quiet = CONFIG.images or targets == {"check"} or CONFIG.model and targets == {"export_model"}
    if BOXES_FOUND:
        print(BOXES_FOUND, file=sys.stderr)
    elif not quiet:
        print(describe_estimate(CONFIG, SHARDS, PIXELS), file=sys.stderr)
    if workflow.is_main_process and not quiet:
        odd = [] if BOXES_FOUND else find_odd_shards(SHARDS, CONFIG.shard_size)
        for note in [*PASSED_OVER, *odd, *find_unread(CONFIG), *find_fast_rates(CONFIG)]:
            print(f"warning: {note}", file=sys.stderr)
    if workflow.is_main_process:
        jobs = Counter(job.rule.name for job in workflow.dag.needrun_jobs())
        try:
            # A model that is named is not an input of `export_model`; other targets may be about to write it.
            if CONFIG.model and jobs["export_model"]:
                check_model(Path(CONFIG.model))
            if jobs["predict"] and not CONFIG.images:
                raise ValueError("predict: name the folder of the images with --config images=FOLDER")
            claim_name(Path.cwd(), LOCK_NAME)
            if SHARDS:
                record_shards(Path(f"{RESULTS}/index.json"), SHARDS, CONFIG.dataset)
        except (ValueError, OSError) as error:
            raise WorkflowError(str(error)) from None
        os.close(START_LOCK)
        # Snakemake 9 limits local jobs to 100 per second. Every finished job leaves a timer behind, which makes the
        # scheduler scan all ready jobs once a second: a run of 300 jobs takes 9 s instead of 4. No option removes the
        # limit. On a cluster it stays.
        if workflow.local_exec and SNAKEMAKE_VERSION.startswith("9."):
            workflow.scheduler.job_rate_limiter = None
        # Arguments are relative to where Snakemake was started, which --directory left.
        origin = Path(os.environ.get("PWD", ".")) if workflow.overwrite_workdir else Path.cwd()
        record_run(Path.cwd(), origin, sys.argv[1:], workflow.executor_plugin.name)
        train, val = (
            sum(len(SHARDS[s]) for s in shards) for shards in (PLAN.train_shards, PLAN.val_shards)
        )
        seconds = estimate_seconds_of_jobs(CONFIG, train, jobs, val)
        DISPLAY.begin(CONFIG.name, workflow.rules, jobs, seconds, timed=workflow.local_exec)


onsuccess:
    if DISPLAY:
        DISPLAY.end(Path(RESULTS))


onerror:
    if DISPLAY:
        DISPLAY.end(None)
