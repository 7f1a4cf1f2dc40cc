"""Nobody closes the window over corrections that were not saved without knowing it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox

from napari_seg.gui.jobs import Jobs
from napari_seg.gui.unsaved import UnsavedEdits

_SHOWN = 8
_AFTER_S = 0.5


class CloseGuard:
    """Asks before the window is closed, and tells when edited labels are removed.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    folders : FolderController
        Saves its own labels.
    autosaver : AutosaveController
        Tells whether corrections can be recovered.
    exporter : ExportController
        Saves labels, too.
    jobs : Jobs
        For what must wait a moment.
    """

    def __init__(
        self, viewer: Any, folders: Any, autosaver: Any, exporter: Any, jobs: Jobs
    ) -> None:
        self.edits = UnsavedEdits(viewer, self._on_removed)
        self._viewer = viewer
        self._folders = folders
        self._autosaver = autosaver
        self._exporter = exporter
        self._jobs = jobs
        self._is_closed = False
        folders.saved.connect(self.edits.mark_saved)
        exporter.exporting.connect(self.edits.begin_saving)
        exporter.exported.connect(self.edits.end_saving)
        self._filter = _CloseFilter(self)
        # The window itself is not kept: a closed viewer lets go of it.
        viewer.window._qt_window.installEventFilter(self._filter)

    def close(self) -> None:
        """Ask no more."""
        if self._is_closed:
            return
        self._is_closed = True
        self._folders.saved.disconnect(self.edits.mark_saved)
        self._exporter.exporting.disconnect(self.edits.begin_saving)
        self._exporter.exported.disconnect(self.edits.end_saving)
        self.edits.close()
        self._jobs.close()

    def may_close(self) -> bool:
        """Save what saves itself, and ask about the rest."""
        if self._is_closed:
            return True
        self._folders.save_now()
        unsaved = self.edits.unsaved()
        answer = self.ask(unsaved) if unsaved else False
        if answer:
            self._save(list(unsaved))
            return not self.edits.unsaved()  # she may have cancelled the saving
        return answer is not None

    def _save(self, layers: list[Labels]) -> None:
        self._viewer.layers.selection = set(layers)
        self._viewer.window._qt_viewer._save_layers_dialog(selected=True)

    def _on_removed(self, layer: Labels, count: int) -> None:
        text = removal_text(layer.name, count, self._autosaver.is_on)
        # In the status bar, and not while the window is being closed: napari's own
        # notice over a canvas that has just lost a layer can crash software OpenGL.
        self._jobs.later("removed", _AFTER_S, lambda: self._say(text))

    def _say(self, text: str) -> None:
        self._viewer.status = text

    def ask(self, unsaved: Mapping[Labels, int]) -> bool | None:
        """Return whether to save first; None: do not close."""
        box = QMessageBox(self._viewer.window._qt_window)
        box.setIcon(QMessageBox.Icon.Warning)
        box.setWindowTitle("Corrections that were not saved")
        box.setText(question(unsaved))
        box.setInformativeText(fate(self._autosaver.is_on))
        save = box.addButton("Save…", QMessageBox.ButtonRole.AcceptRole)
        box.addButton("Close without saving", QMessageBox.ButtonRole.DestructiveRole)
        stay = box.addButton("Do not close", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(save)
        box.setEscapeButton(stay)
        box.exec_()
        chosen: Any = box.clickedButton()
        return None if chosen in (stay, None) else chosen is save


class _CloseFilter(QObject):
    """Stops a window from closing if the user thinks better of it."""

    def __init__(self, guard: CloseGuard) -> None:
        super().__init__()
        # Qt keeps its objects longer than a closed viewer may live.
        self._guard = weakref.ref(guard)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        guard = self._guard()
        if event.type() != QEvent.Type.Close or guard is None or guard.may_close():
            return False
        event.ignore()
        return True


def question(unsaved: Mapping[Labels, int]) -> str:
    """Say what was not saved."""
    lines = [f"• {layer.name}: {_count(n)}" for layer, n in unsaved.items()]
    more = len(lines) - _SHOWN
    if more > 0:
        lines = [*lines[:_SHOWN], f"… and {more} more"]
    return "\n".join(["These labels have corrections that were not saved:", *lines])


def fate(is_recoverable: bool) -> str:
    """Say what becomes of them without saving."""
    if is_recoverable:
        return (
            "Without saving they can be recovered for a month: on the Correct tab, "
            "after the next start."
        )
    return "Save corrections automatically is off: without saving they are lost."


def removal_text(name: str, count: int, is_recoverable: bool) -> str:
    """Say what was removed with a layer."""
    verb = "was" if count == 1 else "were"
    text = f"{name} was removed with {_count(count)} that {verb} not saved."
    if is_recoverable:
        return f"{text} Recover on the Correct tab brings the labels back."
    return text


def _count(number: int) -> str:
    return f"{number} correction{'s' * (number != 1)}"
