"""The pictures of a batch and of a film: the Batch tab at work, and linked nuclei.

Called by ``python -m docs.make_pictures``. Needs a display.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari._qt.dialogs.qt_notification import NapariQtNotification
from PIL import Image
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea
from scipy import ndimage

from docs.folder_pictures import cut
from napari_seg.data.samples import read_sample, read_sample_truth
from napari_seg.gui.batch.rows import RowState
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered

WINDOW_PX = (1280, 820)
FRAMES = 8
SHIFT_PX = 4.0
_TIMEOUT_S = 120.0


def film() -> tuple[np.ndarray, np.ndarray]:
    """Return a film of the nuclei sample and its labels, which move and turn."""
    image = np.asarray(read_sample("nuclei").array)[:260, :340]
    labels = np.asarray(read_sample_truth("nuclei").array)[:260, :340]
    images, moved = [], []
    for t in range(FRAMES):
        y, x = np.mgrid[:260, :340].astype(float)
        y += SHIFT_PX * t * np.sin(x / 60)
        x += SHIFT_PX * t * np.cos(y / 70)
        images.append(ndimage.map_coordinates(image, (y, x), order=1))
        frame = ndimage.map_coordinates(labels, (y, x), order=0)
        # each frame has ids of its own, as after a run
        ids = np.random.default_rng(t).permutation(int(labels.max()) + 1)
        ids = np.append(0, ids[ids > 0])
        moved.append(ids[frame].astype(np.int32))
    return np.array(images), np.array(moved)


def until(condition: Callable[[], bool]) -> None:
    """Let the window live until something is so."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > _TIMEOUT_S:
            raise TimeoutError("the window did not get there")
        QTest.qWait(50)


def window(folder: Path) -> tuple[Any, SegmentationWidget]:
    """Open napari with the panel docked."""
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW_PX)
    widget = SegmentationWidget(viewer, remembered=Remembered(folder / "settings.json"))
    viewer.window.add_dock_widget(widget, name="napari-seg")
    return viewer, widget


def save(viewer: Any, path: Path) -> None:
    """Write a picture of the whole window, without notices."""
    for notice in QApplication.allWidgets():
        if isinstance(notice, NapariQtNotification):
            notice.close()
    QTest.qWait(700)
    shot = viewer.screenshot(canvas_only=False, flash=False)
    Image.fromarray(shot[..., :3]).save(path, optimize=True)
    print(path)
    viewer.close()


def make_batch(folder: Path, images: Path) -> None:
    """Segment a folder, and stop half-way with one pair open."""
    cells = cut(folder)
    (cells / "well_4_half.tif").write_bytes((cells / "well_4.tif").read_bytes()[:400])
    viewer, widget = window(folder)
    panel, batcher = widget.batch_panel, widget.batcher
    widget.tabs.setCurrentWidget(panel)
    QTest.qWait(1000)
    panel.folder_requested.emit(str(cells))
    until(lambda: len(batcher.batch.rows) == 10)
    panel.run.click()
    until(lambda: batcher.batch.count(RowState.DONE) >= 6)
    panel.pause.click()
    panel.open_requested.emit("well_2")
    until(lambda: len(viewer.layers) == 2)
    panel.pause.click()
    save(viewer, images / "batch-window.png")


def make_film(folder: Path, images: Path) -> None:
    """Link a film."""
    viewer, widget = window(folder)
    pictures, labels = film()
    viewer.add_image(pictures, name="film")
    viewer.add_labels(labels, name="film nuclei-unet")
    panel = widget.correct_panel
    widget.tabs.setCurrentWidget(panel)
    panel.track_fold.set_open(True)
    QTest.qWait(1000)
    panel.track.link.click()
    until(lambda: len(viewer.layers) == 4)
    viewer.dims.set_current_step(0, FRAMES - 1)
    QTest.qWait(1000)
    area = panel.findChild(QScrollArea)
    area.verticalScrollBar().setValue(area.verticalScrollBar().maximum())
    save(viewer, images / "track-window.png")


def make(images: Path) -> None:
    """Write the pictures into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        make_batch(Path(folder), images)
        make_film(Path(folder), images)


if __name__ == "__main__":
    make(Path(__file__).parent / "images")
