"""Safe reading of pickled arrays from untrusted files.

A pickle is a program that names functions and calls them. Here each name that a pickled array needs resolves to a
record of the call, every other name is rejected, and the array is built from the records.
"""

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from tsp.errors import TspError

# Compared as exact pairs: a dotted name, which reaches attributes of other objects, matches none.
NAMES = {
    *(("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")),
    *(("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")),  # protocol 5
    *(("numpy", "ndarray"), ("numpy", "dtype")),
    *(("_codecs", "encode"), ("__builtin__", "bytes")),  # bytes below protocol 3, and empty bytes
}
INSTRUCTIONS = {
    *("PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "PUT", "BINPUT", "MEMOIZE", "GET", "BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
# An array takes about 70 instructions. A memo index allocates memory for all indices below it.
MOST_INSTRUCTIONS = 200
MOST_BYTES = 1 << 32


def read_pickled_array(path: str | Path) -> np.ndarray[Any, Any]:
    """Read a file with one pickled array of floats.

    Args:
        path: the file, of any pickle protocol and any numpy.

    Returns:
        float16, float32 or float64 array, in native byte order, C-contiguous, possibly read-only.

    Raises:
        TspError: missing, damaged, or a pickle of anything else.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TspError(f"{path}: larger than {MOST_BYTES >> 30} GiB; expected the features of one video")
        raw = path.read_bytes()
    except OSError as error:
        raise TspError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        _check_instructions(raw)
        return _array(_Reader(io.BytesIO(raw)).load())
    except Exception as error:  # invalid bytes can raise anything: ValueError, KeyError, MemoryError, ...
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TspError(f"{path}: {reason}; expected a pickle of one array of floats") from error


class _Record:
    """A name in a pickle, with the arguments of its call and its state: recorded, never executed."""

    # No `__dict__`, and a `__setstate__`: otherwise a pickle could set attributes.
    __slots__ = __match_args__ = ("name", "arguments", "state")

    def __init__(self, name: str, arguments: tuple[object, ...] | None = None) -> None:
        self.name, self.arguments = name, arguments
        self.state: object = None

    def __call__(self, *arguments: object) -> "_Record":
        if self.arguments is not None:
            raise pickle.UnpicklingError("calls an object that is not a function")
        return _Record(self.name, arguments)

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> _Record:
        if (module, name) not in NAMES:
            raise pickle.UnpicklingError(f"refers to {f'{module}.{name}'[:80]!r}")
        return _Record(name)


def _check_instructions(raw: bytes) -> None:
    """Reject instructions that no array needs, and lengths beyond the file, before anything is executed."""
    end = 0
    for count, (instruction, argument, position) in enumerate(pickletools.genops(raw)):
        if instruction.name not in INSTRUCTIONS:
            raise pickle.UnpicklingError(f"uses {instruction.name}")
        if count == MOST_INSTRUCTIONS or (instruction.name == "PUT" and int(argument or 0) > MOST_INSTRUCTIONS):
            raise pickle.UnpicklingError(f"takes more than {MOST_INSTRUCTIONS} instructions")
        end = (position or 0) + 1
    if end != len(raw):
        raise pickle.UnpicklingError(f"{len(raw) - end} bytes follow the pickle")


def _array(found: object) -> np.ndarray[Any, Any]:
    """The array of a record `_reconstruct(ndarray, (0,), b"b")` and its state, or `_frombuffer(...)`."""
    match found:
        case _Record("_reconstruct", (_Record("ndarray", None), (0,), _), (1, shape, kind, bool(fortran), content)):
            order: Any = "F" if fortran else "C"
        case _Record("_frombuffer", (content, kind, shape, "C" | "F" as order), None):
            pass
        case _:
            raise pickle.UnpicklingError(
                f"holds {'another object' if isinstance(found, _Record) else type(found).__name__}"
            )
    data, dtype = _bytes(content), _dtype(kind)
    if not isinstance(shape, tuple) or not all(type(length) is int and length >= 0 for length in shape):
        raise pickle.UnpicklingError("has no shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise pickle.UnpicklingError(f"holds {len(data)} bytes for {shape} numbers of {dtype.itemsize} bytes")
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    return array.astype(dtype.newbyteorder("="), order="C", copy=False)


def _dtype(found: object) -> np.dtype[Any]:
    match found:
        case _Record("dtype", (str(code), _, _), (3, "<" | ">" as order, None, None, None, -1, -1, 0)):
            if code in ("f2", "f4", "f8"):
                return np.dtype(order + code)
            raise pickle.UnpicklingError(f"holds numbers of type {code[:20]!r}")
    raise pickle.UnpicklingError("holds no floats")


def _bytes(found: object) -> bytes | bytearray:
    match found:
        case bytes() | bytearray():
            return found
        case _Record("encode", (str(text), "latin1"), None):
            return text.encode("latin1")
        case _Record("bytes", (), None):
            return b""
    raise pickle.UnpicklingError("holds no numbers")
