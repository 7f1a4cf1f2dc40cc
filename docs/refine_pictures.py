"""The pictures of docs/refine.md: labels before and after, in a real window.

Called by ``python -m docs.make_pictures``. Needs a display.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import napari
from napari._qt.dialogs.qt_notification import NapariQtNotification
from PIL import Image
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from docs.correct_pictures import WINDOW_PX, side_by_side
from napari_seg.gui.sample_data import nuclei
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered

CROP_PX = (430, 330)
_PATIENCE_S = 600


def make(images: Path) -> None:
    """Write ``refine-before-after.png`` and ``refine-window.png``."""
    with tempfile.TemporaryDirectory() as folder:
        ((data, options, _),) = nuclei()
        viewer = napari.Viewer()
        viewer.window.resize(*WINDOW_PX)
        viewer.add_image(data, **options)
        widget = SegmentationWidget(
            viewer, remembered=Remembered(Path(folder) / "settings.json")
        )
        viewer.window.add_dock_widget(widget, name="napari-seg")
        QTest.qWait(1500)
        widget.run()
        wait(lambda: not widget.controller.status.state.is_active)
        viewer.reset_view()
        viewer.scene.camera.zoom *= 4
        box = widget.segment_panel.refine
        widget.segment_panel.refine_fold.set_open(True)
        before = _canvas(viewer)
        box.preset.setCurrentIndex(box.preset.findData("nuclei"))
        box.preview.setChecked(True)
        wait(lambda: widget.refiner.preview.is_shown)
        QTest.qWait(500)
        side_by_side(before, _canvas(viewer)).save(images / "refine-before-after.png")
        for notice in QApplication.allWidgets():
            if isinstance(notice, NapariQtNotification):
                notice.close()
        shot = viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        Image.fromarray(shot).save(images / "refine-window.png")
        widget.refiner.set_on(False)
        viewer.close()


def wait(is_done: object) -> None:
    """Let the window go on until something is so."""
    assert callable(is_done)
    end = time.monotonic() + _PATIENCE_S
    while not is_done():
        assert time.monotonic() < end, "it took too long"
        QTest.qWait(50)


def _canvas(viewer: napari.Viewer) -> Image.Image:
    QTest.qWait(500)
    picture = Image.fromarray(viewer.screenshot(canvas_only=True, flash=False)[..., :3])
    x, y = (picture.width - CROP_PX[0]) // 2, (picture.height - CROP_PX[1]) // 2
    return picture.crop((x, y, x + CROP_PX[0], y + CROP_PX[1]))
