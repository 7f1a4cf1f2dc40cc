"""Open napari with the plugin docked, for the command line."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seg.errors import NapariSegError

if TYPE_CHECKING:
    import napari

    from napari_seg.gui.widget import SegmentationWidget

PLUGIN = "napari-seg"
WINDOW_PX = (1280, 740)
RUN_SECONDS = 600
SETTLE_SECONDS = 1.0


def open_viewer() -> None:
    """Open napari with the panel docked; returns when the window is closed."""
    viewer = _new_viewer()
    viewer.window.add_plugin_dock_widget(PLUGIN, PLUGIN)
    _run_napari()


def open_demo(sample: str, model: str, screenshot: Path | None = None) -> None:
    """Open napari on a sample image and segment it in the panel.

    Parameters
    ----------
    sample : str
        Key of the sample in the manifest.
    model : str
        Model to choose in the panel.
    screenshot : Path, optional
        Save a picture of the whole window there once the labels are shown, and
        close. Without it this returns when the user closes the window.

    Raises
    ------
    NapariSegError
        If there is no display, no Qt, or nothing can be segmented.
    """
    viewer = _new_viewer()
    try:
        viewer.window.resize(*WINDOW_PX)
        viewer.open_sample(PLUGIN, sample)
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, PLUGIN)
        widget.segment_panel.model_requested.emit(model)
        widget.controller.form.refresh_models()
        _wait(SETTLE_SECONDS)
        # the canvas has its final size only now, with the panel beside it
        viewer.reset_view()
        if screenshot is not None:
            _run_to_the_end(widget)
            _save_window(viewer, screenshot)
            return
        widget.run()
        _run_napari()
    finally:
        if screenshot is not None:
            viewer.close()


def _new_viewer() -> napari.Viewer:
    """Open an empty window, without a warning users can do nothing about."""
    check_display()
    warnings.filterwarnings("ignore", "System theme detection", UserWarning)
    import napari

    return napari.Viewer()


def _run_napari() -> None:
    import napari

    napari.run()


def check_display() -> None:
    """Refuse where Qt could only abort the process, or is not there at all."""
    if not any(find_spec(name) for name in ("PyQt5", "PyQt6", "PySide6", "PySide2")):
        raise NapariSegError(
            "napari needs a Qt binding, and none is installed",
            remedy='Install one: pip install "napari-seg[pyqt5]"',
        )
    has_display = any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
    platform = os.environ.get("QT_QPA_PLATFORM", "xcb").partition(":")[0]
    if sys.platform == "linux" and not has_display and platform in ("xcb", "wayland"):
        raise NapariSegError(
            "there is no display to open a window on",
            "DISPLAY is not set",
            "Use `napari-seg demo --headless`, or put `xvfb-run -a` before the command",
        )


def _run_to_the_end(widget: SegmentationWidget) -> None:
    """Press Run and keep the window alive until the labels are complete."""
    from napari_seg.state import JobState

    ended: list[JobState] = []
    widget.run_ended.connect(ended.append)
    widget.run()
    # a run that was refused, for want of a model say, never ends
    if widget.controller.status.state.is_active:
        _wait(RUN_SECONDS, until=widget.run_ended)
    # layers are drawn some events after they were changed
    _wait(SETTLE_SECONDS)
    if ended != [JobState.DONE]:
        problems = widget.controller.form.problems().values()
        raise NapariSegError(
            "the demo produced no labels",
            widget.controller.status.message or "; ".join(problems),
        )


def _wait(seconds: float, until: Any = None) -> None:
    """Run Qt's event loop for some time, or until a signal comes."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    if until is not None:
        until.connect(loop.quit)
    loop.exec_()


def _save_window(viewer: napari.Viewer, path: Path) -> None:
    """Save a picture of the whole window."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from PIL import Image
    from qtpy.QtWidgets import QApplication

    from napari_seg.files import atomic_path

    # napari greets with notices that fade slowly, over the image
    for notice in QApplication.allWidgets():
        if isinstance(notice, NapariQtNotification):
            notice.close()
    _wait(SETTLE_SECONDS)
    picture = viewer.screenshot(canvas_only=False, flash=False)
    # the temporary file has another suffix, so the format must be named
    kind = Image.registered_extensions().get(path.suffix.lower(), "PNG")
    with atomic_path(path) as temporary:
        Image.fromarray(picture[..., :3]).save(temporary, format=kind)
