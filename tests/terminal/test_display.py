"""Events of Snakemake, as it logs them, and the lines that are shown for them."""

from __future__ import annotations

import io
import json
import logging
from types import SimpleNamespace

import pytest

from pseudogt.terminal import display as display_module
from pseudogt.terminal.display import STREAM_HANDLER, RunDisplay, describe_failures
from pseudogt.terminal.painting import BarPainter, LinePainter, NoPainter, choose_rows
from pseudogt.terminal.progress import Failure, StageProgress

RULES = [
    SimpleNamespace(name="index_shard", message="index: read every image of {wildcards.shard} once"),
    SimpleNamespace(name="labels_shard", message="labels: round {wildcards.round}, {wildcards.shard}"),
    SimpleNamespace(name="cams_shard", message="cams: {wildcards.shard}"),
    SimpleNamespace(name="all", message=None),
]
JOBS = {"index_shard": 1, "labels_shard": 2, "all": 1}
COMMAND_FAILED = "RuleException:\nCalledProcessError in file 'rules/data.smk', line 89:\nCommand 'set -euo' returned 1."
GENERAL_FAILURE = "WorkflowError:\nAt least one job did not complete successfully."


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Run:
    """A logger with Snakemake's handler, and the events of a run."""

    def __init__(self, stream, **settings):
        self.stream = stream
        self.logger = logging.Logger("snakemake", logging.INFO)
        self.own = logging.StreamHandler(stream)
        self.own.name = STREAM_HANDLER
        self.logger.addHandler(self.own)
        defaults = {"dryrun": False, "nocolor": True, "printshellcmds": False, "verbose": False, "debug_dag": False}
        self.display = RunDisplay(self.logger, SimpleNamespace(**{**defaults, "quiet": None, **settings}))

    def begin(self):
        self.display.begin("tiny", RULES, JOBS, {}, timed=True)
        return self

    def start(self, jobid, rule, log=None, **wildcards):
        values = {"jobid": jobid, "rule_name": rule, "rule_msg": "said", "wildcards": wildcards}
        self.logger.info("Rule", extra={"event": "job_info", "log": [str(log)] if log else [], **values})

    def finish(self, jobid):
        self.logger.info("Finished", extra={"event": "job_finished", "job_id": jobid})

    def fail(self, jobid):
        self.logger.error(COMMAND_FAILED, extra={"event": "error", "exception": "RuleException"})
        self.logger.error("Error in rule", extra={"event": "job_error", "jobid": jobid, "rule_msg": None})
        self.logger.error("Exiting because a job execution failed. Look above for error messages")

    @property
    def text(self):
        return self.stream.getvalue()


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form: "12:00:00")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def failed_log(tmp_path):
    path = tmp_path / "labels.log"
    path.write_text("labels train-0000:  50%|#####     | 2/4 [00:01<00:01]\nerror: a.png: no such file\n")
    return path


def test_lines_without_a_terminal(tmp_path):
    run = Run(io.StringIO()).begin()
    run.logger.info("Select jobs to execute...")
    run.start(1, "index_shard", shard="train-0000")
    run.finish(1)
    run.start(2, "labels_shard", round="0", shard="train-0000")
    run.start(3, "labels_shard", round="0", shard="train-0001")
    run.finish(2)
    run.logger.warning("one image only")
    run.display.end(tmp_path)
    assert run.text.splitlines()[:-2] == [
        "[12:00:00] index: started",
        "[12:00:00] index train-0000: done in 0:00 (1 of 3 jobs)",
        "[12:00:00] labels: started",
        "[12:00:00] labels round 0, train-0000: done in 0:00 (2 of 3 jobs)",
        "one image only",
        "[12:00:00] labels: round 0, train-0001 (run: less than a minute left)",
    ]
    assert run.text.splitlines()[-1] == "2 jobs done in 0:00."


def test_warnings_of_jobs_are_shown_once(tmp_path):
    run = Run(io.StringIO()).begin()
    for jobid, own in ((2, "warning: sky is grey"), (3, "labels:  50%|#     | 1/2 [00:01<00:01]warning: no sea")):
        log = tmp_path / f"{jobid}.log"
        log.write_text(f"warning: old files\n{own}\nUserWarning: of a library\n")
        run.start(jobid, "labels_shard", log, round="0", shard=f"train-{jobid}")
        run.finish(jobid)
    run.display.end(tmp_path)
    assert [line for line in run.text.splitlines() if "arning" in line] == [
        "labels round 0, train-2: warning: old files",
        "labels round 0, train-2: warning: sky is grey",
        "labels round 0, train-3: warning: no sea",
    ]


def test_failed_run_ends_with_the_message_of_its_stage(failed_log):
    run = Run(io.StringIO()).begin()
    run.start(2, "labels_shard", failed_log, round="0", shard="train-0000")
    run.fail(2)
    run.display.end(None)
    run.logger.error(GENERAL_FAILURE, extra={"event": "error"})
    assert run.text.splitlines()[1:] == [
        "labels round 0, train-0000 failed: error: a.png: no such file",
        "",
        "1 job failed: labels round 0, train-0000.",
        "Fix the cause and start the run again: finished jobs are kept. Job commands: .snakemake/log/",
        f"labels round 0, train-0000 (log: {failed_log}):",
        "error: a.png: no such file",
    ]


def test_errors_that_no_job_explains_are_passed_on():
    run = Run(io.StringIO()).begin()
    run.logger.error("LockException: the folder is locked", extra={"event": "error"})
    run.display.end(None)
    run.logger.error(GENERAL_FAILURE, extra={"event": "error"})
    assert run.text.splitlines() == ["LockException: the folder is locked", *GENERAL_FAILURE.splitlines()]


def test_attempt_that_succeeds_in_the_end_is_no_failure(failed_log, tmp_path):
    run = Run(io.StringIO()).begin()
    run.start(2, "labels_shard", failed_log, round="0", shard="train-0000")
    run.fail(2)
    run.start(2, "labels_shard", failed_log, round="0", shard="train-0000")
    run.finish(2)
    run.display.end(tmp_path)
    assert run.text.splitlines()[-1].startswith("1 job done")


def test_first_failure_is_told_last_and_each_message_once():
    failures = [Failure("cams", f"cams {i}", f"error: {'b' if i == 3 else 'a'}", None) for i in range(7)]
    lines = describe_failures(failures)
    assert lines[1] == "7 jobs failed: cams 0, cams 1, cams 2, cams 3, cams 4 and 2 more."
    assert lines[3:] == ["cams 3:", "error: b", "cams 0:", "error: a"]
    assert describe_failures([Failure("cams", "cams 0", "killed", None)])[-1] == "error: killed"


def test_interrupted_run_names_no_failure():
    failures = [Failure("cams", "cams train-0000", "KeyboardInterrupt", None)]
    assert describe_failures(failures)[1:] == ["Interrupted. Start the run again to continue: finished jobs are kept."]


def test_bars_in_a_terminal(failed_log, tmp_path):
    run = Run(Terminal()).begin()
    run.start(1, "index_shard", shard="train-0000")
    run.finish(1)
    failed_log.write_text("labels train-0000:  50%|#####     | 2/4 [00:01<00:07, 1image/s]")
    run.start(2, "labels_shard", failed_log, round="0", shard="train-0000")
    run.logger.warning("one image only")
    run.display.end(tmp_path)
    last = run.text.rpartition("index ")[2].splitlines()
    assert "1/1" in last[0]
    assert "0/2" in last[1] and "round 0, train-0000 2/4, 0:07 left" in last[1]
    assert "tiny (whole run)" in last[2] and "1/3" in last[2] and "left" in last[2]
    assert "one image only" in run.text and "cams" not in run.text


@pytest.mark.parametrize(
    ("variables", "stream", "painter"),
    [
        ({}, Terminal(), BarPainter),
        ({"CI": "true"}, Terminal(), LinePainter),
        ({"TERM": "dumb"}, Terminal(), LinePainter),
        ({}, io.StringIO(), LinePainter),
    ],
)
def test_way_of_showing(monkeypatch, tmp_path, variables, stream, painter):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run = Run(stream).begin()
    assert type(run.display.painter) is painter
    run.display.end(tmp_path)


@pytest.mark.parametrize("settings", [{"quiet": [SimpleNamespace(name="RULES")]}, {"printshellcmds": True}])
def test_snakemakes_own_output_stays_if_it_was_asked_for(settings, failed_log):
    run = Run(io.StringIO(), **settings).begin()
    assert type(run.display.painter) is NoPainter
    run.logger.info("Select jobs to execute...")
    run.start(2, "labels_shard", failed_log, round="0", shard="train-0000")
    run.fail(2)
    run.display.end(None)
    run.logger.info("Elapsed time: 0:00:25")
    run.logger.error(GENERAL_FAILURE, extra={"event": "error"})
    lines = run.text.splitlines()
    assert lines[:3] == ["Select jobs to execute...", "Rule", "RuleException:"]
    assert lines[-1] == "error: a.png: no such file"


def test_header_is_left_out_and_what_matters_is_not():
    run = Run(io.StringIO())
    run.logger.info("Workflow has started!", extra={"event": "workflow_started"})
    run.logger.info("Using shell: /usr/bin/bash")
    run.logger.info("Nothing to be done")
    assert run.text == "Nothing to be done\n"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            'WorkflowError in file "rules/common.smk", line 66:\nthe configuration:\nrounds.max: too small\n'
            '  File "rules/common.smk", line 66, in <module>\n  File "a.py", line 1, in f',
            "error: the configuration:\nrounds.max: too small",
        ),
        ("MissingInputException in rule index:\na.png", "MissingInputException in rule index:\na.png"),
    ],
)
def test_error_of_the_workflow_is_its_message(said, shown):
    run = Run(io.StringIO())
    run.logger.error(said, extra={"event": "error"})
    assert run.text == f"{shown}\n"


def test_dry_run_and_logger_plugins_are_left_alone():
    run = Run(io.StringIO(), dryrun=True).begin()
    run.logger.info("Job stats", extra={"event": "run_info"})
    assert run.text == "Job stats\n" and run.logger.handlers == [run.own]
    logger = logging.Logger("snakemake")
    display = RunDisplay(logger, run.display.settings)
    display.begin("tiny", RULES, JOBS, {}, timed=True)
    display.end(None)
    assert not logger.handlers


@pytest.mark.parametrize("place", ["begin", "event", "end"])
def test_defect_of_the_display_switches_it_off_and_the_run_goes_on(monkeypatch, tmp_path, place):
    def break_down(*arguments, **options):
        raise KeyError("unknown")

    run = Run(io.StringIO())
    if place == "begin":
        monkeypatch.setattr(display_module, "choose_painter", break_down)
    run.begin()
    if place == "event":
        run.logger.info("Rule", extra={"event": "job_info", "rule_msg": "of a later Snakemake"})
    if place == "end":
        monkeypatch.setattr(display_module, "describe_results", break_down)
    run.display.end(tmp_path)
    run.logger.info("Snakemake goes on")
    assert run.logger.handlers == [run.own]
    assert run.text.count("the progress display failed and is off (KeyError: ") == 1
    assert run.text.endswith("Snakemake goes on\n")


def test_terminal_that_is_gone_does_not_stop_the_run(tmp_path):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    run = Run(Gone()).begin()
    run.start(1, "index_shard", shard="train-0000")
    run.finish(1)
    run.display.end(tmp_path)
    assert not run.logger.handlers


def test_scores_and_report_end_a_run(tmp_path):
    summary = {
        "rounds": [
            {"round": 0, "labels": {"train": {"pq": 0.5}}, "model": {"val": {"pq": 0.25}}},
            {"round": 1, "labels": {"train": {"pq": None}}, "model": {"val": {"pq": 0.3}}},
        ],
        "reference": {"val": {"pq": 0.4}},
        "ratio": {"pq": 0.75},
    }
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "report").mkdir()
    (tmp_path / "evaluation" / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "report" / "index.html").touch()
    rules = [SimpleNamespace(name=name, message=f"{name}: said") for name in ("evaluation", "report")]
    run = Run(io.StringIO())
    run.display.begin("tiny", rules, {"evaluation": 1, "report": 1}, {}, timed=False)
    for jobid, rule in enumerate(("evaluation", "report")):
        run.start(jobid, rule)
        run.finish(jobid)
    run.display.end(tmp_path)
    assert run.text.splitlines()[-5:] == [
        "PQ of round 0: labels 50.0%, model 25.0%",
        "PQ of round 1: model 30.0%",
        "PQ with full labels: 40.0%; ratio 0.75",
        f"Scores:  {tmp_path / 'evaluation' / 'summary.json'}",
        f"Report:  {tmp_path / 'report' / 'index.html'}",
    ]


def test_rows_that_find_no_room():
    """Finished stages go first, then the last of those to come; what is at work stays."""
    stages = [
        StageProgress("index", 2, 2, begun=True),
        StageProgress("classifier", 1, 0, begun=True),
        StageProgress("cams", 2),
        StageProgress("report", 1),
    ]
    shown = {height: [s.name for s in choose_rows(stages, height)] for height in (4, 3, 2, 0)}
    assert shown == {
        4: ["index", "classifier", "cams", "report"],
        3: ["classifier", "cams", "report"],
        2: ["classifier", "cams"],
        0: ["classifier"],
    }
