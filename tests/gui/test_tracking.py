"""Films linked in a viewer: new labels and tracks in the place of the old ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from fakes import pump_until
from napari.components import ViewerModel
from napari.layers import Labels, Tracks
from psygnal import Signal
from qtpy.QtCore import Qt

from napari_seg.gui import film as film_module
from napari_seg.gui.correction.choice import LabelsChoice
from napari_seg.gui.correction.locks import LOCKED_KEY
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.panels.correct import CorrectPanel
from napari_seg.gui.tracking import TrackController
from napari_seg.gui.training.marks import correct_planes, toggle_plane
from napari_seg.inference.tracking import TrackParams
from napari_seg.state import Remembered

PLACE = {
    "scale": (1, 0.5, 0.5),
    "translate": (0, 3, 4),
    "units": ("s", "um", "um"),
    "axis_labels": ("t", "y", "x"),
}


class FakeBox:
    link_requested = Signal()
    stop_requested = Signal()
    params_requested = Signal(object)
    axis_requested = Signal(int)

    def __init__(self) -> None:
        self.note = ""
        self.axes: tuple[list[tuple[str, int]], int | None] = ([], None)
        self.progress: list[float | None] = []
        self.params: Any = None

    def set_axes(self, axes: Any, current: int | None) -> None:
        self.axes = (list(axes), current)

    def set_params(self, params: TrackParams) -> None:
        self.params = params

    def set_progress(self, fraction: float | None) -> None:
        self.progress.append(fraction)

    def set_note(self, text: str) -> None:
        self.note = text


class Session:
    def __init__(self, settings: Path) -> None:
        self.viewer, self.box, self.jobs = ViewerModel(), FakeBox(), Jobs()
        self.choice = LabelsChoice(self.viewer)
        self.controller = TrackController(
            self.viewer, self.box, self.choice, self.jobs, Remembered(settings)
        )

    def link(self) -> str:
        self.box.link_requested.emit()
        pump_until(self.jobs, lambda: not self.jobs.is_busy)
        return self.box.note

    def close(self) -> None:
        self.controller.close()
        self.choice.close()


@pytest.fixture
def session(tmp_path: Path) -> Any:
    made = Session(tmp_path / "settings.json")
    yield made
    made.close()


def film(divides: bool = True) -> np.ndarray:
    """Return two squares that move, of which one divides before the last frame."""
    labels = np.zeros((4, 40, 50), np.int32)
    for t in range(4):
        labels[t, 5:12, 3 + 3 * t : 10 + 3 * t] = 20 - t
    for t in range(3 if divides else 4):
        labels[t, 25:35, 30:40] = 50 + t
    if divides:
        labels[3, 25:35, 27:34] = 7
        labels[3, 25:35, 36:43] = 8
    return labels


def test_labels_and_tracks_lie_where_the_labels_were(session: Session) -> None:
    old = session.viewer.add_labels(film(), name="cells", **PLACE)
    before = old.data.copy()
    session.box.params_requested.emit(TrackParams(divisions=True))
    assert session.link() == "4 tracks, 1 division in cells linked."
    labels, tracks = session.viewer.layers[1:]
    assert [layer.name for layer in (labels, tracks)] == [
        "cells linked",
        "cells tracks",
    ]
    assert isinstance(labels, Labels)
    assert isinstance(tracks, Tracks)
    assert [np.unique(f).tolist() for f in labels.data] == [[0, 1, 2]] * 3 + [
        [0, 1, 3, 4]
    ]
    assert tracks.graph == {3: [2], 4: [2]}
    np.testing.assert_array_equal(tracks.data[0], [1, 0, 8, 6])
    for layer in (labels, tracks):
        np.testing.assert_array_equal(layer.scale, old.scale)
        np.testing.assert_array_equal(layer.translate, old.translate)
        assert layer.units == old.units
        assert layer.axis_labels == old.axis_labels
    np.testing.assert_array_equal(old.data, before)
    assert (old.visible, labels.visible) == (False, True)
    # Corrections go on in the new labels, not in what only shows their ways.
    assert session.viewer.layers.selection.active is labels
    assert session.choice.layer is labels
    assert labels.metadata[METADATA_KEY]["axes"] == "TYX"


def test_planes_of_a_file_are_frames_if_the_user_says_so(session: Session) -> None:
    stack = np.stack([film(), film()], axis=1)
    session.viewer.add_labels(stack, name="cells")
    assert session.box.axes == (
        [("Dimension 0 (4 long)", 0), ("Dimension 1 (2 long)", 1)],
        0,
    )
    assert session.link().startswith("3 tracks in cells linked.")
    assert session.viewer.layers[-1].data.shape[1] == 5
    session.choice.choose_labels("cells")
    session.box.axis_requested.emit(1)
    assert "only where time is the first" in session.link()
    assert session.viewer.layers[-1].name.startswith("cells linked")


def test_labels_that_repeat_along_channels_stay_one(session: Session) -> None:
    grid = film(divides=False)
    shape, strides = (4, 3, 40, 50), (grid.strides[0], 0, *grid.strides[1:])
    data = np.lib.stride_tricks.as_strided(grid, shape, strides, writeable=True)
    layer = session.viewer.add_labels(data, name="cells")
    layer.metadata[METADATA_KEY] = {"axes": "TCYX", "image": "raw"}
    assert session.link() == "2 tracks in cells linked."
    labels, tracks = session.viewer.layers[1:]
    assert labels.data.strides[1] == 0
    assert tracks.data.shape == (8, 5)
    assert labels.metadata[METADATA_KEY]["image"] == "raw"


def test_lazy_labels_are_never_read_whole(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def read(block: np.ndarray) -> np.ndarray:
        sizes.append(block.shape[0])
        return block

    lazy = da.from_array(film(), chunks=(1, 40, 50)).map_blocks(read, dtype=np.int32)
    whole = []
    monkeypatch.setattr(
        film_module, "make_room", lambda *a: whole.append(a) or np.zeros(*a)
    )
    session.viewer.add_labels(lazy, name="cells")
    assert session.link() == "3 tracks in cells linked."
    assert max(sizes) == 1
    assert whole == [((4, 40, 50), np.int32)]


def test_changed_or_closed_labels_get_no_late_answer(session: Session) -> None:
    layer = session.viewer.add_labels(film(), name="cells")
    session.box.link_requested.emit()
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), [9])
    pump_until(session.jobs, lambda: not session.jobs.is_busy)
    assert session.box.note.startswith("Nothing was linked: the labels were changed")
    session.box.link_requested.emit()
    session.viewer.layers.remove(layer)
    pump_until(session.jobs, lambda: not session.jobs.is_busy)
    assert session.box.note == "Nothing was linked: the labels were closed."
    assert len(session.viewer.layers) == 0
    assert session.box.progress[-1] is None


def test_linking_can_be_stopped(session: Session) -> None:
    session.viewer.add_labels(np.tile(film(), (200, 1, 1)), name="cells")
    session.box.link_requested.emit()
    session.box.stop_requested.emit()
    pump_until(session.jobs, lambda: not session.jobs.is_busy)
    assert session.box.note == "Stopped; nothing was changed."
    assert len(session.viewer.layers) == 1


def test_one_plane_is_refused_in_words(session: Session) -> None:
    assert session.link().startswith("⚠ There are no labels to link")
    session.viewer.add_labels(film()[0], name="plane")
    assert "plane has none" in session.link()


def test_settings_are_remembered(session: Session, tmp_path: Path) -> None:
    chosen = TrackParams(divisions=True, gap=3, reach=2.5)
    session.box.params_requested.emit(chosen)
    again = Session(tmp_path / "settings.json")
    assert again.box.params == chosen
    again.close()


def test_probabilities_go_with_the_linked_labels(session: Session) -> None:
    from napari_seg.inference.result import Segmentation

    made = Segmentation(
        film(), ("background", "interior"), "TYX", 10.0, {"model": "m"}, None
    )
    made.scores = {20: 0.5, 18: 0.9}
    layer = session.viewer.add_labels(made.labels, name="cells")
    layer.metadata[METADATA_KEY] = {
        "axes": "TYX", "segmentation": made, "provenance": made.provenance,
    }  # fmt: skip
    session.link()
    own = session.viewer.layers[1].metadata[METADATA_KEY]
    assert own["segmentation"].scores == {1: 0.9}
    assert own["provenance"]["model"] == "m"
    assert own["provenance"]["track"]["gap"] == 1
    assert made.scores == {20: 0.5, 18: 0.9}


def test_objects_that_were_locked_in_all_frames_stay_locked(session: Session) -> None:
    layer = session.viewer.add_labels(film(divides=False), name="cells")
    locked = [20, 19, 18, 17, 50, 51, 52]
    layer.metadata[METADATA_KEY] = {"axes": "TYX", LOCKED_KEY: locked}
    toggle_plane(layer, (2,))
    session.link()
    linked = session.viewer.layers[1]
    assert linked.metadata[METADATA_KEY][LOCKED_KEY] == [1]
    assert correct_planes(linked) == {(2,)}


@pytest.fixture
def panel(qtbot: Any) -> CorrectPanel:
    made = CorrectPanel()
    qtbot.addWidget(made)
    made.resize(320, 900)
    made.show()
    made.track_fold.set_open(True)
    return made


def test_the_box_asks_and_shows(panel: CorrectPanel, qtbot: Any) -> None:
    box, heard = panel.track, []
    for name in ("link", "stop", "params", "axis"):
        signal = getattr(box, f"{name}_requested")
        signal.connect(lambda *v, name=name: heard.append((name, *v)))
    box.set_axes([("Dimension 0 (4 long)", 0), ("Dimension 1 (2 long)", 1)], 0)
    box.set_params(TrackParams(gap=2))
    assert heard == []
    box.axis.setCurrentIndex(1)
    box.form.native("divisions").setChecked(True)
    qtbot.mouseClick(box.link, Qt.MouseButton.LeftButton)
    box.set_progress(0.5)
    assert not box.link.isEnabled()
    qtbot.mouseClick(box.stop, Qt.MouseButton.LeftButton)
    assert heard == [
        ("axis", 1),
        ("params", TrackParams(divisions=True, gap=2)),
        ("link",),
        ("stop",),
    ]
    box.set_progress(None)
    assert box.link.isEnabled()
    assert not box.stop.isVisible()
    assert "diameters" in box.form.native("reach").toolTip()
