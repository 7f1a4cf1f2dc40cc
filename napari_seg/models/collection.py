"""The user's own checkpoints: taken in, renamed, removed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from napari_seg.errors import CheckpointError, FormatError
from napari_seg.files import atomic_path
from napari_seg.models.catalogue import SUFFIX, list_models, user_models_dir

_NAME = re.compile(r"[^\W_][\w.+ -]{0,79}")
"""A name that is a file name on every system and cannot leave its folder."""


def add_checkpoint(path: str | Path, name: str | None = None) -> str:
    """Copy a checkpoint into the user's folder, so that it is listed.

    Parameters
    ----------
    path : str or Path
        A ``.safetensors`` file of napari-seg; it is loaded once to be sure of it.
    name : str, optional
        By default that of the file, with a number if there is one of that name.

    Returns
    -------
    str
        The name in the model list.

    Raises
    ------
    CheckpointError
        If the file is damaged, foreign or too new, or the name is taken or no name.
    """
    from napari_seg.models.checkpoint import load_model

    path = Path(path)
    if path.suffix != SUFFIX:
        raise CheckpointError(
            f"{path.name} is not a checkpoint",
            f"a file that does not end in {SUFFIX}",
            "Choose a file made by `napari-seg train` or the Train panel.",
        )
    load_model(path)
    chosen = _free_name(path.stem) if name is None else _checked_name(name)
    target = user_models_dir() / f"{chosen}{SUFFIX}"
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
    return chosen


def rename_checkpoint(name: str, new_name: str) -> str:
    """Give one of the user's checkpoints another name in the list.

    The file stays the same byte for byte, and so does its hash.

    Returns
    -------
    str
        The new name.

    Raises
    ------
    CheckpointError
        If it is not the user's own, or the name is taken or no name.
    """
    path = _own(name)
    if new_name == name:
        return name
    chosen = _checked_name(new_name)
    for file in _with_companions(path):
        _move(file, file.with_name(chosen + file.name.removeprefix(path.stem)))
    return chosen


def remove_checkpoint(name: str) -> None:
    """Delete one of the user's checkpoints, its loss curve and its saved state.

    Raises
    ------
    CheckpointError
        If it is not the user's own.
    """
    path = _own(name)
    try:
        for file in _with_companions(path):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise FormatError(
            f"{path} cannot be removed", error.strerror or str(error)
        ) from error


def _own(name: str) -> Path:
    for entry in list_models():
        if entry.name == name and entry.kind == "user" and entry.path is not None:
            return entry.path
    raise CheckpointError(
        f"{name} is not one of your own models",
        remedy="Only models you added or trained can be renamed or removed.",
    )


def _with_companions(path: Path) -> list[Path]:
    """List a checkpoint last, after the files that a training left beside it."""
    beside = sorted(path.parent.glob(f"{_escaped(path.name)}.*"))
    return [*beside, path]


def _escaped(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        raise FormatError(
            f"{source} cannot be renamed", error.strerror or str(error)
        ) from error


def _checked_name(name: str) -> str:
    name = name.strip()
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise CheckpointError(
            "That cannot be the name of a model",
            repr(name),
            "Use letters, digits, spaces, and . + - _ in between.",
        )
    if name in _taken():
        raise CheckpointError(
            f"There is already a model named {name}", remedy="Choose another name."
        )
    return name


def _free_name(stem: str) -> str:
    cleaned = re.sub(r"[^\w.+ -]", "-", stem).strip("._+ -")[:70] or "model"
    taken = _taken()
    if cleaned not in taken:
        return cleaned
    number = 2
    while f"{cleaned}-{number}" in taken:
        number += 1
    return f"{cleaned}-{number}"


def _taken() -> set[str]:
    return {entry.name for entry in list_models() if entry.kind != "architecture"}
