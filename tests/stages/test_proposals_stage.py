"""The proposal stage through its command line."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from proposal_testing import assert_same, write_mcg

from pseudogt.files.index import read_shard, write_shard
from pseudogt.proposals.files import ProposalFile
from pseudogt.stages import proposals

FAST = {"max_proposals": 100, "max_regions": 30, "grown_unions": 50, "kept_unions": 100}
VARIANTS = [{"contours": "learned", "ranking": "learned"}, {"contours": "gradient", "ranking": "rule"}]


def make_proposals(dataset, out, shard="shard.json", **settings):
    files = ["--shard", str(dataset / shard), "--out", str(out)]
    proposals.main([*files, "--settings", json.dumps(FAST | settings)])
    return ProposalFile(out)


@pytest.fixture(scope="module")
def file(panoptic_dataset, tmp_path_factory):
    return make_proposals(panoptic_dataset, tmp_path_factory.mktemp("proposals") / "out.h5")


def test_every_image_has_proposals_up_to_the_limit(panoptic_dataset, file, tmp_path):
    records, _ = read_shard(panoptic_dataset / "shard.json")
    assert file.image_ids == sorted(record.image_id for record in records)
    for record in records:
        found = file.read(record.image_id)
        assert found.superpixels.shape == (record.height, record.width)
        assert 1 <= len(found.scores) <= 100
    few = make_proposals(panoptic_dataset, tmp_path / "few.h5", max_proposals=5)
    assert len(few.read(records[0].image_id).scores) == 5


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant["contours"])
def test_results_do_not_depend_on_shard_and_threads(panoptic_dataset, tmp_path, variant):
    records, classes = read_shard(panoptic_dataset / "shard.json")
    write_shard(panoptic_dataset / "one.json", records[2:3], classes)
    together = make_proposals(panoptic_dataset, tmp_path / "all.h5", **variant)
    before = cv2.getNumThreads(), torch.get_num_threads()
    try:
        cv2.setNumThreads(3)
        torch.set_num_threads(2)
        first = make_proposals(panoptic_dataset, tmp_path / "a.h5", shard="one.json", **variant)
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        second = make_proposals(panoptic_dataset, tmp_path / "b.h5", shard="one.json", **variant)
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
    assert first.path.read_bytes() == second.path.read_bytes()
    image_id = records[2].image_id
    assert_same(first.read(image_id), together.read(image_id))


def test_several_scales_find_other_segments(panoptic_dataset, file, tmp_path):
    multi = make_proposals(panoptic_dataset, tmp_path / "multi.h5", mode="multi")
    assert any(
        not np.array_equal(multi.read(i).members.starts, file.read(i).members.starts)
        or not np.array_equal(multi.read(i).members.indices, file.read(i).members.indices)
        for i in file.image_ids
    )


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_rgba_files(panoptic_dataset, tmp_path, channels):
    records, classes = read_shard(panoptic_dataset / "shard.json")
    image = cv2.imread(records[0].image)
    code = cv2.COLOR_BGR2GRAY if channels == 1 else cv2.COLOR_BGR2BGRA
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), cv2.cvtColor(image, code))
    record = type(records[0])("odd", str(path), *image.shape[:2], "")
    write_shard(tmp_path / "shard.json", [record], classes)
    assert len(make_proposals(tmp_path, tmp_path / "out.h5").read("odd").scores) >= 1


def test_an_unknown_setting_is_named(panoptic_dataset, tmp_path):
    with pytest.raises(ValueError, match="did you mean max_proposals"):
        make_proposals(panoptic_dataset, tmp_path / "x.h5", max_proposal=3)


@pytest.fixture
def mcg_folder(file, tmp_path):
    for image_id in file.image_ids:
        write_mcg(tmp_path / "mcg" / f"{image_id}.mat", file.read(image_id))
    return tmp_path / "mcg"


def test_mcg_files_are_converted_as_they_are(panoptic_dataset, file, mcg_folder, tmp_path):
    converted = make_proposals(panoptic_dataset, tmp_path / "out.h5", source="mcg", folder=str(mcg_folder))
    assert converted.image_ids == file.image_ids
    for image_id in file.image_ids:
        assert_same(converted.read(image_id), file.read(image_id))
    few = make_proposals(
        panoptic_dataset, tmp_path / "few.h5", source="mcg", folder=str(mcg_folder), max_proposals=3
    ).read("image0")
    assert len(few.members.lengths) == len(few.scores) == len(few.boxes_xyxy) == 3


def test_equal_boxes_are_left_out_before_proposals_are_cut(panoptic_dataset, file, mcg_folder, tmp_path):
    whole = file.read("image0")
    write_mcg(mcg_folder / "image0.mat", whole.take_rows(np.array([0, 0, 0, 1, 1, 2, 3])))
    found = make_proposals(
        panoptic_dataset, tmp_path / "o.h5", source="mcg", folder=str(mcg_folder), distinct=True, max_proposals=3
    ).read("image0")
    distinct = np.unique(whole.boxes_xyxy[:4], axis=0)
    assert len(distinct) == 4
    assert_same(found, whole.take(3))


def test_an_archive_cut_short_leaves_no_file(panoptic_dataset, mcg_folder, tmp_path):
    path = mcg_folder / "image3.mat"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"image3\.mat: can't be read"):
        make_proposals(panoptic_dataset, tmp_path / "out.h5", source="mcg", folder=str(mcg_folder))
    assert not (tmp_path / "out.h5").exists()


def test_an_archive_of_another_image_is_refused(panoptic_dataset, file, mcg_folder, tmp_path):
    other = file.read("image1")
    write_mcg(mcg_folder / "image1.mat", other._replace(superpixels=other.superpixels[:, :-1]))
    with pytest.raises(ValueError, match=r"image1\.png is 96x64, but .*image1\.mat is 95x64"):
        make_proposals(panoptic_dataset, tmp_path / "out.h5", source="mcg", folder=str(mcg_folder))
