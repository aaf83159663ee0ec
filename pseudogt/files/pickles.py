"""Pickle files of other projects, read without running anything they name.

Unpickling calls whatever a file names. Here a file may only name plain values, containers and numpy
arrays. Even arrays are not made by numpy's own unpickling, which trusts its input (a forged
dtype turns bytes into pointers): stand-ins collect shape, type and bytes, and the arrays are made
from these afterwards.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MAX_DEPTH = 50
"""Containers within containers; the files this is for have three."""

NUMBER_TYPES = frozenset("?bhilqBHILQefdFD") | {
    f"{kind}{size}"
    for kind, sizes in (("b", "1"), ("i", "1248"), ("u", "1248"), ("f", "248"), ("c", ("8", "16")))
    for size in sizes
}
"""Names by which a dtype of numbers may be asked for."""


def read_foreign_pickle(path: Path | str) -> Any:
    """Read plain values, containers and arrays of numbers or truth values from a pickle file.

    Parameters
    ----------
    path

    Returns
    -------
    Any
        None, bool, int, float, str, bytes, numpy arrays and scalars, and lists, tuples, sets and dicts
        of them. Ordered dicts come back as dicts. Strings of Python 2 are read as Latin-1.

    Raises
    ------
    ValueError
        If the file is missing, broken or too deep, or asks for anything else, which the message names.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            content = _PlainUnpickler(file, encoding="latin1").load()
        return _finish(content, {}, MAX_DEPTH)
    except _RefusedError as refusal:
        raise ValueError(
            f"{path}: {refusal}; only numbers, strings, containers and numpy arrays are read. "
            "If you trust the file, open it where it was made and save it again with only these"
        ) from None
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"{path}: not a pickle file of sane size ({type(error).__name__})") from error
    except Exception as error:  # a broken pickle fails in as many ways as there are types
        raise ValueError(f"{path}: not a readable pickle file ({type(error).__name__}: {error})") from error


class _RefusedError(Exception):
    """The file asks for something that is not admitted."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _RefusedError(f"asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("refers to objects outside of it")


class _Dtype:
    """Stands in for ``numpy.dtype``."""

    __slots__ = ("byte_order", "name")

    def __init__(self, name: str, *_: Any) -> None:
        if not isinstance(name, str) or name not in NUMBER_TYPES:
            raise _RefusedError(f"holds an array of type {name!r}")
        self.name = name
        self.byte_order: Any = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise _RefusedError("holds an array of a type with fields")
        self.byte_order = state[1]

    def build(self) -> np.dtype[Any]:
        return np.dtype(self.name).newbyteorder("=" if self.byte_order == "|" else self.byte_order)


class _Array:
    """Stands in for an array, whichever way it was pickled."""

    __slots__ = ("content", "dtype", "order", "shape")

    def __init__(self, *_: Any) -> None:
        self.dtype: Any = None
        self.content: Any = b""
        self.shape: Any = (0,)
        self.order = "C"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, is_fortran, self.content = state
        self.order = "F" if is_fortran else "C"

    def build(self) -> np.ndarray[Any, Any]:
        dtype = _build_dtype(self.dtype)
        content = self.content.encode("latin1") if isinstance(self.content, str) else bytes(self.content)
        if math.prod(self.shape) * dtype.itemsize != len(content):
            raise ValueError(f"array {self.shape} of {dtype} has {len(content)} bytes")
        flat = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))
        return flat.reshape(self.shape, order="F" if self.order == "F" else "C")


class _BufferArray(_Array):
    """Made by the function that numpy pickles contiguous arrays with since protocol 5."""

    __slots__ = ()

    def __init__(self, content: Any, dtype: Any, shape: Any, order: str) -> None:
        self.content, self.dtype, self.shape, self.order = content, dtype, shape, order


class _Scalar(_Array):
    """Stands in for a numpy scalar."""

    __slots__ = ()

    def __init__(self, dtype: Any, content: Any) -> None:
        self.content, self.dtype, self.shape, self.order = content, dtype, (), "C"


class _ArrayType:
    """Stands in for ``numpy.ndarray``, which is only ever mentioned."""

    __slots__ = ()


class _Latin1:
    """Stands in for ``_codecs.encode``, by which protocols before 3 write bytes."""

    __slots__ = ("content",)

    def __new__(cls, text: str, encoding: str) -> Any:
        if encoding != "latin1":
            raise _RefusedError(f"holds bytes encoded as {encoding!r}")
        return text.encode("latin1")


class _EmptyBytes:
    """Stands in for ``bytes`` without arguments, as old protocols write none."""

    __slots__ = ()

    def __new__(cls) -> Any:
        return b""


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _Latin1,
    **{(module, "set"): set for module in ("builtins", "__builtin__")},
    **{(module, "frozenset"): frozenset for module in ("builtins", "__builtin__")},
    **{(module, "bytes"): _EmptyBytes for module in ("builtins", "__builtin__")},
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _BufferArray for core in ("core", "_core")},
}


def _build_dtype(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, _Dtype):
        raise ValueError(f"array without a type, found {type(dtype).__name__}")
    return dtype.build()


def _finish(value: Any, finished: dict[int, Any], depth: int) -> Any:
    """Replace stand-ins by arrays; what the file shares stays shared, so that few bytes can't ask for much work."""
    if depth < 0:
        raise _RefusedError(f"holds containers more than {MAX_DEPTH} deep")
    if id(value) not in finished:
        finished[id(value)] = _finish_anew(value, finished, depth)
    return finished[id(value)]


def _finish_anew(value: Any, finished: dict[int, Any], depth: int) -> Any:
    if isinstance(value, _Scalar):
        return value.build()[()]
    if isinstance(value, _Array):
        return value.build()
    if isinstance(value, dict):
        return {_finish(k, finished, depth - 1): _finish(v, finished, depth - 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_finish(each, finished, depth - 1) for each in value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | bytearray):
        return value
    raise _RefusedError(f"holds a {getattr(value, '__name__', type(value).__name__).lstrip('_')} by itself")
