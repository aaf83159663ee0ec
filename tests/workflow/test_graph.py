"""What Snakemake decides to run: nothing twice, and after an edit exactly what depends on it."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]

AFTER_BOX_MASKS = {
    "box_masks_shard",
    "labels_shard",
    "segmenter_round",
    "predictions_shard",
    "predictions_val_shard",
    "reference",
    "reference_predictions_shard",
    "evaluation_subject",
    "evaluation",
    "report",
    "all",
}

RECORD_IMPORTS = """
import atexit, sys
from pathlib import Path
atexit.register(lambda: Path({report!r}).write_text(chr(10).join(sys.modules)))
"""


def test_fresh_graph_has_a_known_number_of_jobs(fresh):
    jobs = fresh.planned_jobs()
    assert jobs["ground_truth_shard"] == 3
    assert jobs["box_masks_shard"] == jobs["cams_shard"] == 2
    assert jobs["labels_shard"] == 2 * 4
    assert jobs["segmenter_round"] == 3
    assert jobs["predictions_shard"] == 2 * 3
    assert jobs["index_shard"] == 3
    assert jobs["reference"] == jobs["classifier"] == 1


def test_proposals_are_made_when_asked_for_only(fresh):
    assert "proposals_shard" not in fresh.planned_jobs()
    jobs = fresh.planned_jobs("--", "proposals")
    assert jobs["proposals_shard"] == 2
    assert not {"weak_labels_shard", "ground_truth_shard", "cams_shard"} & set(jobs)


def test_run_without_a_model_trains_the_one_that_it_exports(fresh):
    jobs = fresh.planned_jobs("--", "export_model")
    assert jobs["export_model"] == 1 and jobs["segmenter_round"] == 3 and "reference" not in jobs
    (fresh.folder / "any.pt").write_bytes(b"")
    assert set(fresh.planned_jobs("--config", "model=any.pt", "--", "export_model")) == {"export_model"}
    done = fresh.snakemake("--config", "model=no.pt", "--", "export_model")
    assert done.returncode != 0
    assert re.search(r"model=no\.pt: no such file below .*; name one with", done.stdout + done.stderr)


def test_networks_of_a_library_are_looked_up_before_they_are_trained(fresh):
    assert "backbone_of_section" not in fresh.planned_jobs()
    network = ("--config", "segmenter={backbone: timm/test_resnet}")
    assert fresh.planned_jobs(*network)["backbone_of_section"] == 1
    assert set(fresh.planned_jobs(*network, "--", "backbones")) == {"backbones", "backbone_of_section"}


def test_each_training_starts_a_process_per_gpu(fresh):
    done = fresh.snakemake("--dry-run", "--printshellcmds", "--config", "gpus=2")
    assert done.returncode == 0, done.stdout + done.stderr
    commands = re.findall(r"command: (.*) -m pseudogt\.stages\.(classifier|segmenter|reference) ", done.stdout)
    assert {stage for _, stage in commands} == {"classifier", "segmenter", "reference"}
    assert {launcher for launcher, _ in commands} == {"torchrun --standalone --nproc-per-node 2"}


def test_jobs_on_one_gpu_leave_the_cores_of_the_others_to_other_jobs():
    rules = [
        rule
        for path in sorted((REPOSITORY / "rules").glob("*.smk"))
        for rule in re.split(r"^ *rule ", path.read_text(), flags=re.MULTILINE)
        if "gpu=min(CONFIG.gpus, 1),\n" in rule
    ]
    assert {rule.split(":")[0] for rule in rules} >= {"cams_shard", "predictions_shard", "mined_shard", "predict"}
    assert all("threads: CORES_PER_GPU\n" in rule for rule in rules)


def test_missing_weights_stop_before_the_graph(fresh):
    (fresh.folder / "models" / "pretrained" / "contours.pt").unlink()
    done = fresh.snakemake("--dry-run", "--config", "proposals={contours: learned}")
    assert done.returncode != 0
    assert "contours.pt: no such file; the settings in section proposals need it" in done.stdout + done.stderr
    fresh.planned_jobs("--config", "proposals={contours: gradient, ranking: rule}")


def test_parsing_imports_nothing_heavy(fresh, tmp_path):
    """Every job on a cluster parses the workflow, and torch alone takes three seconds."""
    report = tmp_path / "imported.txt"
    (tmp_path / "sitecustomize.py").write_text(RECORD_IMPORTS.format(report=str(report)))
    assert fresh.planned_jobs(env={"PYTHONPATH": str(tmp_path)})["classifier"] == 1
    imported = set(report.read_text().split())
    assert "pseudogt.workflow.plan" in imported
    assert not {"torch", "torchvision", "cv2", "higra", "h5py", "numba", "scipy", "skimage"} & imported
    assert not [name for name in imported if name.startswith(("pseudogt.stages", "models."))]


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE 1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE 1000")])
def test_threads_of_jobs_do_not_spin_unless_the_user_says_so(fresh, tmp_path, given, found):
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho "$OMP_WAIT_POLICY $GOMP_SPINCOUNT" > "{tmp_path}/found"\nexit 1\n')
    program.chmod(0o755)
    unset = dict.fromkeys(("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"), "")
    fresh.snakemake("streets", env=unset | given | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"})
    assert (tmp_path / "found").read_text().strip() == found


def test_second_run_does_nothing(finished):
    assert not finished.planned_jobs()


def test_touched_sources_change_nothing(workspace):
    for part in ("Snakefile", "config.yaml", "rules", "pseudogt", "models", "envs"):
        path = workspace.folder / part
        for file in [path] if path.is_file() else path.rglob("*"):
            os.utime(file)
    assert not workspace.planned_jobs()


def test_touched_dataset_changes_nothing(workspace):
    for file in (workspace.results / "streets").rglob("*.png"):
        os.utime(file)
    assert not workspace.planned_jobs()


def test_edit_of_a_core_module_reruns_its_dependents_only(workspace):
    module = workspace.folder / "pseudogt" / "box_masks" / "consensus.py"
    module.write_text(module.read_text() + "\n\nNEW = 1\n")
    assert set(workspace.planned_jobs()) == AFTER_BOX_MASKS


def test_comments_rerun_nothing(workspace):
    module = workspace.folder / "pseudogt" / "box_masks" / "consensus.py"
    module.write_text(module.read_text() + "\n\n# A remark.\n")
    assert not workspace.planned_jobs()


def test_setting_reruns_its_stage_and_what_follows(workspace):
    jobs = workspace.planned_jobs("--config", "report={panel_width_px: 80}")
    assert set(jobs) == {"report", "all"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segmenter={stepz: 3}"], "segmenter.stepz: unknown key; did you mean steps?"),
        (["classifer={steps: 3}"], "classifer: unknown key; did you mean classifier?"),
        (["rounds={max: 0}"], "rounds.max: Input should be greater than or equal to 1"),
        (["dataset={format: folder}"], "data_root is not set; add --config data_root=FOLDER"),
        (["dataset={format: folder}", "data_root=/nowhere"], "data_root /nowhere: no such folder"),
        (["name=../elsewhere"], "name: String should match pattern"),
        (["images=/nowhere"], "images=/nowhere: no such folder"),
        (["images=/", "predict_to=/"], "predict_to=/: holds images=/, which would be lost"),
        (["labels={instances: ignore}"], "labels.instances: this setting is called labels.overlap now (got 'ignore')"),
    ],
)
def test_bad_config_stops_before_the_graph(fresh, arguments, message):
    done = fresh.snakemake("--dry-run", "--config", *arguments)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert message in output
    assert "Traceback" not in output
    assert not (fresh.folder / "results").exists()


def test_predict_without_images_says_what_is_missing(fresh):
    done = fresh.snakemake("predict")
    assert done.returncode != 0 and "predict: name the folder of the images with --config images=" in done.stderr


def test_duplicate_key_stops_before_the_graph(fresh, tmp_path):
    """Snakemake by itself takes the last one."""
    path = tmp_path / "twice.yaml"
    path.write_text("rounds:\n  max: 1\n  min: 1\n  max: 2\n")
    done = fresh.snakemake("--dry-run", "--configfile", str(path))
    assert done.returncode != 0
    assert f"{path}: rounds.max is in line 2 and again in line 4; remove one of them" in done.stdout + done.stderr
    assert not (fresh.folder / "results").exists()


def test_conda_environment_equals_the_package():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((REPOSITORY / "envs" / "pseudogt.yaml").read_text())
    packages = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert packages == [d for d in project["dependencies"] if not d.startswith("snakemake")]
