"""What foreign files may claim: sizes that fit, and names inside their folder."""

from __future__ import annotations

import warnings
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

from napari_seg.errors import FormatError

LARGEST_BYTES = 8 * 2**30
"""No array larger than this is read into memory."""
_SMALL_BYTES = 64 * 2**20
_DENSEST = 4000
"""Bytes that one byte of a file can stand for; deflate comes to 1032."""


def check_size(shape: tuple[int, ...], itemsize: int, name: str) -> None:
    """Refuse an array that is too large, before memory is taken for it.

    Parameters
    ----------
    shape, itemsize : tuple of int, int
        What the file declares.
    name : str
        Of the file.

    Raises
    ------
    FormatError
        If it has more than `LARGEST_BYTES`.
    """
    size = prod(shape) * itemsize
    if min(shape, default=1) < 0 or size > LARGEST_BYTES:
        raise FormatError(
            f"{name} declares an array that is too large",
            f"shape {tuple(shape)}, {size / 2**30:.3g} GB",
            f"At most {LARGEST_BYTES / 2**30:.0f} GB are read: cut it into parts.",
        )


def check_density(size: int, path: Path) -> None:
    """Refuse a file that declares more bytes than any compression could hold in it.

    Raises
    ------
    FormatError
        If one byte of it would stand for thousands.
    """
    stored = path.stat().st_size
    if size > _SMALL_BYTES and size > _DENSEST * stored:
        raise FormatError(
            f"{path.name} declares more than it can hold",
            f"{size / 2**30:.3g} GB in a file of {stored} bytes",
            "The file is damaged: export it again.",
        )


def inside(folder: Path, name: object) -> Path:
    """Return the path of a file that another file names.

    Raises
    ------
    FormatError
        If it is not a name, or leads out of the folder.
    """
    text = str(name) if isinstance(name, str) else ""
    parts = text.replace("\\", "/").split("/")
    path = folder.joinpath(*parts) if text and "\0" not in text else folder
    is_inside = path.resolve().is_relative_to(folder.resolve()) and path != folder
    if ".." in parts or parts[0] == "" or ":" in parts[0] or not is_inside:
        raise FormatError(
            "a file name leads out of its folder",
            f"{name!r} in {folder}",
            "Such a file is not opened: put the images into that folder.",
        )
    return path


def library(name: str) -> Any:
    """Import a library that only some formats need.

    Raises
    ------
    FormatError
        With what to install.
    """
    try:
        with warnings.catch_warnings():
            # ome-zarr, when imported, warns of what it itself has given up
            warnings.simplefilter("ignore", DeprecationWarning)
            return import_module(name)
    except ImportError as error:
        raise FormatError(
            f"this format needs {name.partition('.')[0]}",
            str(error),
            'Install it with: pip install "napari-seg[formats]"',
        ) from error
