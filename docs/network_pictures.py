"""The pictures of what a click depends on, and of the choice of a network.

Called by ``python -m docs.make_pictures``. Needs a display.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import napari
from napari._qt.dialogs.qt_notification import NapariQtNotification
from PIL import Image
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from docs.correct_pictures import WINDOW_PX
from docs.refine_pictures import wait
from napari_seg.gui.sample_data import nuclei
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered

PIXEL = (240, 330)
"""In a nucleus of the sample."""
NETWORK = "deeplab-v3plus"


def make(images: Path) -> None:
    """Write ``look-window.png`` and ``train-network.png``."""
    with tempfile.TemporaryDirectory() as folder:
        ((data, options, _),) = nuclei()
        viewer = napari.Viewer()
        viewer.window.resize(*WINDOW_PX)
        layer = viewer.add_image(data, **options)
        widget = SegmentationWidget(
            viewer, remembered=Remembered(Path(folder) / "settings.json")
        )
        viewer.window.add_dock_widget(widget, name="napari-seg")
        _look(viewer, widget, layer)
        _shoot(viewer, images / "look-window.png")
        panel = widget.train_panel
        widget.tabs.setCurrentWidget(panel)
        QTest.qWait(500)
        panel.start_from.setCurrentText("From scratch")
        panel.networks.combo.setCurrentIndex(panel.networks.combo.findData(NETWORK))
        QTest.qWait(500)
        box = panel.grid
        shot = viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        corner = box.mapTo(viewer.window._qt_window, box.rect().topLeft())
        ratio = shot.shape[1] / viewer.window._qt_window.width()
        edges = (corner.x(), corner.y(), box.width(), box.height())
        x, y, width, height = (round(ratio * edge) for edge in edges)
        Image.fromarray(shot[y - 6 : y + height + 6, x - 8 : x + width + 8]).save(
            images / "train-network.png"
        )
        viewer.close()


def _look(viewer: napari.Viewer, widget: SegmentationWidget, layer: Any) -> None:
    panel = widget.segment_panel
    panel.look_fold.set_open(True)
    wait(lambda: panel.footer.can_run)
    panel.look.switch.setChecked(True)
    widget.looker.look(tuple(layer.data_to_world(PIXEL)))
    wait(lambda: len(viewer.layers) > 1)
    viewer.reset_view()
    viewer.scene.camera.zoom *= 2
    QTest.qWait(500)


def _shoot(viewer: napari.Viewer, path: Path) -> None:
    for notice in QApplication.allWidgets():
        if isinstance(notice, NapariQtNotification):
            notice.close()
    QTest.qWait(200)
    shot = viewer.screenshot(canvas_only=False, flash=False)[..., :3]
    Image.fromarray(shot).save(path)
