"""Every key of the plugin, in one place."""

from __future__ import annotations

from typing import NamedTuple


class Shortcut(NamedTuple):
    """A key and what it does."""

    key: str
    """In Qt's portable spelling; Ctrl is Command on a Mac."""
    action: str
    """What it does, as the user reads it."""


RUN = Shortcut("Ctrl+Alt+R", "Run the network")
CANCEL = Shortcut("Ctrl+Alt+X", "Cancel the run and keep the finished tiles")
ESTIMATE = Shortcut("Ctrl+Alt+E", "Estimate the size of the objects")

ALL: tuple[Shortcut, ...] = (RUN, CANCEL, ESTIMATE)
"""napari's own keys, which these must not repeat, are checked by a test."""
