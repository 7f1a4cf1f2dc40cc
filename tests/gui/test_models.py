"""Adding, renaming, removing models: the box, the controller, and both in a window."""

from pathlib import Path

import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QInputDialog,
    QMessageBox,
    QTextBrowser,
)

from napari_seg.gui.engine import Engine
from napari_seg.gui.model_card import about_rows
from napari_seg.gui.panels.model_box import ModelBox, about_dialog
from napari_seg.gui.panels.segment import SegmentPanel
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.models.card import Card
from napari_seg.models.catalogue import ModelEntry
from napari_seg.models.checkpoint import build_from_card, save_checkpoint
from napari_seg.state import JobState, Remembered

TINY = Card(
    "tiny",
    "unet",
    {"channels": [2, 4], "padding": "same"},
    1,
    ("background", "interior", "border"),
    description="For <tests>.",
    scores={"ap_0.50": 0.875},
)


@pytest.fixture
def box(qtbot):
    made = ModelBox()
    qtbot.addWidget(made)
    made.set_models(["shipped", "mine"], "shipped", own=["mine"])
    return made


@pytest.fixture
def heard(box):
    requests = []
    for name in ("chosen", "add_requested", "rename_requested", "remove_requested"):
        getattr(box, name).connect(
            lambda *value, name=name: requests.append((name, *value))
        )
    return requests


def test_only_ones_own_models_can_be_renamed_or_removed(box, heard):
    assert not box.rename.isEnabled()
    assert not box.remove.isEnabled()
    box.combo.setCurrentText("mine")
    assert box.rename.isEnabled()
    assert box.remove.isEnabled()
    assert heard == [("chosen", "mine")]
    box.set_models(["shipped"], "shipped")
    assert not box.remove.isEnabled()


def test_the_menu_asks_before_it_requests(box, heard, monkeypatch):
    box.combo.setCurrentText("mine")
    heard.clear()
    files = ["/a/x.safetensors", "/a/y.safetensors"]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (files, ""))
    box.add.trigger()
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, text: (f" {text}2 ", True))
    box.rename.trigger()
    no, yes = QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes
    monkeypatch.setattr(QMessageBox, "question", lambda *_: no)
    box.remove.trigger()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: yes)
    box.remove.trigger()
    assert heard == [
        ("add_requested", "/a/x.safetensors"),
        ("add_requested", "/a/y.safetensors"),
        ("rename_requested", "mine", "mine2"),
        ("remove_requested", "mine"),
    ]


def test_a_cancelled_dialog_requests_nothing(box, heard, monkeypatch):
    box.combo.setCurrentText("mine")
    heard.clear()
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([], ""))
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, text: ("other", False))
    box.add.trigger()
    box.rename.trigger()
    assert heard == []


def drop(widget, *paths):
    """Drag files onto a widget and let them go; whether they were taken."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), copy, data, left, none)
    enter.ignore()
    QApplication.sendEvent(widget, enter)
    if not enter.isAccepted():
        return False
    event = QDropEvent(QPointF(5, 5), copy, data, left, none)
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def test_checkpoints_can_be_dropped_on_the_panel_and_nothing_else(qtbot):
    panel = SegmentPanel()
    qtbot.addWidget(panel)
    added = []
    panel.models.add_requested.connect(added.append)
    assert not drop(panel, "/a/image.tif")
    assert drop(panel, "/a/image.tif", "/a/one.safetensors", "/a/two.safetensors")
    assert added == ["/a/one.safetensors", "/a/two.safetensors"]


def test_all_that_is_known_is_told_and_nothing_is_taken_for_markup(qtbot):
    rows = about_rows(ModelEntry("tiny", "user", Path("/m/tiny"), TINY, ""))
    assert ("AP at IoU 0.5", "0.875") in rows
    assert ("Classes", "background, interior, border") in rows
    dialog = about_dialog("tiny", rows)
    qtbot.addWidget(dialog)
    text = dialog.findChild(QTextBrowser).toPlainText()
    assert "For <tests>." in text
    assert "/m/tiny" in text


def test_of_a_damaged_file_it_is_told_what_is_wrong():
    entry = ModelEntry("bad", "user", Path("/m/bad"), None, "The card is damaged.")
    assert about_rows(entry)[0] == ("Problem", "The card is damaged.")


def test_an_added_model_is_chosen(session):
    session.panel.models.add_requested.emit("/a/mine.safetensors")
    session.pump_until(lambda: session.message == "Added mine.")
    names, current, own = session.panel.shown["models"]
    assert (current, own) == ("mine", ["mine"])
    assert "mine" in names
    assert session.controller.settings.model == "mine"


def test_a_model_is_renamed_and_removed(session):
    box = session.panel.models
    box.add_requested.emit("/a/mine.safetensors")
    box.rename_requested.emit("mine", "cells")
    session.pump_until(lambda: session.message == "mine is now named cells.")
    assert session.controller.settings.model == "cells"
    box.remove_requested.emit("cells")
    session.pump_until(lambda: session.message == "Removed cells.")
    assert session.controller.settings.model == "nuclei-unet"


def test_what_is_no_model_is_explained_and_changes_nothing(session):
    session.panel.models.add_requested.emit("/a/photo.png")
    session.pump_until(lambda: session.state is JobState.FAILED)
    assert "photo.png is not a checkpoint" in session.message
    assert session.controller.settings.model == "nuclei-unet"
    assert session.reported == []


def test_news_of_models_do_not_end_a_run(make_session):
    session = make_session(is_stepwise=True)
    session.add_image()
    session.panel.models.add_requested.emit("/a/mine.safetensors")
    session.panel.run_requested.emit()
    names = session.panel.shown
    session.pump_until(lambda: names["models"][1] == "mine")
    assert session.state is JobState.RUNNING


def test_a_model_is_described(session):
    session.panel.models.about_requested.emit("other-unet")
    name, rows = session.panel.models.about
    assert name == "other-unet"
    assert ("Network", "U-Net (2015)") in rows
    session.panel.models.about_requested.emit("nobody")
    assert session.panel.models.about[0] == "other-unet"


@pytest.mark.gui
def test_a_dropped_checkpoint_is_ready_to_run(
    make_napari_viewer, tmp_path, monkeypatch, qtbot
):
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(tmp_path / "own"))
    viewer = make_napari_viewer()
    widget = SegmentationWidget(viewer, Engine(), Remembered(tmp_path / "s.json"))
    viewer.window.add_dock_widget(widget, name="napari-seg")
    file = save_checkpoint(tmp_path / "tiny.safetensors", build_from_card(TINY), TINY)
    panel, status = widget.segment_panel, widget.controller.status
    assert drop(panel, file)
    qtbot.waitUntil(lambda: status.message == "Added tiny.", timeout=60_000)
    assert panel.model.currentText() == "tiny"
    assert panel.models.remove.isEnabled()
    assert (tmp_path / "own" / "tiny.safetensors").is_file()
    widget.controller.close()
