"""Which Segment Anything models are accepted, before they are loaded."""

from __future__ import annotations

import huggingface_hub
import pytest

from pseudogt.box_masks.sam_folder import KINDS, USE, find_sam, find_sam_problem
from pseudogt.files import model_folders
from pseudogt.files.io import write_json
from pseudogt.files.model_folders import require_transformers


@pytest.fixture
def folder(tmp_path):
    write_json(tmp_path / "config.json", {"model_type": "sam2_video"})
    write_json(tmp_path / "processor_config.json", {})
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(10))
    (tmp_path / "model-00001.safetensors").write_bytes(bytes(1_500_000))
    return tmp_path


def test_safetensors_go_before_the_older_format(folder):
    found = find_sam(str(folder))
    assert (found.kind, found.megabytes) == ("sam2_video", 1.5)
    assert [path.name for path in found.files] == ["config.json", "processor_config.json", "model-00001.safetensors"]
    (folder / "model-00001.safetensors").unlink()
    assert [path.name for path in find_sam(str(folder)).weights] == ["pytorch_model.bin"]


@pytest.mark.parametrize("document", [{"model_type": "sam3"}, {}, []])
def test_other_kinds_are_errors_that_name_the_folder_and_what_works(folder, document):
    write_json(folder / "config.json", document)
    with pytest.raises(ValueError, match="says model_type") as caught:
        find_sam(str(folder))
    assert str(folder) in str(caught.value) and all(kind in str(caught.value) for kind in KINDS)
    if document:
        assert "'sam3'" in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("config.json",), "no config.json"),
        (("processor_config.json",), "holds no preprocessor_config.json or processor_config.json"),
        (("pytorch_model.bin", "model-00001.safetensors"), "holds no weights"),
    ],
)
def test_files_that_are_missing_are_named(folder, missing, message):
    for name in missing:
        (folder / name).unlink()
    with pytest.raises(ValueError, match=message):
        find_sam(str(folder))


def test_weights_that_git_lfs_has_not_fetched_are_named(folder):
    (folder / "model-00001.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match=r"model-00001\.safetensors: names weights .* run `git lfs pull` in "):
        find_sam(str(folder))


def test_a_name_is_looked_up_in_the_cache(folder, monkeypatch):
    cache = {"facebook/sam2.1-hiera-tiny": str(folder / "config.json")}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file: cache.get(name))
    assert find_sam("facebook/sam2.1-hiera-tiny").folder == folder
    with pytest.raises(ValueError, match=r"vit-huge: no such folder, .*`hf download facebook/sam-vit-huge`"):
        find_sam("facebook/sam-vit-huge")


def test_names_that_none_can_have_are_no_folders():
    with pytest.raises(ValueError, match=r"no/such/folder/here: no such folder, .*; give the folder of a model$"):
        find_sam("no/such/folder/here")


def test_an_old_library_is_a_problem(folder, monkeypatch):
    monkeypatch.setattr(model_folders.importlib.metadata, "version", lambda name: "4.57.1")
    with pytest.raises(ValueError, match=r"needs transformers 5 or later, found 4\.57\.1; install it"):
        require_transformers(USE.user)
    assert "found 4.57.1" in find_sam_problem(str(folder))
    monkeypatch.setattr(model_folders.importlib.metadata, "version", lambda name: "5.24.0")
    assert find_sam_problem(str(folder)) == ""
