"""The Correct panel as a plain widget: both directions, and its keys."""

from __future__ import annotations

import pytest
from mouse import press_key
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QLineEdit,
    QMainWindow,
    QPushButton,
    QTabWidget,
    QWidget,
)

from napari_seg.gui import shortcuts
from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.panels.correct import CorrectPanel
from napari_seg.gui.panels.keys import KeyButton, native_key

SIGNALS = [
    "tool_requested",
    "new_object_requested",
    "commit_requested",
    "cancel_requested",
    "undo_requested",
    "redo_requested",
    "fill_requested",
    "smooth_requested",
    "largest_requested",
    "delete_requested",
    "lock_requested",
    "next_free_id_requested",
    "propagate_requested",
    "range_requested",
    "interpolate_requested",
    "image_requested",
    "labels_requested",
    "brush_requested",
    "sign_requested",
    "overwrite_requested",
    "volume_requested",
    "stop_requested",
    "new_labels_requested",
]
LONG = "20240311_plate7_wellC03_DAPI_a_very_long_name_of_a_file_0001"


@pytest.fixture
def window(qtbot) -> QTabWidget:
    """Return a window with the panel on its second tab, a text field beside it."""
    holder = QWidget()
    tabs = QTabWidget(holder)
    tabs.addTab(QWidget(), "Segment")
    panel = CorrectPanel()
    tabs.addTab(panel, "Correct")
    tabs.setCurrentIndex(1)
    tabs.resize(320, 850)
    holder.tabs, holder.panel = tabs, panel
    holder.text = QLineEdit(holder)
    holder.text.move(340, 10)
    holder.resize(600, 900)
    qtbot.addWidget(holder)
    holder.show()
    panel.set_labels_layers(["cells", LONG], "cells")
    panel.set_images(["raw"], "raw")
    panel.set_object(7, is_locked=False, is_new=False, colour=(1, 0, 0))
    panel.set_mode(is_volume=False, has_planes=True, axis="z")
    panel.set_range(0, 9, 9)
    panel.set_history(can_undo=True, can_redo=True)
    panel.set_problem("")
    holder.activateWindow()
    QApplication.setActiveWindow(holder)
    qtbot.waitUntil(holder.isActiveWindow)
    return holder


@pytest.fixture
def panel(window) -> CorrectPanel:
    return window.panel


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
    panel.set_labels_layers(["x"], "x")
    panel.set_images(["y", "z"], "z")
    panel.set_tool(Tool.SPLIT)
    panel.set_tool(None)
    panel.set_object(3, is_locked=True, is_new=False)
    panel.set_object(None, is_locked=False, is_new=False)
    panel.set_sign(False)
    panel.set_brush(7.5)
    panel.set_brush(200)
    panel.set_overwrite(True)
    panel.set_mode(is_volume=True, has_planes=True, axis="t")
    panel.set_range(2, 5, 40)
    panel.set_pending(True)
    panel.set_history(can_undo=False, can_redo=False)
    panel.set_problem("no")
    panel.set_status("hello")
    panel.set_busy(0.5, "half")
    panel.set_busy(None, "")
    assert heard == []
    assert panel.brush.value() == 200
    assert (panel.planes.first.value(), panel.planes.last.value()) == (2, 5)


def test_choices_are_requested(panel, heard):
    panel.labels.setCurrentText(LONG)
    panel.brush.setValue(4.5)
    panel.sign.buttons[False].click()
    panel.mode.buttons[True].click()
    panel.overwrite.click()
    assert heard == [
        ("labels_requested", LONG),
        ("brush_requested", 4.5),
        ("sign_requested", False),
        ("volume_requested", True),
        ("overwrite_requested", True),
    ]


KEYS = {
    shortcuts.OBJECT: ("tool_requested", Tool.OBJECT),
    shortcuts.SPLIT: ("tool_requested", Tool.SPLIT),
    shortcuts.MERGE: ("tool_requested", Tool.MERGE),
    shortcuts.DELETE: ("tool_requested", Tool.DELETE),
    shortcuts.LOCK: ("tool_requested", Tool.LOCK),
    shortcuts.PICK: ("tool_requested", Tool.PICK),
    shortcuts.SIGN: ("sign_requested", False),
    shortcuts.VOLUME: ("volume_requested", True),
    shortcuts.COMMIT: ("commit_requested",),
    shortcuts.DISCARD: ("cancel_requested",),
    shortcuts.NEW_LABELS: ("new_labels_requested",),
    shortcuts.NEW: ("new_object_requested",),
    shortcuts.FREE_ID: ("next_free_id_requested",),
    shortcuts.FILL: ("fill_requested",),
    shortcuts.SMOOTH: ("smooth_requested",),
    shortcuts.LARGEST: ("largest_requested",),
    shortcuts.LOCK_SELECTED: ("lock_requested",),
    shortcuts.DELETE_SELECTED: ("delete_requested",),
    shortcuts.PREVIOUS: ("propagate_requested", "previous"),
    shortcuts.NEXT: ("propagate_requested", "next"),
    shortcuts.THROUGH: ("propagate_requested", "through"),
    shortcuts.RANGE: ("range_requested", 0, 9),
    shortcuts.INTERPOLATE: ("interpolate_requested",),
}


REVIEW_KEYS = {
    shortcuts.DOUBT: ("step_requested", 1),
    shortcuts.DOUBT_BACK: ("step_requested", -1),
    shortcuts.ACCEPT: ("accept_requested",),
    shortcuts.DOUBT_PLANE: ("plane_requested",),
    shortcuts.DOUBT_IMAGE: ("image_requested",),
    shortcuts.RANK: ("rank_requested",),
}
"""Those of the strip *Next to correct*, which is there when doubt can be measured."""


def test_every_key_of_the_strip_does_what_it_is_for(window, panel):
    heard = []
    for name in {request[0] for request in REVIEW_KEYS.values()}:
        getattr(panel.review, name).connect(
            lambda *value, name=name: heard.append((name, *value))
        )
    for shortcut in REVIEW_KEYS:
        press_key(window, shortcut.key)
    assert heard == []
    panel.review.set_offers(can_rank=True, has_planes=True, has_images=True)
    for shortcut in REVIEW_KEYS:
        press_key(window, shortcut.key)
    assert heard == list(REVIEW_KEYS.values())


def test_the_strip_takes_no_room_without_anything_to_offer(window, panel):
    strip = panel.review
    assert strip.isHidden()
    strip.set_note("Stopped: the labels were removed (ids).")
    assert strip.isVisible()
    assert not strip.next.isVisible()
    strip.set_note("")
    assert strip.isHidden()
    strip.set_offers(can_rank=True, has_planes=False, has_images=False)
    assert strip.next.isVisible()
    assert not strip.plane.isVisible()


def test_measures_are_requested_when_they_are_chosen(panel):
    heard = []
    panel.review.measure_requested.connect(heard.append)
    panel.review.set_measures(
        [("Entropy", "entropy"), ("Mirrored", "mirror")], "mirror"
    )
    assert panel.review.measure.currentData() == "mirror"
    assert heard == []
    panel.review.measure.setCurrentIndex(0)
    panel.review.measure.activated.emit(0)
    assert heard == ["entropy"]


def test_films_are_linked_by_key_once_that_is_unfolded(window, panel):
    heard = []
    panel.track.link_requested.connect(lambda: heard.append("link"))
    panel.track.stop_requested.connect(lambda: heard.append("stop"))
    press_key(window, shortcuts.LINK.key)
    assert heard == []
    panel.track_fold.set_open(True)
    press_key(window, shortcuts.LINK.key)
    panel.track.set_progress(0.1)
    for shortcut in (shortcuts.LINK, shortcuts.STOP_LINK):
        press_key(window, shortcut.key)
    assert heard == ["link", "stop"]


def test_every_key_of_the_panel_does_what_it_is_for(window, panel, heard):
    recovery = {shortcuts.RECOVER, shortcuts.FORGET}
    links = {shortcuts.LINK, shortcuts.STOP_LINK}
    assert {*KEYS, *REVIEW_KEYS, *recovery, *links} == set(shortcuts.CORRECTION)
    panel.set_pending(True)
    for shortcut in KEYS:
        press_key(window, shortcut.key)
    assert heard == list(KEYS.values())


def test_keys_are_dead_on_the_other_tab(window, heard):
    window.panel.set_pending(True)
    window.tabs.setCurrentIndex(0)
    for shortcut in KEYS:
        press_key(window, shortcut.key)
    assert heard == []


def test_typing_in_a_text_field_triggers_nothing(window, panel, heard):
    panel.set_pending(True)
    window.text.setFocus()
    for shortcut in KEYS:
        if len(shortcut.key) == 1 or shortcut.key.startswith("Shift+"):
            press_key(window.text, shortcut.key)
    assert heard == []
    assert len(window.text.text()) > 15


def test_enter_in_the_range_takes_the_number_and_not_the_preview(panel, heard, qtbot):
    panel.set_pending(True)
    editor = panel.planes.last
    editor.setFocus()
    editor.selectAll()
    QTest.keyClicks(editor, "4")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    assert editor.value() == 4
    assert heard == []


def test_enter_and_escape_are_left_alone_while_nothing_waits(window, panel, heard):
    pressed = []
    window.keyPressEvent = lambda event: pressed.append(event.key())
    window.setFocus()
    press_key(window, "Enter")
    press_key(window, "Esc")
    assert heard == []
    assert pressed == [Qt.Key.Key_Return, Qt.Key.Key_Escape]
    panel.set_pending(True)
    press_key(window, "Enter")
    QTest.keyClick(window, Qt.Key.Key_Enter, Qt.KeyboardModifier.KeypadModifier)
    assert heard == [("commit_requested",), ("commit_requested",)]
    assert len(pressed) == 2


def test_escape_stops_what_runs(window, panel, heard):
    panel.set_pending(True)
    panel.set_busy(0.3, "Plane 3 of 9")
    assert panel.footer.stop.isVisible()
    assert not panel.footer.commit.isVisible()
    press_key(window, "Esc")
    press_key(window, "Enter")
    assert heard == [("stop_requested",)]
    assert panel.footer.bar.value() == 300
    assert panel.footer.status.text() == "Plane 3 of 9"
    panel.set_busy(-1, "")
    assert panel.footer.bar.maximum() == 0
    panel.set_busy(None, "")
    assert panel.footer.commit.isVisible()


def test_a_held_key_is_one_press(panel):
    assert panel.object.delete._keys
    assert not any(key.autoRepeat() for key in panel.object.delete._keys)


def test_keep_stands_out_only_while_something_waits(panel):
    assert not panel.footer.commit.isEnabled()
    panel.set_pending(True)
    assert panel.footer.commit.isEnabled()
    assert panel.footer.commit.isChecked()
    panel.footer.commit.click()
    assert panel.footer.commit.isChecked()
    panel.set_pending(False)
    assert not panel.footer.commit.isChecked()
    assert not panel.footer.discard.isEnabled()


def test_the_chosen_tool_is_down_and_explained(panel, heard):
    panel.tools.buttons[Tool.SPLIT].click()
    # Which tool is on is the controller's to say.
    assert not panel.tools.buttons[Tool.SPLIT].isChecked()
    assert heard == [("tool_requested", Tool.SPLIT)]
    texts = set()
    for tool in (*Tool, None):
        panel.set_tool(tool)
        down = [t for t, b in panel.tools.buttons.items() if b.isChecked()]
        assert down == ([] if tool is None else [tool])
        texts.add(panel.tools.help.text())
    assert len(texts) == len(Tool) + 1


def test_a_locked_or_new_object_is_offered_only_what_can_be_done(panel):
    box = panel.object
    edits = (box.fill, box.smooth, box.largest, box.delete)
    assert box.name.text() == "Object 7"
    assert all(button.isEnabled() for button in (*edits, box.lock))
    assert box.swatch.colour.redF() == 1
    panel.set_object(7, is_locked=True, is_new=False)
    assert box.name.text() == "Object 7, locked"
    assert box.lock.text().startswith("Unlock")
    assert not any(button.isEnabled() for button in edits)
    panel.set_object(8, is_locked=False, is_new=True)
    assert not any(button.isEnabled() for button in (*edits, box.lock))
    panel.set_object(None, is_locked=False, is_new=False)
    assert box.name.text() == "None yet"
    assert not box.swatch.colour.isValid()


@pytest.mark.parametrize(("axis", "word"), [("z", "Plane"), ("t", "Frame")])
def test_it_speaks_of_planes_or_frames(panel, axis, word):
    panel.set_mode(is_volume=False, has_planes=axis == "z", axis=axis)
    assert word in panel.planes.next.text()
    assert word in panel.planes.previous.text()
    assert word.lower() in panel.planes.first.toolTip()
    assert panel.mode.isVisible() is (axis == "z")


def test_a_plain_image_has_no_planes_and_no_keys_for_them(window, panel, heard):
    panel.set_mode(is_volume=False, has_planes=False, axis="")
    assert not panel.planes.isVisible()
    for key in ("Q", "W", "Shift+W", "R", "Shift+I", "Shift+M"):
        press_key(window, key)
    assert heard == []


def test_a_problem_is_said_and_takes_the_keys_away(window, panel, heard):
    panel.set_problem("The labels are of another shape.")
    assert "another shape" in panel.problem.text()
    assert panel.problem.isVisible()
    assert not panel.hint.isVisible()
    press_key(window, "A")
    press_key(window, "H")
    assert heard == []
    panel.set_labels_layers([], None)
    panel.set_problem("No labels.")
    assert panel.hint.isVisible()
    panel.set_labels_layers(["cells"], "cells")
    panel.set_problem("")
    press_key(window, "A")
    assert heard == [("tool_requested", Tool.OBJECT)]


def test_every_button_shows_its_key(panel):
    key_texts = [native_key(s) for s in (*shortcuts.ALL, *shortcuts.NAPARI)]
    for two in (panel.sign, panel.mode):
        shown = [button.text() for button in two.buttons.values()]
        assert any(text.endswith(two._key) for text in shown)
    others = [b for t in (panel.sign, panel.mode) for b in t.buttons.values()]
    for button in panel.findChildren(QPushButton):
        if button not in others:
            assert isinstance(button, KeyButton)
            assert any(button.text().endswith(f"   {key}") for key in key_texts)


@pytest.mark.parametrize("axis", ["z", "t"])
def test_no_text_is_cut_off_at_the_width_of_the_dock(panel, axis):
    panel.set_mode(is_volume=False, has_planes=True, axis=axis)
    panel.set_object(2**31 - 1, is_locked=True, is_new=False)
    panel.set_labels_layers([LONG], LONG)
    QApplication.processEvents()
    content = panel.work.parentWidget()
    assert content.width() <= panel.width()
    assert content.minimumSizeHint().width() <= panel.width()
    for button in panel.findChildren(QPushButton):
        if button.isVisible():
            width = button.fontMetrics().horizontalAdvance(button.text())
            assert width <= button.width(), button.text()


def test_keys_work_on_the_canvas_also_while_the_dock_floats(qtbot):
    main, dock, panel = QMainWindow(), QDockWidget(), CorrectPanel()
    canvas = QWidget()
    main.setCentralWidget(canvas)
    dock.setWidget(panel)
    main.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    qtbot.addWidget(main)
    main.show()
    tools = []
    panel.tool_requested.connect(tools.append)
    for is_floating in (False, True, False):
        dock.setFloating(is_floating)
        QApplication.processEvents()
        main.activateWindow()
        QApplication.setActiveWindow(main)
        qtbot.waitUntil(main.isActiveWindow)
        press_key(canvas, "S")
    assert tools == [Tool.SPLIT] * 3
    dock.setFloating(True)
    dock.hide()
    press_key(canvas, "S")
    assert len(tools) == 3


@pytest.mark.gui
def test_nothing_is_cut_off_in_napari_where_the_panel_must_scroll(
    make_napari_viewer, qtbot
):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1000, 500)
    panel = CorrectPanel()
    panel.setMinimumWidth(320)
    viewer.window.add_dock_widget(panel)
    panel.set_labels_layers([LONG], LONG)
    panel.set_object(2**31 - 1, is_locked=True, is_new=False)
    panel.set_range(0, 9999, 9999)
    for axis in ("z", "t"):
        panel.set_mode(is_volume=False, has_planes=True, axis=axis)
        qtbot.wait(50)
        content = panel.work.parentWidget()
        seen = content.parentWidget()
        assert content.height() > seen.height()
        assert content.width() <= seen.width()
        for button in panel.findChildren(KeyButton):
            if button.isVisible():
                width = button.fontMetrics().horizontalAdvance(button.text())
                assert width <= button.width(), button.text()
