"""The Segment panel as a plain widget: both directions, no viewer."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QLabel, QWidget

from napari_seg.gui.forms import field_docs
from napari_seg.gui.panels.segment import SegmentPanel
from napari_seg.state import Advanced, JobState, Scope, SegmentSettings

SIGNALS = [
    "image_requested",
    "axes_requested",
    "channel_requested",
    "model_requested",
    "device_requested",
    "diameter_requested",
    "estimate_requested",
    "scope_requested",
    "threshold_requested",
    "min_size_requested",
    "advanced_requested",
    "run_requested",
    "cancel_requested",
]


@pytest.fixture
def panel(qtbot):
    made = SegmentPanel()
    qtbot.addWidget(made)
    made.resize(320, 800)
    made.show()
    made.set_images(["a", "b"], "b")
    made.set_axes("ZYX", (5, 64, 64), is_rgb=False)
    made.set_models(["nuclei-unet", "other"], "other")
    made.set_devices([("Automatic", "auto"), ("CPU", "cpu")], "auto")
    made.set_problems({})
    return made


@pytest.fixture
def heard(panel):
    """Return all requests since the panel was filled, as (signal, value)."""
    requests = []
    for name in SIGNALS:
        getattr(panel, name).connect(
            lambda *value, name=name: requests.append((name, *value))
        )
    return requests


def test_setters_emit_no_requests(panel, heard):
    panel.set_images(["x"], "x")
    panel.set_axes("YXC", (64, 64, 3), is_rgb=True)
    panel.set_channels([("Grey", None), ("Red", 0)], 0)
    panel.set_models(["m"], "m")
    panel.set_devices([("CPU", "cpu")], "cpu")
    panel.set_pixel_size(0.5)
    panel.set_diameter(30.0)
    panel.set_diameter(None)
    panel.set_scope(Scope.FIELD)
    panel.set_min_size_limit(900)
    panel.set_thresholds(0.3, 40)
    panel.set_advanced(Advanced(tile_px=128, link_z=False))
    panel.set_status(JobState.RUNNING, 0.5, "half")
    panel.set_problems({"axes": "wrong"})
    assert heard == []


def test_choices_are_requested(panel, heard):
    panel.image.setCurrentText("a")
    panel.model.setCurrentText("nuclei-unet")
    panel.device.setCurrentText("CPU")
    panel.scope.setCurrentText("This plane")
    panel.threshold.setValue(0.7)
    panel.min_size.setValue(25)
    panel.axes.choose(0, "T")
    assert heard == [
        ("image_requested", "a"),
        ("model_requested", "nuclei-unet"),
        ("device_requested", "cpu"),
        ("scope_requested", Scope.PLANE),
        ("threshold_requested", 0.7),
        ("min_size_requested", 25.0),
        ("axes_requested", "TYX"),
    ]


def test_channel_is_requested_by_number_and_hidden_without_channels(panel, heard):
    panel.set_channels([("Grey from colour", None), ("Red", 0), ("Green", 1)], None)
    assert panel.channel.isVisible()
    panel.channel.setCurrentText("Green")
    panel.channel.setCurrentText("Grey from colour")
    assert heard == [("channel_requested", 1), ("channel_requested", None)]
    panel.set_channels([], None)
    assert not panel.channel.isVisible()


def test_a_letter_taken_twice_is_swapped(panel, heard):
    panel.axes.choose(0, "X")
    assert heard == [("axes_requested", "XYZ")]


def test_menu_of_a_dimension_offers_every_axis(panel, qtbot):
    button = panel.axes.buttons[0]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    menus = [child for child in button.children() if hasattr(child, "actions")]
    assert [action.text()[0] for action in menus[0].actions()] == list("TCZYX")
    menus[0].close()


def test_size_can_be_given_in_pixels_and_micrometres(panel, heard):
    panel.set_pixel_size(0.5)
    panel.size._mode.setCurrentText("px")
    panel.size._number.setValue(30)
    panel.size._mode.setCurrentText("µm")
    assert panel.size._number.value() == 15
    panel.size._number.setValue(10)
    panel.size._mode.setCurrentText("Auto")
    values = [value for name, value in heard if name == "diameter_requested"]
    assert values == [20.0, 30.0, 30.0, 20.0, None]


def test_micrometres_are_offered_only_with_a_unit(panel):
    panel.set_pixel_size(0.5)
    assert panel.size._mode.findText("µm") >= 0
    panel.size._mode.setCurrentText("µm")
    panel.set_pixel_size(None)
    assert panel.size._mode.findText("µm") == -1
    assert panel.size._mode.currentText() == "px"


def test_advanced_form_requests_a_new_dataclass(panel, heard):
    panel.advanced.native("tile_px").setValue(128)
    panel.advanced.native("link_z").setChecked(False)
    assert heard[-1] == ("advanced_requested", Advanced(tile_px=128, link_z=False))


def test_views_are_chosen_by_words(panel, heard):
    views = panel.advanced.native("tta")
    assert [views.itemText(i) for i in range(views.count())][:2] == [
        "One",
        "4, mirrored",
    ]
    views.setCurrentIndex(1)
    assert heard[-1] == ("advanced_requested", Advanced(tta="flips"))
    panel.set_advanced(Advanced(tta="all"))
    assert views.currentText() == "8, mirrored and turned"


def test_advanced_is_folded_until_asked_for(panel, qtbot):
    tile = panel.advanced.native("tile_px")
    assert not tile.isVisible()
    qtbot.mouseClick(panel.fold.header, Qt.MouseButton.LeftButton)
    assert tile.isVisible()
    qtbot.mouseClick(panel.fold.header, Qt.MouseButton.LeftButton)
    assert not tile.isVisible()


def test_run_turns_into_cancel_and_back(panel, heard, qtbot):
    button = panel.footer.button
    assert button.text().startswith("Run")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    panel.set_status(JobState.RUNNING, 0.25, "Segmenting")
    assert button.text().startswith("Cancel")
    assert panel.footer.bar.value() == 250
    assert panel.footer.status.text() == "Segmenting"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    panel.set_status(JobState.CANCELLING, 0.25, "Stopping")
    assert not button.isEnabled()
    panel.set_status(JobState.CANCELLED, 0.0, "Cancelled")
    assert button.isEnabled()
    assert [name for name, *_ in heard] == ["run_requested", "cancel_requested"]


def test_bar_is_busy_while_nobody_knows_and_gone_when_idle(panel):
    panel.set_status(JobState.RUNNING, -1.0, "Loading")
    assert (panel.footer.bar.minimum(), panel.footer.bar.maximum()) == (0, 0)
    assert panel.footer.bar.isVisible()
    panel.set_status(JobState.DONE, 1.0, "Done")
    assert not panel.footer.bar.isVisible()


def test_a_long_message_is_shown_in_full(panel, qtbot):
    message = "The image has no finite pixel (found: NaN everywhere). " * 4
    panel.set_status(JobState.FAILED, 0.0, message)
    qtbot.wait(50)
    status = panel.footer.status
    assert status.height() >= status.heightForWidth(status.width())


def test_keys_are_on_the_buttons_and_work(panel, heard, qtbot):
    assert "Ctrl+Alt+R" in panel.footer.button.text()
    panel.activateWindow()
    qtbot.waitUntil(panel.isActiveWindow, timeout=2000)
    ctrl_alt = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    qtbot.keyClick(panel, Qt.Key.Key_R, ctrl_alt)
    panel.set_status(JobState.RUNNING, 0.0, "")
    qtbot.keyClick(panel, Qt.Key.Key_R, ctrl_alt)
    qtbot.keyClick(panel, Qt.Key.Key_X, ctrl_alt)
    panel.set_status(JobState.IDLE, 0.0, "")
    qtbot.keyClick(panel, Qt.Key.Key_E, ctrl_alt)
    names = [name for name, *_ in heard]
    assert names == ["run_requested", "cancel_requested", "estimate_requested"]


def test_a_problem_stands_beside_its_field_and_blocks_the_run(panel, heard, qtbot):
    panel.set_model_summary("Nuclei.")
    panel.set_problems({"model": "No model is installed."})
    assert panel.model.property("invalid") is True
    assert "⚠ No model is installed." in _notes(panel)
    assert not panel.footer.button.isEnabled()
    assert "No model is installed." in panel.footer.button.toolTip()
    assert not panel.size.estimate_button.isEnabled()
    panel.set_problems({})
    assert panel.model.property("invalid") is False
    assert "Nuclei." in _notes(panel)
    assert panel.footer.button.isEnabled()


def test_scrolling_over_an_editor_does_not_change_it(panel, heard):
    editors = [panel.model, panel.threshold, panel.advanced.native("tile_px")]
    for editor in editors:
        centre = QPointF(editor.rect().center())
        wheel = QWheelEvent(
            centre,
            QPointF(editor.mapToGlobal(editor.rect().center())),
            QPoint(0, -120),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(editor, wheel)
    assert heard == []


def test_hint_shows_only_while_no_image_is_open(panel):
    assert not panel.hint.isVisible()
    panel.set_images([], None)
    assert panel.hint.isVisible()
    assert not panel.axes.isVisible()


def test_every_setting_has_a_tooltip_with_its_docstring(panel):
    docs = field_docs(SegmentSettings)
    editors = {
        "axes": panel.axes,
        "model": panel.model,
        "device": panel.device,
        "diameter_px": panel.size,
        "scope": panel.scope,
        "threshold": panel.threshold,
        "min_size_px": panel.min_size,
        "channel": panel.channel,
    }
    for name, editor in editors.items():
        assert docs[name][:20] in editor.toolTip()
    for name, doc in field_docs(Advanced).items():
        assert doc[:20] in panel.advanced.native(name).toolTip()


def test_nothing_is_cut_off_at_320_pixels(panel, qtbot):
    panel.fold.set_open(True)
    panel.set_axes("TZCYX", (10, 20, 3, 16384, 9999), is_rgb=False)
    panel.set_images(["a name that goes on and on and on.ome.tif"] * 2, None)
    qtbot.wait(50)
    area = panel.grid.parentWidget()
    assert area.width() <= 320
    for child in panel.findChildren(QWidget):
        if child.isVisible() and child.window() is panel:
            right = child.mapTo(panel, child.rect().topRight()).x()
            assert right <= panel.width(), child
    for label in panel.findChildren(QLabel):
        if label.isVisible() and not label.wordWrap():
            needed = label.fontMetrics().horizontalAdvance(label.text())
            assert label.width() >= needed, label.text()


def _notes(panel):
    return [label.text() for label in panel.findChildren(QLabel) if label.isVisible()]
