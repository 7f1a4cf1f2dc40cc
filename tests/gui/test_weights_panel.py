"""The Weights panel as a plain widget, and in a real window."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files

import numpy as np
import pytest
import tifffile
from mouse import Mouse
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_seg.gui.own_layers import is_own
from napari_seg.gui.panels.weights import WeightsPanel
from napari_seg.gui.pump import JobPump
from napari_seg.gui.weights.controller import WeightsController
from napari_seg.state import Remembered
from napari_seg.training.targets import LOSS_WEIGHTS

SIGNALS = (
    "labels_requested",
    "shown_requested",
    "w0_requested",
    "sigma_requested",
    "unit_requested",
    "volume_requested",
    "balance_requested",
)


@pytest.fixture
def panel(qtbot):
    made = WeightsPanel()
    qtbot.addWidget(made)
    made.resize(320, 600)
    made.show()
    made.set_labels_layers(["a", "b"], "a")
    made.set_problem("")
    made.set_units(["px", "µm"], "px")
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
    panel.set_labels_layers(["x"], "x")
    panel.set_shown(True)
    panel.set_w0(20.0)
    panel.set_sigma(0.03, 0.005, 0.2)
    panel.set_units(["px"], "px")
    panel.set_volume(True, True)
    panel.set_balance(True)
    panel.set_legend(np.ones((256, 4)), 1.0, 12.0)
    panel.set_legend(None, 0.0, 1.0)
    panel.set_status("busy")
    panel.set_problem("wrong")
    assert heard == []


def test_choices_are_requested(panel, heard):
    panel.set_volume(False, True)
    panel.labels.setCurrentText("b")
    panel.w0.setValue(12.5)
    panel.sigma.setValue(3.5)
    panel.unit.setCurrentText("µm")
    panel.distances.setCurrentIndex(1)
    panel.balance.click()
    panel.shown.click()
    assert heard == [
        ("labels_requested", "b"),
        ("w0_requested", 12.5),
        ("sigma_requested", 3.5),
        ("unit_requested", "µm"),
        ("volume_requested", True),
        ("balance_requested", True),
        ("shown_requested", True),
    ]


def test_small_widths_in_micrometres_are_not_rounded_away(panel):
    panel.set_sigma(0.035, 0.005, 0.2)
    assert panel.sigma.value() == pytest.approx(0.035)


def test_the_legend_tells_the_values_of_its_colours(panel):
    assert not panel.legend.isVisible()
    panel.set_legend(np.linspace(0, 1, 1024).reshape(256, 4), 1.0, 12.0)
    assert panel.legend.isVisible()
    assert panel.legend.values == ["1.0", "4.7", "8.3", "12.0"]


def test_planes_are_offered_only_where_there_are_some(panel):
    assert not panel.distances.isVisible()
    panel.set_volume(True, True)
    assert panel.distances.isVisible()
    assert panel.distances.currentText() == "In three dimensions"


def test_a_problem_is_shown_and_blocks_the_button(panel, heard):
    panel.set_problem("Open labels first.")
    assert not panel.shown.isEnabled()
    panel.shown.click()
    assert heard == []


@pytest.mark.parametrize("name", ["labels", "w0", "sigma", "distances", "balance"])
def test_every_editor_has_a_tooltip(panel, name):
    widget = getattr(panel, name)
    assert widget.toolTip() or widget.parentWidget().toolTip()


@pytest.mark.gui
def test_a_stroke_and_a_slider_reach_the_screen(make_napari_viewer, tmp_path, qtbot):
    viewer = make_napari_viewer(show=True)
    with as_file(files("napari_seg.resources") / "samples/nuclei_labels.tif") as path:
        data = tifffile.imread(path).astype(np.int32)
    labels = viewer.add_labels(data.copy(), name="nuclei")
    panel = WeightsPanel()
    pump = JobPump(panel)
    remembered = Remembered(tmp_path / "settings.json")
    controller = WeightsController(viewer, panel, pump.jobs, remembered)
    viewer.window.add_dock_widget(panel, name="Weights")

    def is_right():
        view = controller.view
        params = replace(LOSS_WEIGHTS, w0=panel.w0.value(), sigma=panel.sigma.value())
        expected = params.weigh(labels.data)
        return np.abs(view.overlay.weights - expected).max() < 1e-3

    def picture():
        return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)

    panel.shown.click()
    qtbot.waitUntil(is_right, timeout=10_000)
    qtbot.wait(500)  # the window finds its size
    lit = picture()
    (overlay,) = [x for x in viewer.layers if is_own(x)]
    overlay.visible = False
    bare = picture()
    overlay.visible = True
    assert (lit - bare).max() > 100  # it adds light
    assert (lit - bare).min() > -10

    groove = panel.w0._slider
    there = QPoint(groove.width() // 2, groove.height() // 2)
    QTest.mouseClick(groove, Qt.MouseButton.LeftButton, pos=there)
    assert panel.w0.value() == pytest.approx(25, abs=1)
    qtbot.waitUntil(is_right, timeout=10_000)

    labels.mode = "paint"
    labels.selected_label = int(data.max()) + 1
    labels.brush_size = 20
    viewer.layers.selection.active = labels
    empty = np.argwhere(data[60:-60, 60:-60] == 0)[5000] + 60
    before = picture()
    mouse = Mouse(viewer, labels)
    mouse.drag([empty, empty + np.array([0, 20]), empty + np.array([15, 30])])
    qtbot.wait(50)
    assert (labels.data != data).sum() > 300
    qtbot.waitUntil(is_right, timeout=10_000)
    assert (picture() != before).any()

    bar = viewer.window._status_bar
    viewer.mouse_over_canvas = True
    QTest.mouseMove(mouse._canvas.native, mouse.at(empty))
    qtbot.wait(100)
    viewer.update_status_from_cursor()  # napari's thread for it rests in tests
    value = controller.view.overlay.weights[tuple(empty)]
    told = f"weight {value:.2f}"
    assert told in bar._coordinates.text()

    labels.undo()
    qtbot.waitUntil(is_right, timeout=10_000)
    assert np.array_equal(labels.data, data)
    panel.shown.click()
    assert not [x for x in viewer.layers if is_own(x)]
    controller.close()
