"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_seg.errors import FormatError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path that becomes `path` when the block succeeds.

    Parameters
    ----------
    path : path-like
        Where the finished file shall be; its folder is made if needed.

    Yields
    ------
    pathlib.Path
        A file in the same folder, so that the final rename cannot cross a file
        system. On an exception, also on a closed generator, it is removed and
        whatever was at `path` before stays as it was.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem}-", suffix=".part", dir=target.parent
        )
    except OSError as error:
        raise FormatError(
            f"cannot write {target}",
            str(error),
            "Choose a folder that can be written to.",
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; a result should be as shareable as any other
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Delete what killed programs left of files that `atomic_path` was to make.

    Parameters
    ----------
    paths : iterable of pathlib.Path
        The files; no other program may be about to write them.
    """
    stems: dict[Path, set[str]] = {}
    for path in paths:
        stems.setdefault(path.parent, set()).add(path.stem)
    for folder, names in stems.items():
        for part in folder.glob(".*.part"):
            match = _PART.fullmatch(part.name)
            if match and match[1] in names:
                part.unlink(missing_ok=True)


_PART = re.compile(r"\.(.+)-[a-z0-9_]{8}\.part")
"""Names that `tempfile.mkstemp` makes."""


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
