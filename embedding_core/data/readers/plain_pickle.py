"""Pickles of plain values and uint8 arrays, read without executing what is pickled."""

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

NO_PICKLE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
)
"""What Python's unpickler raises for bytes that are no pickle."""


def read_pickle(data: bytes) -> Any:
    """What is pickled in `data`: dictionaries, lists, text, bytes, numbers; an array comes as a `PickledArray`.

    A pickle is a program that may call whatever it names. Here it finds stand-ins for the three functions that rebuild
    an array, and nothing else; numpy itself, whose own rebuilding trusts its input, never sees any of it.

    Args:
        data: written by Python 2 (its text comes as bytes) or 3.

    Raises:
        ValueError: not a pickle, or one that asks for anything else; the sentence names it.
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):
            # Five bytes can make the unpickler allocate a table of 2^32 remembered values.
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(data):
                raise ValueError(f"it numbers a value {argument}, but has {len(data)} bytes")
        return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except NO_PICKLE as error:
        raise ValueError(str(error) or type(error).__name__) from error


class PickledArray:
    """A uint8 array as pickled."""

    __slots__ = ("values",)

    values: npt.NDArray[np.uint8]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran_order, raw = state
        if not isinstance(kind, _Kind) or kind.code not in ("u1", b"u1") or fortran_order:
            raise pickle.UnpicklingError("its array is not of uint8 in C order")
        self.values = np.frombuffer(raw, np.uint8).reshape(shape)


class _Kind:
    """A numpy dtype as pickled."""

    __slots__ = ("code",)

    def __init__(self, code: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass  # byte order and field names, which a uint8 has not


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self.known = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        key = (module.replace("numpy._core", "numpy.core"), name)
        if key not in self.known:
            raise pickle.UnpicklingError(f"it asks for `{module}.{name}`, but may hold plain values and arrays alone")
        return self.known[key]


def _stand_ins() -> dict[tuple[str, str], Callable[..., object] | str]:
    """What a pickle may name, made anew for each: a pickle can set attributes of what it is given."""

    def from_buffer(raw: object, kind: object, shape: object, order: object) -> PickledArray:
        array = PickledArray()
        array.__setstate__((1, shape, kind, order != "C", raw))
        return array

    return {
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): lambda code, *_: _Kind(code),
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: PickledArray(),
        ("numpy.core.numeric", "_frombuffer"): from_buffer,
        ("_codecs", "encode"): lambda text, _: text.encode("latin-1"),  # how Python 3 writes bytes for Python 2
    }
