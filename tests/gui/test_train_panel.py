"""The Train panel as a plain widget: both directions, its keys and its pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel
from train_fakes import SIGNALS

from napari_seg.gui import shortcuts
from napari_seg.gui.panels.curve_plot import CurvePlot, LossAxis, step_ticks
from napari_seg.gui.panels.keys import native_key
from napari_seg.gui.panels.train import TrainPanel
from napari_seg.gui.training.curve import MOST_POINTS, LossCurve
from napari_seg.gui.training.data import Row
from napari_seg.gui.training.picture import BOTH, PREDICTION, TRUTH, draw
from napari_seg.gui.training.settings import Counts, TrainAdvanced, TrainState
from napari_seg.training.progress import Picture

LONG = "20240311_plate7_wellC03_DAPI_a_very_long_name_of_a_file_0001"
ROWS = [
    Row("ids", "ids", "", choices=(Counts.ALL, Counts.OBJECTS), note="1 image"),
    Row("far", "far", "", is_used=False, problem="The labels lie beside the image"),
    Row("folder:/x", LONG, "/x", is_folder=True),
]


@pytest.fixture
def panel(qtbot):
    made = TrainPanel()
    qtbot.addWidget(made)
    made.resize(320, 900)
    made.show()
    made.set_rows(ROWS)
    made.set_starts([("nuclei-unet", "nuclei-unet"), ("Scratch", "")], "nuclei-unet")
    made.set_name("new")
    made.set_problems({})
    made.activateWindow()
    QApplication.setActiveWindow(made)
    qtbot.waitUntil(made.isActiveWindow)
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


def picture(side: int = 48) -> Picture:
    truth = np.zeros((side, side), np.int32)
    truth[8:24, 8:24] = 1
    truth[-6:] = -1
    image = np.random.default_rng(0).random((1, side, side)).astype(np.float32)
    return Picture("cells", image, np.roll(truth.clip(0), 4, axis=1), truth)


def curve(steps: int) -> LossCurve:
    made = LossCurve()
    for step in range(1, steps + 1):
        made.add(step, 1 / step, 0.5 if step % 10 == 0 else None)
    return made


def test_setters_emit_no_requests(panel, heard):
    panel.set_rows([replace(ROWS[0], is_used=False, counts=Counts.OBJECTS)])
    panel.set_starts([("a", "a")], "a")
    panel.set_name("other")
    panel.set_preset("thorough")
    panel.set_preset_note("CPU")
    panel.set_start_note("nuclei")
    panel.set_advanced(TrainAdvanced(batch=9))
    panel.set_plane("z 3 is correct", True)
    panel.set_problems({"name": "taken"})
    panel.set_unfinished("cells: step 3")
    panel.set_status(TrainState.RUNNING, 0.5, "Step 5")
    panel.set_curve(curve(30))
    panel.set_drawn(draw(picture(), 3))
    panel.set_card("new", [("AP", "0.9")])
    assert heard == []


def test_edits_of_the_rows_are_requests(panel, heard):
    row = panel.data.rows["ids"]
    row.tick.click()
    row.counts.setCurrentIndex(1)
    panel.data.rows["folder:/x"].remove.click()
    assert heard == [
        ("used_requested", "ids", False),
        ("counts_requested", "ids", Counts.OBJECTS),
        ("remove_requested", "folder:/x"),
    ]


def test_a_row_that_cannot_be_used_says_why_and_cannot_be_ticked(panel):
    row = panel.data.rows["far"]
    assert not row.tick.isEnabled()
    assert "beside the image" in row.note.text()
    assert row.note.isVisible()
    assert not row.counts.isVisible()


def test_rows_stay_the_same_widgets_while_their_layer_stays(panel):
    before = panel.data.rows["ids"]
    panel.set_rows([ROWS[2], replace(ROWS[0], note="2 images")])
    assert panel.data.rows["ids"] is before
    assert before.note.text() == "2 images"
    assert set(panel.data.rows) == {"ids", "folder:/x"}
    QApplication.processEvents()
    assert before.y() > panel.data.rows["folder:/x"].y()
    panel.set_rows([])
    assert panel.hint.isVisible()


def test_choices_are_requests(panel, heard):
    panel.start_from.setCurrentIndex(1)
    panel.preset.setCurrentIndex(2)
    panel.name.setText("mine")
    QTest.keyClick(panel.name, Qt.Key.Key_Return)
    panel.advanced.native("batch").setValue(7)
    assert heard[:3] == [
        ("start_from_requested", ""),
        ("preset_requested", "gpu"),
        ("name_requested", "mine"),
    ]
    name, value = heard[3]
    assert (name, value.batch) == ("advanced_requested", 7)


def test_start_is_blocked_with_the_reason(panel, heard):
    panel.set_problems({"name": "There is a model of this name already."})
    assert not panel.footer.start.isEnabled()
    assert "of this name" in panel.footer.start.toolTip()
    panel.footer.start.click()
    assert heard == []
    panel.set_problems({})
    panel.footer.start.click()
    assert heard == [("start_requested",)]


def test_pause_and_stop_take_the_place_of_start(panel, heard):
    footer = panel.footer
    assert not footer.stop.isEnabled()
    panel.set_status(TrainState.RUNNING, 0.25, "Step 5")
    assert footer.pause.isVisible()
    assert not footer.start.isVisible()
    assert footer.bar.value() == 250
    footer.pause.click()
    panel.set_status(TrainState.PAUSED, 0.25, "Paused")
    assert footer.pause.text().startswith("Resume")
    footer.stop.click()
    panel.set_status(TrainState.STOPPING, 0.25, "Stopping")
    assert footer.stop.text().startswith("Stop now")
    assert not footer.pause.isEnabled()
    panel.set_status(TrainState.ENDING, 0.25, "Stopping")
    assert not footer.stop.isEnabled()
    panel.set_status(TrainState.DONE, 0.0, "Ready")
    assert footer.start.isVisible()
    assert heard == [("pause_requested",), ("stop_requested",)]


@pytest.mark.parametrize(
    ("shortcut", "state", "signal"),
    [
        (shortcuts.TRAIN, TrainState.IDLE, "start_requested"),
        (shortcuts.PAUSE, TrainState.RUNNING, "pause_requested"),
        (shortcuts.STOP, TrainState.PAUSED, "stop_requested"),
        (shortcuts.MARK_PLANE, TrainState.IDLE, "mark_plane_requested"),
    ],
)
def test_keys_do_what_the_buttons_say(panel, heard, qtbot, shortcut, state, signal):
    panel.set_status(state, 0.0, "")
    panel.set_plane("z 1 is correct", False)
    letter = getattr(Qt.Key, f"Key_{shortcut.key[-1]}")
    held = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    QTest.keyClick(panel, letter, held)
    assert heard == [(signal,)]


def test_buttons_show_their_keys(panel):
    footer = panel.footer
    assert native_key(shortcuts.TRAIN) in footer.start.text()
    assert native_key(shortcuts.PAUSE) in footer.pause.text()
    assert native_key(shortcuts.STOP) in footer.stop.text()
    assert native_key(shortcuts.MARK_PLANE) in panel.plane.toolTip()


def test_an_unfinished_training_is_offered(panel, heard):
    assert not panel.offer.isVisible()
    panel.set_unfinished("cells 2026-01-01: step 120")
    assert panel.offer.isVisible()
    panel.resume.click()
    panel.discard.click()
    assert heard == [("resume_requested",), ("discard_requested",)]


def test_progress_and_card_come_when_there_is_something_to_see(panel, heard):
    assert not panel.progress.isVisible()
    assert not panel.result.isVisible()
    panel.set_status(TrainState.RUNNING, -1.0, "Reading")
    panel.set_curve(curve(3))
    panel.set_drawn(draw(picture(), 3))
    assert panel.plot.isVisible()
    assert panel.picture.canvas.height() > 100
    panel.picture.canvas.mouseReleaseEvent(None)
    assert heard == [("picture_requested",)]
    panel.set_card("new", [("AP", "0.900")])
    assert "AP: 0.900" in panel.card.text()
    panel.set_status(TrainState.DONE, 0.0, "Ready")
    assert panel.plot.isVisible()


def test_nothing_is_wider_than_a_narrow_dock(panel):
    panel.set_unfinished(LONG)
    panel.set_status(TrainState.RUNNING, -1.0, "Reading")
    panel.set_curve(curve(3))
    panel.set_drawn(draw(picture(300), 3))
    panel.set_card(LONG, [("Trained on", "x " * 100)])
    panel.fold.set_open(True)
    QApplication.processEvents()
    content = panel.area.widget()
    assert content.minimumSizeHint().width() <= panel.area.viewport().width()
    for label in panel.findChildren(QLabel):
        if label.isVisible():
            right = label.mapTo(panel, QPoint(label.width(), 0)).x()
            assert right <= panel.width()


@pytest.mark.parametrize("ground", ["#262930", "#f5f2f2"])
def test_the_curve_is_seen_on_any_ground(qtbot, ground):
    plot = CurvePlot()
    qtbot.addWidget(plot)
    palette = QPalette(plot.palette())
    palette.setColor(QPalette.ColorRole.Window, QColor(ground))
    plot.setPalette(palette)
    plot.setAutoFillBackground(True)
    plot.resize(280, 170)
    empty = np.array(plot.grab().toImage().constBits().asarray(280 * 170 * 4))
    plot.set_curve(curve(100))
    full = np.array(plot.grab().toImage().constBits().asarray(280 * 170 * 4))
    changed = (empty != full).reshape(170, 280, 4).any(-1)
    # The loss falls from the upper left to the lower right, and so do its pixels.
    assert changed[25:60, 38:90].any()
    assert changed[110:150, 200:250].any()


def test_loss_ticks_are_round_and_inside_the_axis():
    axis = LossAxis([0.03, 0.1, 2.5])
    assert axis.ticks() == [0.1, 1]
    assert LossAxis([0.21, 0.23]).ticks() == [0.2, 0.25, 0.3]
    assert 0 < axis.share(0.03) < axis.share(2.5) < 1


@given(st.floats(1e-5, 1e3), st.floats(1, 1e4))
@settings(deadline=None)
def test_every_loss_axis_has_two_to_five_ticks(low, ratio):
    axis = LossAxis([low, low * ratio])
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 5
    assert all(-1e-6 <= axis.share(tick) <= 1 + 1e-6 for tick in ticks)


@given(st.integers(1, 10**7))
def test_step_ticks_are_few_and_never_beyond_the_end(last):
    ticks = step_ticks(last)
    assert ticks[0] == 0
    assert 2 <= len(ticks) <= 5
    assert ticks[-1] <= last


def test_a_long_curve_is_thinned_out_and_keeps_its_shape():
    made = curve(10_000)
    assert len(made.steps) < MOST_POINTS
    assert made.steps == sorted(made.steps)
    middle = len(made.steps) // 2
    assert made.losses[middle] == pytest.approx(1 / made.steps[middle], rel=0.1)
    assert len(made.scores) == 1000
    assert made.best() == (10, 0.5)


def test_steps_that_are_done_again_take_the_place_of_the_old():
    made = curve(20)
    made.add(11, 5.0)
    assert made.steps[-1] == 11
    assert made.losses[-1] == pytest.approx(5.0)
    assert made.scores == [(10, 0.5)]


def test_smoothing_keeps_a_constant_and_ignores_what_is_not_finite():
    made = LossCurve()
    for step in range(1, 50):
        made.add(step, 0.25)
    made.add(50, float("nan"))
    assert made.smooth() == pytest.approx([0.25] * 49)


def test_the_picture_has_both_outlines_in_their_colours():
    drawn = draw(picture(), 7)
    colours = {tuple(c) for c in drawn.rgb.reshape(-1, 3).tolist()}
    assert {TRUTH, PREDICTION, BOTH} <= colours
    assert drawn.rgb.shape == (144, 144, 3)  # three screen pixels to each
    assert draw(picture(600), 1).rgb.shape == (200, 200, 3)
    # Row 9 (27 on screen): truth begins at column 8, the prediction at 12.
    assert tuple(drawn.rgb[40, 24]) == TRUTH
    assert tuple(drawn.rgb[40, 36]) == PREDICTION
    # What nobody has looked at is dark.
    assert drawn.rgb[-15:].max() < 0.6 * drawn.rgb[80:120, 90:].max()
