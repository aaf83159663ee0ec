import io
import os
import pickle
import pickletools
from collections import OrderedDict

import numpy as np
import pytest

from pseudogt.files.pickles import read_foreign_pickle


def write(folder, content, protocol=2):
    path = folder / "file.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_and_arrays_come_back(tmp_path, protocol):
    rng = np.random.default_rng(0)
    content = {
        "superpixels": rng.integers(0, 900, (7, 5)).astype(np.int16),
        "oh_labels": rng.random((4, 9)) < 0.5,
        "scores": rng.random(4).astype(np.float32),
        "fortran": np.asfortranarray(rng.random((3, 4))),
        "big_endian": np.arange(5, dtype=">i4"),
        "view": np.arange(20)[::3],
        "scalar": np.float32(0.5),
        "nothing": np.zeros((0, 4), np.uint8),
        "zero_dimensional": np.array(3.5),
        "plain": [None, True, -7, 2**70, 0.25, "ä", b"\xff\x00", (1, 2), {3}],
        "ordered": OrderedDict(b=1, a=2),
    }
    result = read_foreign_pickle(write(tmp_path, content, protocol))
    assert result.keys() == content.keys()
    for name, expected in content.items():
        if isinstance(expected, np.ndarray | np.generic):
            assert type(result[name]) is type(expected)
            assert result[name].dtype == expected.dtype.newbyteorder("=")
            np.testing.assert_array_equal(result[name], expected)
        else:
            assert result[name] == expected
    result["scores"][0] = 9  # not a read-only view of the file


def test_file_of_python_2(tmp_path):
    # As numpy under Python 2 pickles {"a": array([1, 2], int16)}: strings, not bytes.
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    dtype = b"cnumpy\ndtype\n(S'i2'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    content = b"(dS'a'\n" + array + b"(I1\n(I2\nt" + dtype + rb"I00" + b"\n" + rb"S'\x01\x00\x02\x00'" + b"\ntbs."
    pickletools.dis(content, io.StringIO())
    assert read_foreign_pickle(write(tmp_path, content))["a"].tolist() == [1, 2]


def test_what_is_shared_is_read_once(tmp_path):
    level = [0]
    for _ in range(40):  # 2 ** 40 items, if every mention were followed
        level = [level, level]
    result = read_foreign_pickle(write(tmp_path, level))
    assert result[0] is result[1]


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Code:
    pass


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (Call(os.system, "touch ruined"), r"(posix|nt)\.system"),
        ({"model": {"w": Call(eval, "1")}}, r"builtins\.eval|__builtin__\.eval"),
        (Call(getattr, "", "join"), "getattr"),
        (Call(np.load, "file.npy"), r"numpy\.load"),
        (Code(), r"Code|copyreg|copy_reg"),
        (np.array([print], object), r"type 'O8'"),
        (np.zeros(2, [("a", "i4")]), r"type 'V4'"),
        (np.array(["text"]), r"type 'U4'"),
        (np.zeros(2, "datetime64[s]"), r"type 'M8'"),
        (np.ndarray, "holds a"),
        (np.dtype("f4"), "holds a"),
        (Call(bytearray, 10**12), "bytearray"),
        (set, "holds a"),
    ],
)
def test_anything_else_is_refused_and_named(tmp_path, monkeypatch, content, named):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=rf"file\.pkl: .*({named}).*only numbers"):
        read_foreign_pickle(path)
    assert not (tmp_path / "ruined").exists()


def forge(shape=(2,), dtype="f4", order="<", fields=None, content=b"\x00" * 8):
    """An array whose parts don't belong together."""

    class Dtype:
        def __reduce__(self):
            return np.dtype, (dtype, False, True), (3, order, None, None, fields, -1, -1, 0)

    class Array:
        def __reduce__(self):
            rebuild, arguments, _ = np.zeros(1).__reduce__()
            return rebuild, arguments, (1, shape, Dtype(), False, content)

    return Array()


def test_forging_as_such_works(tmp_path):
    assert read_foreign_pickle(write(tmp_path, forge())).tolist() == [0, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (3,)},
        {"shape": (10**12,)},
        {"shape": (-2, -1)},
        {"shape": ("2",)},
        {"shape": None},
        {"dtype": "O8"},
        {"dtype": "V8", "fields": {"a": (np.dtype("O"), 0)}},
        {"fields": {"a": (np.dtype("f4"), 0)}},
        {"order": "x"},
        {"content": [1, 2]},
        {"content": None},
    ],
)
def test_forged_arrays_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match=r"file\.pkl: "):
        read_foreign_pickle(write(tmp_path, forge(**options)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        pickle.dumps({"a": np.arange(100)}, 2)[:-30],
        b"\x80\x02]q\x00h\x00a.",  # a list that holds itself
        b"(" * 100_000 + b"t" * 100_000 + b".",
        b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"x",  # bytes longer than the file
        b"Pid\n.",
        b"cbuiltins\nbytes\n(I1000000000000\ntR.",
    ],
    ids=["empty", "text", "truncated", "recursive", "deep", "huge", "persistent", "zeros"],
)
def test_broken_files(tmp_path, content):
    with pytest.raises(ValueError, match=r"file\.pkl: "):
        read_foreign_pickle(write(tmp_path, content))


def test_admitted_types_are_not_changed_by_a_file(tmp_path):
    # BUILD sets attributes of what it is given: here of an admitted type itself.
    content = b"cnumpy\ndtype\n(N}X\x04\x00\x00\x00nameX\x01\x00\x00\x00xst" + b"b."
    with pytest.raises(ValueError, match=r"file\.pkl: "):
        read_foreign_pickle(write(tmp_path, content))
    assert read_foreign_pickle(write(tmp_path, np.arange(3))).tolist() == [0, 1, 2]


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_foreign_pickle(tmp_path / "absent.pkl")
