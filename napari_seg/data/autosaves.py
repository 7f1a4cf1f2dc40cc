"""The folder of journals: what can be recovered, and what is too old or too large."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_seg.data.journal_about import ABOUT, About, read_about
from napari_seg.data.recovery import count_edits
from napari_seg.errors import FormatError

MAX_DAYS = 30.0
MAX_BYTES = 4 * 2**30
"""Older journals, and the oldest of more, are removed."""


@dataclass(frozen=True)
class Unsaved:
    """A journal that nobody writes any more."""

    folder: Path
    about: About
    edits: int
    changed: float
    """When the last edit was made, in seconds since 1970."""

    def discard(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __str__(self) -> str:
        """Say it as a user would."""
        when = time.strftime("%d %b %H:%M", time.localtime(self.changed))
        count = f"{self.edits} edit{'s' * (self.edits != 1)}"
        only = ", only where you edited" if self.about.is_partial else ""
        return f"{count} to {self.about.name}, {when}{only}"


def autosave_dir() -> Path:
    """Folder of the journals; ``NAPARI_SEG_AUTOSAVE`` overrides it."""
    override = os.environ.get("NAPARI_SEG_AUTOSAVE")
    if override:
        return Path(override)
    return platformdirs.user_state_path("napari-seg", appauthor=False) / "autosave"


def new_folder(root: Path) -> Path:
    """Return a folder for a journal that is not there yet."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return root / f"{stamp}-{secrets.token_hex(4)}"


def find_unsaved(root: Path) -> list[Unsaved]:
    """List journals of processes that are gone, the latest first.

    Journals without an edit, and what is no journal, are passed over.
    """
    found = []
    for about_file in root.glob(f"*/{ABOUT}"):
        folder = about_file.parent
        try:
            about = read_about(folder)
            if about.is_written:
                continue
            edits, changed = count_edits(folder)
        except (FormatError, ValueError, KeyError, TypeError):
            continue
        if edits:
            found.append(Unsaved(folder, about, edits, changed))
    return sorted(found, key=lambda one: -one.changed)


def purge(
    root: Path, max_days: float = MAX_DAYS, max_bytes: int = MAX_BYTES
) -> list[Path]:
    """Remove journals of gone processes that are too old, or the oldest of too many.

    Returns
    -------
    list of Path
        What was removed.
    """
    removed, total = [], 0
    for one in find_unsaved(root):
        total += _size(one.folder)
        if total > max_bytes or time.time() - one.changed > max_days * 86_400:
            one.discard()
            removed.append(one.folder)
    return removed


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
