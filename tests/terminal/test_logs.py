"""Progress bars and messages in log files as jobs leave them."""

from __future__ import annotations

import pytest

from pseudogt.terminal.logs import TAIL_BYTES, ProgressBar, find_bar, find_message, read_tail

TRAINING_LOG = (
    "\rprepare images:   0%|          | 0/8 [00:00<?, ?it/s]"
    "\rprepare images: 100%|██████████| 8/8 [00:00<00:00, 83.47it/s]\n"
    "\rclassifier:   0%|          | 0/20 [00:00<?, ?it/s]"
    "\rclassifier:  35%|███▌      | 7/20 [00:05<00:10,  1.26it/s]"
)


def test_last_bar_counts():
    assert find_bar(TRAINING_LOG) == ProgressBar("classifier", 7, 20, 10.0)


def test_bar_that_is_half_written_leaves_the_one_before():
    assert find_bar(TRAINING_LOG + "\rclassifier:  75%|████") == ProgressBar("classifier", 7, 20, 10.0)


@pytest.mark.parametrize(
    ("line", "bar"),
    [
        ("a: 10%|# | 100/1000 [10:00<1:30:00, 1.5s/it]", ProgressBar("a", 100, 1000, 5400.0)),
        ("a:   0%|          | 0/4 [00:00<?, ?image/s]", ProgressBar("a", 0, 4, None)),
        (" 50%|#####     | 2/4 [00:01<00:01, 2it/s]", ProgressBar("", 2, 4, 1.0)),
        ("7it [00:01, 5.00it/s]", None),
        ("RuntimeWarning: 30% of pixels are void", None),
        ("", None),
    ],
)
def test_other_lines(line, bar):
    assert find_bar(line) == bar


def test_preparation_counts_as_nothing():
    assert ProgressBar("prepare images", 8, 8, 0.0).fraction == 0
    assert ProgressBar("classifier", 5, 20, 1.0).fraction == 0.25
    assert ProgressBar("classifier", 0, 0, None).fraction == 0


def test_message_is_that_of_the_stage_with_all_its_lines():
    log = TRAINING_LOG + "\nwarning: a\nerror: settings are wrong:\n  steps: -1 is less than 1\n"
    assert find_message(log) == "error: settings are wrong:\n  steps: -1 is less than 1"


def test_message_on_the_line_of_a_bar_that_was_left_open():
    assert find_message("a:   0%|  | 0/4 [00:00<?, ?image/s]error: a [1]\n") == "error: a [1]"


def test_message_of_a_job_that_was_killed_is_no_progress_bar():
    assert find_message(TRAINING_LOG) == ""
    assert find_message("Traceback (most recent call last):\n  File 'a'\nMemoryError: 3 GB\n") == "MemoryError: 3 GB"


TORCHRUN_LOG = (
    "W1130 14:37:41.867000 23039 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 23065 closing\n"
    "E1130 14:37:42.245000 23039 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9) rank: 1\n"
    "Traceback (most recent call last):\n"
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n"
    "============================================================\n"
)


def test_message_of_several_processes_is_that_of_the_one_that_failed():
    others = "[rank0]: Traceback (most recent call last):\n[rank0]: RuntimeError: connection closed by peer\n"
    log = TRAINING_LOG + "\nerror: out of memory;\n  lower batch_size\n" + TRAINING_LOG + "\n" + others + TORCHRUN_LOG
    assert find_message(log) == "error: out of memory;\n  lower batch_size"
    assert (
        find_message(TRAINING_LOG + "\n" + others + TORCHRUN_LOG) == "[rank0]: RuntimeError: connection closed by peer"
    )
    assert "failed (exitcode: -9) rank: 1" in find_message(TRAINING_LOG + "\n" + TORCHRUN_LOG)


def test_end_of_a_long_log_in_any_encoding(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes("ü".encode() * TAIL_BYTES + b"\nerror: last \xff\n")
    assert find_message(read_tail(path)).startswith("error: last ")
    assert len(path.read_bytes()) > len(read_tail(path))
    assert read_tail(tmp_path / "none.log") == ""
