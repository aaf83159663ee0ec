import pickle

import pytest
import torch

from models.checkpoints import load_checkpoint, save_checkpoint
from models.classifier.model import ClassifierModel
from models.jtsm.model import JtsmModel
from models.segmenter.model import PanopticModel


def test_round_trip_and_equal_bytes_under_any_name(tmp_path):
    state = {"kind": "test", "step": 3, "weights": {"a": torch.arange(6.0)}}
    save_checkpoint(tmp_path / "one.pt", state)
    save_checkpoint(tmp_path / "other.pt", state)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "other.pt").read_bytes()
    loaded = load_checkpoint(tmp_path / "one.pt", kind="test")
    assert loaded["step"] == 3
    assert torch.equal(loaded["weights"]["a"], torch.arange(6.0))


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="no such model file"):
        load_checkpoint(tmp_path / "none.pt", kind="test")


def test_truncated_file(tmp_path):
    save_checkpoint(tmp_path / "cut.pt", {"kind": "test", "weights": torch.zeros(1000)})
    data = (tmp_path / "cut.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cut\.pt: not a readable model file .* not an exported model"):
        load_checkpoint(tmp_path / "cut.pt", kind="test")

    (tmp_path / "cut.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00")
    with pytest.raises(ValueError, match="git lfs pull"):
        load_checkpoint(tmp_path / "cut.pt", kind="test")


def test_other_kind(tmp_path):
    save_checkpoint(tmp_path / "a.pt", {"kind": "classifier"})
    with pytest.raises(ValueError, match=r"kind 'panoptic model', found 'classifier'; .* segmenter/<round>/model\.pt"):
        load_checkpoint(tmp_path / "a.pt", kind="panoptic model", place="segmenter/<round>/model.pt")


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_code_is_not_run(tmp_path):
    victim = tmp_path / "victim"
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Touch(str(victim)), protocol=2))
    with pytest.raises(ValueError, match="not a readable model file"):
        load_checkpoint(tmp_path / "evil.pt", kind="test")
    assert not victim.exists()


def test_one_changed_byte_of_the_weights(tmp_path):
    """torch itself reads it as if nothing were wrong."""
    path = tmp_path / "a.pt"
    weights = torch.arange(1000.0)
    save_checkpoint(path, {"kind": "model", "weights": weights})
    data = bytearray(path.read_bytes())
    data[data.index(weights.numpy().tobytes()[400:440])] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.pt: not a readable model file .*differs from its checksum"):
        load_checkpoint(path, kind="model")


@pytest.mark.parametrize(
    ("model", "kind"),
    [(ClassifierModel, "tag classifier"), (JtsmModel, "jtsm model"), (PanopticModel, "panoptic model")],
)
def test_model_file_of_another_version_is_named(tmp_path, model, kind):
    save_checkpoint(tmp_path / "a.pt", {"kind": kind, "architecture": {"backbone": "small", "colours": 4}})
    with pytest.raises(ValueError, match=r"a\.pt: was written by another version of the workflow"):
        model.load(tmp_path / "a.pt")
