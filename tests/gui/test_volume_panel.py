"""A volume on disk, segmented in a real viewer."""

from __future__ import annotations

import time

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_seg.gui.engine import Engine
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.imaging.linking import present_ids
from napari_seg.inference.pyramid import preview_steps
from napari_seg.state import Remembered

pytestmark = pytest.mark.gui


class SlowEngine(Engine):
    """Gives the window time to show the first blocks before the others come."""

    def iter_volume(self, *args):
        steps = super().iter_volume(*args)
        rested = False
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                return stop.value
            yield step
            if step.region is not None and not rested:
                rested = True
                time.sleep(1.5)


class Window:
    """A viewer with a stack on disk, and the section unfolded."""

    def __init__(self, viewer, folder, model):
        image = np.zeros((20, 140, 260), np.uint16)
        for y, x in np.ndindex(5, 9):
            image[2:18, 8 + 28 * y : 20 + 28 * y, 8 + 28 * x : 20 + 28 * x] = 900
        self.path = folder / "stack.zarr"
        stored = zarr.create_array(
            self.path, shape=image.shape, chunks=(16, 64, 64), dtype=image.dtype
        )
        stored[...] = image
        self.truth = image > 0
        self.viewer = viewer
        self.image = viewer.add_image(
            da.from_zarr(stored), name="stack", scale=(2, 0.5, 0.5), translate=(1, 3, 4)
        )
        remembered = Remembered(folder / "settings.json")
        self.widget = SegmentationWidget(viewer, SlowEngine(), remembered)
        viewer.window.add_dock_widget(self.widget, name="napari-seg")
        panel = self.widget.segment_panel
        self.box, self.fold = panel.volume, panel.volume_fold
        self.fold.set_open(True)
        self.box.set_workers(0)
        self.widget.controller.form.choose_model("bright")
        self.widget.controller.settings.diameter_px = 16.0

    def wait(self, qtbot, text):
        qtbot.waitUntil(lambda: text in self.box.note.text(), timeout=150_000)

    def layer(self, name):
        return next((x for x in self.viewer.layers if x.name == name), None)


@pytest.fixture
def window(make_napari_viewer, tmp_path, model, monkeypatch):
    models = tmp_path / "models"
    models.mkdir()
    (models / "bright.safetensors").write_bytes(model.read_bytes())
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(models))
    return Window(make_napari_viewer(), tmp_path, model)


def test_labels_are_seen_as_they_are_made_and_lie_on_disk_in_the_end(window, qtbot):
    seen = []
    window.viewer.layers.events.inserted.connect(lambda e: seen.append(e.value.name))
    window.box.run.click()
    window.wait(qtbot, "objects in")
    assert "45 objects" in window.box.note.text()
    assert seen == ["stack labels (in work)", "stack labels"]
    assert window.layer("stack labels (in work)") is None
    labels = window.layer("stack labels")
    assert labels.multiscale
    assert np.allclose(labels.scale, window.image.scale)
    assert np.allclose(labels.translate, window.image.translate)
    found = np.asarray(labels.data[0])
    assert ((found > 0) == window.truth).mean() > 0.99
    on_disk = zarr.open_array(window.path.with_name("stack-labels.zarr") / "0")
    np.testing.assert_array_equal(on_disk[...], found)
    assert not window.box.stop.isVisibleTo(window.box)


def test_a_stopped_volume_goes_on(window, qtbot):
    window.box.run.click()
    qtbot.waitUntil(
        lambda: window.layer("stack labels (in work)") is not None, timeout=150_000
    )
    first = window.layer("stack labels (in work)").data
    assert present_ids([first]).size > 0
    window.box.stop.click()
    qtbot.waitUntil(window.box.run.isEnabled, timeout=150_000)
    assert "Stopped" in window.box.note.text()
    assert window.path.with_name("stack-labels.zarr.run").exists()
    window.box.run.click()
    window.wait(qtbot, "45 objects")


def test_an_image_in_memory_is_refused_in_words(window, qtbot):
    window.viewer.layers.remove(window.image)
    window.viewer.add_image(np.zeros((4, 50, 60)), name="memory")
    window.box.run.click()
    assert "only in memory" in window.box.note.text()


def test_a_scheduler_that_is_not_there_is_named(window, qtbot, monkeypatch):
    from napari_seg.inference import cluster

    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    window.box.scheduler.setText("tcp://127.0.0.1:9")
    window.box.run.click()
    window.wait(qtbot, "No scheduler answers at tcp://127.0.0.1:9")
    assert window.box.run.isEnabled()


def test_a_reduced_copy_fits_and_keeps_planes_fine():
    shape = (2000, 4096, 4096)
    steps = preview_steps(shape, "ZYX", 1 << 24)
    assert np.prod([-(-n // s) for n, s in zip(shape, steps, strict=True)]) <= 1 << 24
    assert steps[1] == steps[2] >= steps[0]
    assert preview_steps((20, 100, 100), "ZYX", 1 << 24) == (1, 1, 1)
