"""The ranker's file, its training command, and the overlaps it learns from."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.files.images import write_png
from pseudogt.proposals.grouping import FEATURE_NAMES
from pseudogt.proposals.members import Members
from pseudogt.proposals.overlaps import find_overlaps
from pseudogt.proposals.ranking import Ranker, read_ranker, score_by_trees, write_ranker


def make_ranker(**changes):
    """A tree that asks for the first feature, and one that is a leaf."""
    ranker = Ranker(
        0.5,
        np.array([0, 3], np.int32),
        np.array([0, -1, -1, -1], np.int16),
        np.array([1.5, 0, 0, 0], np.float32),
        np.array([1, 0, 0, 0], np.int32),
        np.array([2, 0, 0, 0], np.int32),
        np.array([0, 0.25, -0.25, 0.125], np.float32),
    )
    return ranker._replace(**changes)


def test_trees_are_evaluated():
    rows = np.array([[1.0], [1.5], [2.0]])
    np.testing.assert_array_equal(score_by_trees(make_ranker(), rows), [0.875, 0.875, 0.375])


def test_file_keeps_the_trees_and_equal_rankers_give_equal_bytes(tmp_path):
    write_ranker(tmp_path / "a.npz", make_ranker())
    write_ranker(tmp_path / "b.npz", make_ranker())
    for read, written in zip(read_ranker(tmp_path / "a.npz"), make_ranker(), strict=True):
        np.testing.assert_array_equal(read, written)
        assert np.asarray(read).dtype == np.asarray(written).dtype
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_missing_and_broken_files_are_named(tmp_path):
    path = tmp_path / "r.npz"
    with pytest.raises(ValueError, match=r"r\.npz: no such ranker file"):
        read_ranker(path)
    write_ranker(path, make_ranker())
    whole = path.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"r\.npz: not a readable ranker file"):
            read_ranker(path)
    np.savez(path, base=np.float64(0))
    with pytest.raises(ValueError, match=r"not a readable ranker file.*feature_names"):
        read_ranker(path)


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "r.npz", feature_names=np.array([{"a": 1}], object), base=np.float64(0))
    with pytest.raises(ValueError, match="not a readable ranker file"):
        read_ranker(tmp_path / "r.npz")


def test_other_features_are_named(tmp_path):
    write_ranker(tmp_path / "r.npz", make_ranker(), feature_names=("colour", *FEATURE_NAMES[1:]))
    with pytest.raises(ValueError, match=r"other features.*'colour', 'log_area'"):
        read_ranker(tmp_path / "r.npz")
    write_ranker(tmp_path / "r.npz", make_ranker(), feature_names=FEATURE_NAMES[::-1])
    with pytest.raises(ValueError, match="other order"):
        read_ranker(tmp_path / "r.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"left": np.array([0, 0, 0, 0], np.int32)}, "don't make trees"),  # goes round in circles
        ({"right": np.array([9, 0, 0, 0], np.int32)}, "don't make trees"),
        ({"roots": np.array([0, 4], np.int32)}, "don't make trees"),
        ({"features": np.array([len(FEATURE_NAMES), -1, -1, -1], np.int16)}, "don't make trees"),
        ({"left": np.array([1, 0, 0], np.int32)}, r"left has shape \(3,\)"),
        ({"values": np.array([0, np.nan, 0, 0], np.float32)}, "not finite"),
        ({"base": np.inf}, "not finite"),
    ],
)
def test_what_is_no_forest_is_an_error(tmp_path, changes, message):
    write_ranker(tmp_path / "r.npz", make_ranker(**changes))
    with pytest.raises(ValueError, match=message):
        read_ranker(tmp_path / "r.npz")


def test_overlaps_equal_those_of_pixels_and_leave_void_out():
    rng = np.random.default_rng(0)
    superpixels = rng.integers(0, 12, (30, 40)).astype(np.int32)
    members = rng.random((5, 12)) < 0.5
    sparse = Members.from_dense(members)
    masks, void = [rng.random((30, 40)) < 0.4 for _ in range(3)], rng.random((30, 40)) < 0.2
    found = find_overlaps(sparse, superpixels, masks, void)
    for row, column in np.ndindex(found.shape):
        chosen, mask = members[row][superpixels] & ~void, masks[column] & ~void
        assert found[row, column] == pytest.approx((chosen & mask).sum() / (chosen | mask).sum())
    assert find_overlaps(sparse, superpixels, [], void).shape == (5, 0)
    everywhere = np.ones((30, 40), bool)
    assert (find_overlaps(sparse, superpixels, masks, everywhere) == 0).all()


@pytest.fixture
def folder(tmp_path):
    """Two images with a thing each, one of whose pixels are void, and one image without things."""
    rng = np.random.default_rng(0)
    for number, image_id in enumerate("abc"):
        instances = np.full((60, 80), 100, np.uint16)
        instances[:4] = 0
        if number < 2:
            instances[15:45, 20 : 50 + 10 * number] = 256 * 3 + 1
        image = np.where(instances[..., None] > 256, (200, 60, 60), (60, 90, 60)) + rng.integers(-9, 10, (60, 80, 3))
        write_png(tmp_path / "images" / f"{image_id}.png", image.astype(np.uint8))
        write_png(tmp_path / "instances" / f"{image_id}.png", instances)
    (tmp_path / "train.txt").write_text("a\nb\nc\n")
    return tmp_path


def test_training_command_writes_equal_files_that_load(folder):
    pytest.importorskip("sklearn")
    from models.pretraining.ranker import main

    for name in ("one", "two"):
        arguments = ["--data", str(folder), "--out", str(folder / f"{name}.npz"), "--trees", "3", "--leaves", "4"]
        main([*arguments, "--held-out", "1"])
    ranker = read_ranker(folder / "one.npz")
    assert len(ranker.roots) == 3
    assert (folder / "one.npz").read_bytes() == (folder / "two.npz").read_bytes()
    with pytest.raises(ValueError, match=r"--held-out 3: .*train\.txt lists 3 images"):
        main([*arguments, "--held-out", "3"])


def test_training_command_names_what_is_missing(folder):
    pytest.importorskip("sklearn")
    from models.pretraining.ranker import main

    arguments = ["--data", str(folder), "--out", str(folder / "r.npz")]
    (folder / "train.txt").write_text("a\nz\n")
    with pytest.raises(ValueError, match=r"no image 'z'"):
        main(arguments)
    (folder / "train.txt").unlink()
    with pytest.raises(ValueError, match=r"train\.txt: .*write one image id per line"):
        main(arguments)


def test_exported_trees_equal_scikit_learns():
    ensemble = pytest.importorskip("sklearn.ensemble")
    from models.pretraining.ranker import export_trees

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, len(FEATURE_NAMES))).astype(np.float32)
    model = ensemble.HistGradientBoostingRegressor(max_iter=20, max_leaf_nodes=8).fit(rows, rows[:, 0] * rows[:, 1])
    np.testing.assert_allclose(score_by_trees(export_trees(model), rows), model.predict(rows), atol=1e-5)
