"""The picture of docs/folder.md: a folder of the samples, half way through.

Called by ``python -m docs.make_pictures``. Needs a display.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from napari._qt.dialogs.qt_notification import NapariQtNotification
from PIL import Image
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_seg.data.samples import read_sample
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered
from tests.gui.mouse import press_key

WINDOW_PX = (1280, 760)
SIDE_PX = 220


def cut(folder: Path) -> Path:
    """Cut the nuclei sample into images of a folder."""
    cells = folder / "cells"
    cells.mkdir()
    picture = np.asarray(read_sample("nuclei").array)
    corners = [(y, x) for y in (0, 220, 300) for x in (0, 220, 440)]
    for number, (y, x) in enumerate(corners, start=1):
        part = picture[y : y + SIDE_PX, x : x + SIDE_PX]
        tifffile.imwrite(cells / f"well_{number}.tif", part)
    return cells


def wait_for(widget: Any, name: str) -> None:
    """Wait until an image of the folder is open, with labels."""
    while True:
        QTest.qWait(50)
        bench = widget.folders.bench
        if bench is not None and bench.name == name and bench.labels is not None:
            QTest.qWait(1500)
            return


def make(images: Path) -> None:
    """Write the picture into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        cells = cut(Path(folder))
        viewer = napari.Viewer()
        viewer.window.resize(*WINDOW_PX)
        widget = SegmentationWidget(
            viewer, remembered=Remembered(Path(folder) / "settings.json")
        )
        viewer.window.add_dock_widget(widget, name="napari-seg")
        widget.tabs.setCurrentWidget(widget.folder_panel)
        QTest.qWait(1000)
        viewer.window._qt_window.activateWindow()
        widget.folder_panel.open_requested.emit(str(cells))
        canvas = viewer.window._qt_viewer.canvas.native
        keys = ("Shift+PgDown", "Shift+PgDown", "PgDown", "PgDown")
        wait_for(widget, "well_1")
        for number, key in enumerate(keys, start=2):
            if key == "PgDown":
                layer = widget.folders.bench.labels
                layer.fill((100, 100), 0) if layer.data[100, 100] else None
                layer.paint((5, 5), 200)
            press_key(canvas, key)
            wait_for(widget, f"well_{number}")
        for notice in QApplication.allWidgets():
            if isinstance(notice, NapariQtNotification):
                notice.close()
        QTest.qWait(500)
        shot = viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(shot[..., :3])
        picture.save(images / "folder-window.png", optimize=True)
        print(images / "folder-window.png")
        viewer.close()


if __name__ == "__main__":
    make(Path(__file__).parent / "images")
