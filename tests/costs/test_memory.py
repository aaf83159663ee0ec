import psutil
import pytest

from pseudogt.classes import ClassTable
from pseudogt.costs.memory import count_pixels_in_memory, find_free_bytes
from pseudogt.prediction.card import ModelCard
from pseudogt.prediction.kinds import BOTTOM_UP

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0),) * 2)


def write_group(folder, limit, used, cached):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon {used - cached}\ninactive_file {cached}\n")


@pytest.fixture
def own_group(tmp_path):
    path = tmp_path / "own"
    path.write_text("0::/slurm/job_7/step_0\n")
    return path


def test_memory_of_the_machine_without_limits(tmp_path):
    assert 0 < find_free_bytes(tmp_path, tmp_path / "missing") <= psutil.virtual_memory().total


def test_limit_of_a_job_around_the_process_counts_without_cached_files(tmp_path, own_group):
    write_group(tmp_path / "slurm/job_7/step_0", "max", 0, 0)
    write_group(tmp_path / "slurm/job_7", 5_000_000, 4_000_000, 1_500_000)
    assert find_free_bytes(tmp_path, own_group) == 2_500_000


def test_narrowest_limit_counts(tmp_path, own_group):
    write_group(tmp_path / "slurm/job_7/step_0", 3_000_000, 1_000_000, 0)
    write_group(tmp_path, 900_000, 300_000, 0)
    assert find_free_bytes(tmp_path, own_group) == 600_000
    write_group(tmp_path, 900_000, 1_000_000, 0)
    assert find_free_bytes(tmp_path, own_group) == 0


def test_wider_networks_leave_room_for_fewer_pixels():
    def count(backbone, channels):
        card = ModelCard(BOTTOM_UP, {"backbone": backbone, "decoder_channels": channels}, CLASSES, 1.0)
        return count_pixels_in_memory(card, 4e9)

    assert 5e6 < count("small", 48) < 5e7
    assert count("small", 48) > count("small", 128) > count("timm/convnext_tiny", 128)
    assert count("timm/unknown_network", 48) > 1e6
