"""What models there are: shipped, the user's own, and architectures to train."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import platformdirs

from napari_seg.errors import CheckpointError, UnknownModelError
from napari_seg.models.card import Card, read_card
from napari_seg.models.registry import ARCHITECTURES

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ModelEntry:
    """One row of the model list."""

    name: str
    """Name to pass on as ``model`` or ``architecture``."""
    kind: Literal["shipped", "user", "architecture"]
    """Where it comes from."""
    path: Path | None
    """The checkpoint file; None for an architecture."""
    card: Card | None
    """The checkpoint's card; None for an architecture or a damaged file."""
    summary: str
    """One line for people; for a damaged file, what is wrong with it."""


def shipped_models_dir() -> Path:
    """Folder of the checkpoints in the package."""
    return Path(str(resources.files("napari_seg.resources") / "models"))


def user_models_dir() -> Path:
    """Folder of the user's checkpoints; ``NAPARI_SEG_MODELS`` overrides it."""
    override = os.environ.get("NAPARI_SEG_MODELS")
    if override:
        return Path(override)
    return platformdirs.user_data_path("napari-seg", appauthor=False) / "models"


def list_models() -> list[ModelEntry]:
    """Shipped checkpoints, then the user's, then architectures, each by name."""
    shipped = sorted(shipped_models_dir().glob(f"*{SUFFIX}"))
    own = sorted(user_models_dir().glob(f"*{SUFFIX}"))
    entries = [_checkpoint_entry(path, "shipped") for path in shipped]
    entries += [_checkpoint_entry(path, "user") for path in own]
    entries += [
        ModelEntry(name, "architecture", None, None, architecture.summary)
        for name, architecture in sorted(ARCHITECTURES.items())
    ]
    return entries


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Path of a checkpoint given by name or as a file.

    Raises
    ------
    UnknownModelError
        If neither a file nor a listed checkpoint matches; the message lists them.
    """
    path = Path(name_or_path)
    if path.suffix == SUFFIX or path.is_file():
        if path.is_file():
            return path
        raise UnknownModelError(f"There is no checkpoint file {path}")
    # Only file names are looked at: one damaged checkpoint must not hide the others.
    found = {
        file.stem: file
        for folder in (user_models_dir(), shipped_models_dir())
        for file in sorted(folder.glob(f"*{SUFFIX}"))
    }
    if str(name_or_path) in found:
        return found[str(name_or_path)]
    raise UnknownModelError(
        f"There is no model named {str(name_or_path)!r}",
        remedy=f"Choose one of: {', '.join(sorted(found)) or 'none installed'}; "
        f"or give the path of a {SUFFIX} file.",
    )


def _checkpoint_entry(path: Path, kind: Literal["shipped", "user"]) -> ModelEntry:
    try:
        card = read_card(path)
    except CheckpointError as error:
        return ModelEntry(path.stem, kind, path, None, str(error))
    return ModelEntry(path.stem, kind, path, card, card.description)
