"""A few tests with a real viewer: what only a window can show."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from fakes import FakeEngine
from napari.layers import Labels

from napari_seg.gui.layers import take_source
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import JobState, Remembered, Scope

pytestmark = pytest.mark.gui


class Window:
    """A viewer with the widget docked and an image open."""

    def __init__(self, viewer, folder, *, is_stepwise=True):
        self.viewer = viewer
        self.engine = FakeEngine(is_stepwise=is_stepwise)
        self.widget = SegmentationWidget(
            viewer, self.engine, Remembered(folder / "settings.json")
        )
        viewer.window.add_dock_widget(self.widget, name="napari-seg")
        self.panel = self.widget.segment_panel
        data = np.random.default_rng(0).integers(0, 255, (128, 128)).astype(np.uint8)
        self.image = viewer.add_image(
            data, name="cells", scale=(0.5, 0.5), translate=(3, 4), units=("um", "um")
        )

    @property
    def state(self):
        return self.widget.controller.status.state

    @property
    def labels(self):
        return [x for x in self.viewer.layers if isinstance(x, Labels)]

    def click(self):
        self.panel.footer.button.click()


@pytest.fixture
def make_window(make_napari_viewer, tmp_path) -> Callable[..., Window]:
    windows: list[Window] = []

    def make(**kwargs) -> Window:
        windows.append(Window(make_napari_viewer(), tmp_path, **kwargs))
        return windows[-1]

    yield make
    for window in windows:
        window.engine.step(1000)


def test_run_shows_labels_with_the_place_and_units_of_the_image(make_window, qtbot):
    window = make_window(is_stepwise=False)
    with qtbot.waitSignal(window.widget.run_ended, timeout=10_000) as ended:
        window.click()
    assert ended.args == [JobState.DONE]
    (labels,) = window.labels
    assert labels.visible
    assert labels.data.max() == 16
    assert np.allclose(labels.scale, window.image.scale)
    assert np.allclose(labels.translate, window.image.translate)
    assert labels.units == window.image.units
    assert "16 objects" in window.panel.footer.status.text()


def test_cancel_in_mid_run_keeps_the_finished_tiles(make_window, qtbot):
    window = make_window()
    window.click()
    window.engine.step(3)
    qtbot.waitUntil(lambda: bool(window.labels), timeout=10_000)
    qtbot.waitUntil(lambda: window.labels[0].data.max() == 3, timeout=10_000)
    assert window.panel.footer.button.text().startswith("Cancel")
    assert 0 < window.panel.footer.bar.value() < 1000
    window.click()
    window.engine.step(1)
    qtbot.waitUntil(lambda: window.state is JobState.CANCELLED, timeout=10_000)
    assert window.labels[0].visible
    assert 3 <= window.labels[0].data.max() <= 4
    assert window.panel.footer.button.text().startswith("Run")


def test_removing_the_image_in_mid_run_is_survived(make_window, qtbot):
    window = make_window()
    window.click()
    window.engine.step(2)
    qtbot.waitUntil(lambda: bool(window.labels), timeout=10_000)
    window.viewer.layers.remove(window.image)
    window.engine.step(100)
    assert window.engine.is_closed.wait(10)
    qtbot.wait(150)
    assert "image was removed" in window.panel.footer.status.text()
    assert window.labels[0].data.max() <= 2
    assert window.panel.hint.isVisibleTo(window.panel)


def test_two_viewers_are_two_sessions(make_window, qtbot):
    one, two = make_window(), make_window(is_stepwise=False)
    one.panel.threshold.setValue(0.8)
    one.click()
    with qtbot.waitSignal(two.widget.run_ended, timeout=10_000):
        two.click()
    assert one.state is JobState.RUNNING
    assert (len(one.labels), len(two.labels)) == (0, 1)
    assert two.widget.controller.settings.threshold == 0.5
    one.engine.step(100)
    qtbot.waitUntil(lambda: one.state is JobState.DONE, timeout=10_000)


def test_closing_the_viewer_stops_the_job(make_window, qtbot):
    window = make_window()
    window.click()
    window.engine.step(1)
    qtbot.waitUntil(lambda: bool(window.labels), timeout=10_000)
    window.engine.step(1)
    window.viewer.close()
    qtbot.waitUntil(window.engine.is_closed.is_set, timeout=10_000)
    assert window.engine.is_closed.is_set()


def test_closing_the_dock_cancels_the_job(make_window, qtbot):
    window = make_window()
    window.click()
    window.engine.step(1)
    qtbot.waitUntil(lambda: bool(window.labels), timeout=10_000)
    window.viewer.window.remove_dock_widget(window.widget)
    window.engine.step(1)
    assert window.engine.is_closed.wait(10)
    window.widget.deleteLater()


def test_labels_reach_the_canvas(make_napari_viewer, tmp_path, qtbot):
    viewer = make_napari_viewer(show=True)
    window = Window(viewer, tmp_path, is_stepwise=False)
    before = viewer.screenshot(canvas_only=True, flash=False)
    with qtbot.waitSignal(window.widget.run_ended, timeout=10_000):
        window.click()
    after = viewer.screenshot(canvas_only=True, flash=False)
    # The picture is grey before; labels have colours.
    assert np.ptp(before[..., :3].astype(int), axis=-1).max() == 0
    assert (np.ptp(after[..., :3].astype(int), axis=-1) > 20).mean() > 0.05


def test_visible_field_of_a_pyramid_is_what_is_seen(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    base = np.zeros((2, 512, 512), np.uint8)
    levels = [base, base[:, ::2, ::2], base[:, ::4, ::4]]
    image = viewer.add_image(levels, multiscale=True, scale=(1, 0.5, 0.5))
    viewer.scene.camera.center = (64, 160)
    viewer.scene.camera.zoom = 20
    qtbot.wait(100)
    source = take_source(viewer, image, "ZYX", Scope.FIELD)
    height, width = viewer.window._qt_viewer.canvas.size
    # It ends between pixels of the coarsest level, which are 4 wide.
    assert source.shape[1:] == pytest.approx((height / 10, width / 10), abs=7)
    assert source.offset[1] + source.shape[1] / 2 == pytest.approx(128, abs=2)
    assert source.offset[2] + source.shape[2] / 2 == pytest.approx(320, abs=2)


def test_opening_the_panel_does_not_load_torch():
    code = """
import sys, warnings
warnings.simplefilter("ignore")
import napari, numpy as np
viewer = napari.Viewer(show=False)
from napari_seg.gui.widget import SegmentationWidget
viewer.window.add_dock_widget(SegmentationWidget(viewer))
viewer.add_image(np.zeros((32, 32)))
assert "torch" not in sys.modules
viewer.close()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
