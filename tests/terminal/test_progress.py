"""Jobs, stages and the time left."""

from __future__ import annotations

import os

import pytest

from pseudogt.terminal.progress import Job, RulePlan, RunProgress

RULES = {
    "index_shard": RulePlan("index", 2, 1.0),
    "classifier": RulePlan("classifier", 1, 100.0),
    "cams_shard": RulePlan("cams", 2, 4.0),
}


@pytest.fixture
def progress():
    return RunProgress(RULES, started=1000.0)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "classifier.log"
    path.write_text("classifier:  50%|#####     | 10/20 [00:30<00:30, 1.0it/s]")
    os.utime(path, (1020, 1020))
    return path


def test_stages_keep_their_order_and_count_their_jobs(progress):
    assert progress.start(1, Job("index_shard", "train-0000", None, 1000.0))
    assert not progress.start(2, Job("index_shard", "train-0001", None, 1000.0))
    assert progress.finish(1).title == "train-0000"
    stages = progress.list_stages()
    assert [(s.name, s.done, s.total, s.begun) for s in stages] == [
        ("index", 1, 2, True),
        ("classifier", 0, 1, False),
        ("cams", 0, 2, False),
    ]
    assert stages[0].details == ["train-0001"]


def test_rules_of_one_stage_are_added(progress):
    progress = RunProgress({"a": RulePlan("mined", 2, 1.0), "b": RulePlan("mined", 3, 1.0)}, 0.0)
    assert [(s.name, s.total) for s in progress.list_stages()] == [("mined", 5)]


def test_progress_within_a_job_is_read_from_its_log(progress, log):
    progress.start(3, Job("classifier", "", log, 1010.0))
    progress.read_bars()
    stage = progress.list_stages()[1]
    assert stage.running == 0.5
    assert stage.details == ["10/20, 0:30 left"]
    assert progress.measure_done() == pytest.approx(50 / 110)


def test_log_of_an_earlier_attempt_is_not_read(progress, log):
    progress.start(3, Job("classifier", "", log, 1030.0))
    progress.read_bars()
    assert progress.list_stages()[1].running == 0


def test_time_left_follows_the_pace_of_the_run(progress, log):
    """Half of the training took 60 s where 50 s were expected; the prior is a tenth of 110 s."""
    assert progress.estimate_left(1060.0) is None
    progress.start(3, Job("classifier", "", log, 1010.0))
    progress.read_bars()
    assert progress.estimate_left(1060.0) == pytest.approx(60 * (60 + 11) / (50 + 11))


def test_time_left_is_at_least_that_of_the_training(progress, log):
    log.write_text("classifier:  50%|#####     | 10/20 [00:30<10:00, 1.0it/s]")
    progress.start(3, Job("classifier", "", log, 1010.0))
    progress.read_bars()
    assert progress.estimate_left(1060.0) == 600


def test_logs_are_read_once_whatever_is_shown_of_them(progress, log):
    progress.start(3, Job("classifier", "", log, 1010.0))
    progress.read_bars()
    log.unlink()
    assert progress.list_stages()[1].running == 0.5
    assert progress.measure_done() == pytest.approx(50 / 110)
    assert progress.estimate_left(1060.0) is not None


def test_failure_tells_the_message_and_a_second_attempt_clears_it(progress, log):
    log.write_text("error: a.png: no such file\n")
    progress.start(3, Job("classifier", "", log, 1010.0))
    failure = progress.fail(3, "killed")
    assert (failure.stage, failure.name, failure.message) == ("classifier", "classifier", "error: a.png: no such file")
    assert progress.fail(3, "killed") is None
    assert progress.list_stages()[1].failed
    progress.start(3, Job("classifier", "", log, 1050.0))
    assert not progress.failures


def test_failure_without_a_log_has_an_explanation(progress, tmp_path):
    progress.start(3, Job("classifier", "", tmp_path / "none.log", 1010.0))
    assert progress.fail(3, "killed by SLURM").message == "killed by SLURM"


def test_jobs_of_unknown_rules_are_counted(progress):
    progress.start(9, Job("new_rule", "", None, 1000.0))
    assert progress.finish(9) and progress.finish(10) is None
    assert progress.list_stages()[-1].name == "new_rule"
