"""Read the pickle in a ``.npy`` file without running anything of it.

Only plain Python values and arrays come out. What NumPy's own pickles call is replaced
by records that are checked before an array is made of them.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from napari_seg.data.limits import check_size
from napari_seg.errors import FormatError

_PLAIN = re.compile(r"[biufcSU]\d{1,4}|\?")
_MOST_AXES = 6
_DAMAGED = (
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OverflowError,
    RecursionError,
    MemoryError,
)


@dataclass
class _Dtype:
    """A number type that a pickle describes."""

    code: str
    order: str = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    @property
    def dtype(self) -> np.dtype[Any]:
        if not _PLAIN.fullmatch(self.code):
            raise ValueError(f"dtype {self.code!r}")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


@dataclass
class _Array:
    """An array that a pickle describes; `values` checks and makes it."""

    state: tuple[Any, ...] = field(default=())

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    @property
    def objects(self) -> list[Any]:
        """Elements of an array of Python objects."""
        _, shape, dtype, _, elements = self.state
        if dtype.code[:1] != "O" or not isinstance(elements, list):
            raise ValueError("not an array of objects")
        if prod(_checked(shape)) != len(elements):
            raise ValueError(f"shape {shape} of {len(elements)} objects")
        return elements

    @property
    def values(self) -> NDArray[Any]:
        """The array itself."""
        _, shape, stored, is_fortran, content = self.state
        dtype = stored.dtype
        check_size(_checked(shape), dtype.itemsize, "the file")
        if prod(shape) * dtype.itemsize != len(content):
            raise ValueError(f"shape {shape} of {dtype} in {len(content)} bytes")
        flat = np.frombuffer(content, dtype)
        return flat.reshape(shape, order="F" if is_fortran else "C")


class _Maker:
    """What a pickle may call; nothing can be changed on it."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise TypeError("it changes what makes arrays")


def _checked(shape: Any) -> tuple[int, ...]:
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or len(shape) > _MOST_AXES:
        raise ValueError("no shape of an array")
    return tuple(shape)


def _number(dtype: _Dtype, content: bytes) -> Any:
    if len(content) != dtype.dtype.itemsize:
        raise ValueError("a number of the wrong size")
    return np.frombuffer(content, dtype.dtype)[0].item()


# NumPy's own maker of arrays takes whatever memory it is asked for: not this one
_EMPTY = _Maker(lambda *_: _Array())
_NUMBER = _Maker(_number)
_ALLOWED = {
    ("numpy", "ndarray"): _EMPTY,
    ("numpy", "dtype"): _Maker(lambda code, *_: _Dtype(str(code))),
    ("numpy.core.multiarray", "_reconstruct"): _EMPTY,
    ("numpy._core.multiarray", "_reconstruct"): _EMPTY,
    ("numpy.core.multiarray", "scalar"): _NUMBER,
    ("numpy._core.multiarray", "scalar"): _NUMBER,
}


class _Unpickler(pickle.Unpickler):
    """Knows arrays and numbers; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is no array"
            ) from None


def read_dict(path: Path) -> dict[str, Any]:
    """Read the dictionary that ``numpy.save`` wrote.

    Parameters
    ----------
    path : pathlib.Path
        The ``.npy`` file.

    Returns
    -------
    dict of str to object
        Arrays in it are records; `as_array` makes arrays of them.

    Raises
    ------
    FormatError
        If there is anything else in the file, or it is damaged.
    """
    try:
        with path.open("rb") as file:
            # the later versions are for long headers, and a dictionary has none
            if npy.read_magic(file) != (1, 0):
                raise ValueError("not the version that dictionaries are saved in")
            shape, _, dtype = npy.read_array_header_1_0(file)
            if shape != () or dtype != np.dtype(object):
                raise ValueError(f"an array of shape {shape} and type {dtype}")
            content = file.read()
        _check_counts(content)
        (found,) = _Unpickler(BytesIO(content)).load().objects
        if not isinstance(found, dict):
            raise TypeError(f"a {type(found).__name__} and no dictionary")
    except (OSError, *_DAMAGED) as error:
        raise _refusal(path.name, error) from error
    return found


def as_array(value: object, name: str) -> NDArray[Any]:
    """Return an array from `read_dict`.

    Raises
    ------
    FormatError
        If it is none, or not of the size it declares.
    """
    try:
        if not isinstance(value, _Array):
            raise TypeError(f"a {type(value).__name__} and no array")
        return value.values
    except _DAMAGED as error:
        raise _refusal(name, error) from error


def _check_counts(content: bytes) -> None:
    """Refuse sizes beyond the file, for which the unpickler would take memory."""
    for opcode, argument, _ in pickletools.genops(content):
        sized = "PUT" in opcode.name or opcode.name == "FRAME"
        if sized and int(argument or 0) > len(content):
            raise ValueError(f"{opcode.name} {argument} in {len(content)} bytes")


def _refusal(name: str, error: BaseException) -> FormatError:
    return FormatError(
        f"{name} is not a Cellpose file that can be read safely",
        f"{type(error).__name__}: {error}",
        "Nothing in it was run. Save the masks as TIFF in Cellpose instead.",
    )
