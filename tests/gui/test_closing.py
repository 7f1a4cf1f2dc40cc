"""Corrections that were not saved: asked about, told, and recovered."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication, QMessageBox

sys.path.insert(0, str(Path(__file__).parent))
from fakes import FakeEngine
from folder_fakes import make_folder
from mouse import press_key

from napari_seg.data.dataset_reading import read_items
from napari_seg.gui.closing import fate, question, removal_text
from napari_seg.gui.unsaved import UnsavedEdits
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered


def square(viewer, name="cells"):
    return viewer.add_labels(np.zeros((40, 50), np.int32), name=name)


def paint(layer):
    layer.brush_size = 6
    layer.paint((20, 20), 2)


@pytest.fixture(scope="module", autouse=True)
def _writers():
    """Let napari know its own writers, as a window does."""
    from npe2 import PluginManager

    PluginManager.instance().discover()


@pytest.fixture
def edits():
    viewer = ViewerModel()
    removed = []
    made = UnsavedEdits(viewer, lambda *one: removed.append(one))
    made.viewer, made.removed = viewer, removed
    yield made
    made.close()


def test_edits_are_counted_until_they_are_saved(edits):
    layer, other = square(edits.viewer), square(edits.viewer, "other")
    paint(layer)
    layer.paint((5, 5), 3)
    assert edits.unsaved() == {layer: 2}
    edits.mark_saved([other])
    assert edits.unsaved() == {layer: 2}
    edits.mark_saved([layer])
    assert edits.unsaved() == {}
    layer.undo()  # other labels than those that were saved
    assert edits.unsaved() == {layer: 1}


def test_what_is_corrected_while_it_is_exported_is_not_saved(edits):
    layer, other = square(edits.viewer), square(edits.viewer, "other")
    paint(layer)
    paint(other)
    edits.begin_saving([layer])
    layer.paint((5, 5), 3)
    edits.end_saving([layer])
    assert edits.unsaved() == {layer: 1, other: 1}
    edits.begin_saving([layer])
    edits.mark_saved([layer])
    layer.paint((9, 9), 3)
    edits.end_saving([layer])  # what it began with is saved since
    assert edits.unsaved() == {layer: 1, other: 1}


def test_saving_with_napari_is_saving(edits, tmp_path):
    layer, other = square(edits.viewer), square(edits.viewer, "other")
    paint(layer)
    paint(other)
    edits.viewer.layers.selection = {layer}
    saved = edits.viewer.layers.save(str(tmp_path / "a.tif"), selected=True)
    assert Path(saved[0]).exists()
    assert edits.unsaved() == {other: 1}
    edits.close()
    assert "save" not in vars(edits.viewer.layers)


def test_a_layer_that_is_removed_with_edits_is_told(edits):
    layer, other = square(edits.viewer), square(edits.viewer, "other")
    paint(layer)
    edits.viewer.layers.remove(other)
    edits.viewer.layers.remove(layer)
    assert edits.removed == [(layer, 1)]


def test_the_words_say_what_becomes_of_the_edits(edits):
    layers = {square(edits.viewer, f"c{n}"): n + 1 for n in range(10)}
    lines = question(layers).splitlines()
    assert lines[1] == "• c0: 1 correction"
    assert lines[-1] == "… and 2 more"
    assert "recovered" in fate(True)
    assert "lost" in fate(False)
    assert "1 correction that was not saved" in removal_text("c", 1, True)
    assert "Recover" in removal_text("c", 1, True)
    assert "Recover" not in removal_text("c", 1, False)


class Last(QObject):
    """Has the last word on closing: notes it, and leaves the window to its fixture.

    Installed before the widget's own filter, so it is asked after that.
    """

    is_closed = False

    def eventFilter(self, watched, event):
        if event.type() != QEvent.Type.Close:
            return False
        self.is_closed = True
        event.ignore()
        return True


class Window:
    def __init__(self, viewer, folder, qtbot):
        self.viewer, self.qtbot = viewer, qtbot
        self.last = Last()
        self.native.installEventFilter(self.last)
        remembered = Remembered(folder / "settings.json")
        self.widget = SegmentationWidget(viewer, FakeEngine(), remembered)
        viewer.window.add_dock_widget(self.widget, name="napari-seg")
        self.asked = []

    @property
    def native(self):
        return self.viewer.window._qt_window

    def close(self, button):
        """Close the window as its X does, and press a button of what is asked."""

        def press():
            box = QApplication.activeModalWidget()
            if isinstance(box, QMessageBox):
                self.asked.append(f"{box.text()}\n{box.informativeText()}")
                next(b for b in box.buttons() if button in b.text()).click()

        QTimer.singleShot(200, press)
        self.native.close()


@pytest.fixture
def window(make_napari_viewer, tmp_path, qtbot):
    made = Window(make_napari_viewer(show=True), tmp_path, qtbot)
    yield made
    made.native.removeEventFilter(made.last)


@pytest.mark.gui
def test_closing_asks_once_and_stays_if_told_to(window):
    layer = square(window.viewer)
    paint(layer)
    window.close("Do not close")
    assert not window.last.is_closed
    assert "cells: 1 correction" in window.asked[0]
    assert "recovered for a month" in window.asked[0]
    # In a moment the labels are in a journal; removed by a slip, they come back.
    window.viewer.layers.remove(layer)
    offer = window.widget.correct_panel.recovery
    window.qtbot.waitUntil(lambda: "Just removed: 1 edit" in offer.text.text())
    window.qtbot.waitUntil(lambda: "Recover on the" in str(window.viewer.status))
    offer.recover_requested.emit()
    window.qtbot.waitUntil(lambda: len(window.viewer.layers) == 1)
    assert window.viewer.layers[0].data[20, 20] == 2
    window.widget.guard.edits.mark_saved(window.viewer.layers)


@pytest.mark.gui
def test_a_window_without_edits_closes_without_a_question(window):
    square(window.viewer)
    window.close("Do not close")
    assert window.asked == []
    assert window.last.is_closed


@pytest.mark.gui
def test_images_of_a_folder_go_by_key_and_save_themselves(window, tmp_path):
    folder = make_folder(tmp_path / "cells", 2)
    panel, controller = window.widget.folder_panel, window.widget.folders
    wait = window.qtbot.waitUntil

    def is_there(name):
        bench = controller.bench
        return bench is not None and bench.name == name and bench.labels is not None

    window.native.activateWindow()
    panel.open_requested.emit(str(folder))
    wait(lambda: is_there("c1"), timeout=20_000)
    # The keys work on every tab.
    assert window.widget.tabs.currentWidget() is not panel
    press_key(window.viewer.window._qt_viewer.canvas.native, "PgDown")
    wait(lambda: is_there("c2"), timeout=20_000)
    assert panel.strip.place.text() == "c2 · 2 of 2 · predicted"
    paint(controller.bench.labels)
    window.close("Do not close")
    assert window.asked == []
    assert window.last.is_closed
    saved = {item.name: item for item in read_items(tmp_path / "cells-labels")}
    assert saved["c2"].labels[20, 20] == 2
