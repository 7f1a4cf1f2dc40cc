"""The Correct panel's controller, driven by gestures, without Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import pump_until
from napari.components import ViewerModel
from napari.layers import Labels, Points
from psygnal import Signal

from napari_seg.errors import OffloadError
from napari_seg.gui.correction import elsewhere as elsewhere_module
from napari_seg.gui.correction.controller import CorrectController
from napari_seg.gui.correction.gesture import Gesture
from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.correction.trace import thick_line
from napari_seg.gui.jobs import Jobs
from napari_seg.offload import Offload
from napari_seg.state import CorrectSettings, Remembered, from_stored


class FakePanel:
    """Has the signals of the panel, and remembers what it was told last."""

    tool_requested = Signal(object)
    new_object_requested = Signal()
    commit_requested = Signal()
    cancel_requested = Signal()
    undo_requested = Signal()
    redo_requested = Signal()
    fill_requested = Signal()
    smooth_requested = Signal()
    largest_requested = Signal()
    delete_requested = Signal()
    lock_requested = Signal()
    next_free_id_requested = Signal()
    propagate_requested = Signal(str)
    range_requested = Signal(int, int)
    interpolate_requested = Signal()
    image_requested = Signal(str)
    labels_requested = Signal(str)
    brush_requested = Signal(float)
    sign_requested = Signal(bool)
    overwrite_requested = Signal(bool)
    volume_requested = Signal(bool)
    stop_requested = Signal()
    new_labels_requested = Signal()

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}
        self.said: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("set_"):
            raise AttributeError(name)

        def set_(*values: Any) -> None:
            self.shown[name[4:]] = values
            if name == "set_status":
                self.said.append(values[0])

        return set_


class Bench:
    """A viewer with an image and labels, and the controller at work on them."""

    def __init__(self, folder: Path) -> None:
        self.viewer = ViewerModel()
        self.panel = FakePanel()
        self.jobs = Jobs()
        self.reported: list[BaseException] = []
        self.path = folder / "settings.json"
        self.controller = CorrectController(
            self.viewer,
            self.panel,
            self.jobs,
            Offload(),
            Remembered(self.path),
            report=self.reported.append,
        )

    def open(self, image: np.ndarray, labels: np.ndarray, **kwargs: Any) -> Labels:
        self.viewer.add_image(image, name="cells", **kwargs)
        layer = self.viewer.add_labels(labels, name="ids", **kwargs)
        self.rest()
        return layer

    @property
    def layer(self) -> Labels:
        return self.viewer.layers["ids"]

    @property
    def ids(self) -> np.ndarray:
        return np.asarray(self.layer.data)

    def tool(self, tool: Tool) -> None:
        self.panel.tool_requested.emit(tool)
        assert self.controller.tool is tool

    def draw(
        self, *path: tuple[float, ...], radius: float = 1.0, keys: tuple[str, ...] = ()
    ) -> None:
        """Press at the first place, move over the others, release at the last."""
        for stop in range(1, len(path) + 1):
            gesture = self.gesture(path[:stop], radius, keys, stop == len(path))
            self.controller._on_gesture(gesture)
        self.rest()

    def gesture(
        self,
        path: tuple[tuple[float, ...], ...],
        radius: float,
        keys: tuple[str, ...],
        is_final: bool,
    ) -> Gesture:
        shape = self.layer.data.shape
        planes = [p[-2:] for p in path]
        pairs = zip([planes[0], *planes], planes, strict=False)
        flat = np.concatenate([thick_line(a, b, radius) for a, b in pairs])
        flat = flat[((flat >= 0) & (flat < shape[-2:])).all(axis=1)]
        hidden = np.tile(np.array(path[0][:-2], int), (len(flat), 1))
        points = np.unique(np.concatenate([hidden, flat], axis=1).astype(int), axis=0)
        is_click = len(path) == 1
        return Gesture(
            points, np.array(path, float), shape, 1, frozenset(keys), is_final, is_click
        )

    def rest(self) -> None:
        """Let everything in the background come to its end."""
        pump_until(self.jobs, lambda: not self.jobs.is_busy)

    def press(self, name: str, *values: Any) -> None:
        getattr(self.panel, f"{name}_requested").emit(*values)
        self.rest()

    @property
    def said(self) -> str:
        return self.panel.said[-1] if self.panel.said else ""


def two_discs() -> tuple[np.ndarray, np.ndarray]:
    """Return an image of two touching discs; only the left one has an id, 17."""
    y, x = np.indices((60, 80))
    left = (y - 30) ** 2 + (x - 25) ** 2 < 12**2
    right = (y - 30) ** 2 + (x - 52) ** 2 < 12**2
    noise = 0.1 * np.random.default_rng(0).standard_normal(left.shape)
    image = ((left | right) + noise).astype(np.float32)
    return image, np.where(left, 17, 0).astype(np.uint16)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.controller.close()
    assert not made.reported


@pytest.fixture
def discs(bench: Bench) -> Bench:
    bench.open(*two_discs())
    return bench


def test_without_labels_the_panel_says_what_to_do(bench: Bench) -> None:
    assert "labels" in bench.panel.shown["problem"][0]
    bench.panel.tool_requested.emit(Tool.OBJECT)
    assert bench.controller.tool is None
    bench.viewer.add_labels(np.zeros((10, 10), int))
    assert "image" in bench.panel.shown["problem"][0]
    bench.viewer.add_image(np.zeros((10, 10)))
    assert bench.panel.shown["problem"] == ("",)


def test_new_labels_lie_on_the_image(bench: Bench) -> None:
    bench.press("new_labels")
    assert "no image" in bench.said
    bench.viewer.add_image(
        np.zeros((4, 3, 20, 30), np.uint8),
        name="stack",
        scale=(2, 1, 0.5, 0.5),
        translate=(0, 0, 7, 8),
        axis_labels=("z", "c", "y", "x"),
    )
    bench.press("new_labels")
    layer = bench.viewer.layers["stack labels"]
    np.testing.assert_allclose(layer.scale, (2, 1, 0.5, 0.5))
    np.testing.assert_allclose(layer.translate, (0, 0, 7, 8))
    assert bench.controller.desk.target.axes == "ZYX"
    assert bench.panel.shown["problem"] == ("",)


def test_a_click_proposes_an_object_and_enter_adds_it(discs: Bench) -> None:
    before = discs.ids.copy()
    discs.tool(Tool.OBJECT)
    discs.draw((30, 52))
    np.testing.assert_array_equal(discs.ids, before)
    assert discs.panel.shown["pending"] == (True,)
    discs.press("commit")
    assert discs.panel.shown["pending"] == (False,)
    assert 380 < (discs.ids == 18).sum() < 520
    np.testing.assert_array_equal(discs.ids == 17, before == 17)
    # The next stroke on background begins another object.
    assert discs.panel.shown["object"][:3] == (19, False, True)
    discs.layer.undo()
    np.testing.assert_array_equal(discs.ids, before)
    assert not discs.layer._undo_history


def test_escape_drops_the_strokes(discs: Bench) -> None:
    discs.tool(Tool.OBJECT)
    discs.draw((30, 52))
    discs.press("cancel")
    assert discs.panel.shown["pending"] == (False,)
    discs.press("commit")
    assert not (discs.ids == 18).any()
    assert not discs.layer._undo_history


def test_undo_takes_back_waiting_strokes_before_steps(discs: Bench) -> None:
    discs.tool(Tool.OBJECT)
    discs.draw((30, 52))
    discs.press("commit")
    added = discs.ids.copy()
    discs.draw((30, 55), keys=("Control",))
    discs.draw((20, 52), keys=("Shift",))
    discs.draw((40, 52), keys=("Shift",))
    keys = {str(key): call for key, call in discs.layer.keymap.items()}
    undo = keys["Ctrl+Z"]
    undo(discs.layer)
    assert len(discs.controller.desk.session.strokes) == 1
    undo(discs.layer)
    assert not discs.controller.has_pending
    np.testing.assert_array_equal(discs.ids, added)
    undo(discs.layer)
    assert not (discs.ids == 18).any()
    discs.press("redo")
    np.testing.assert_array_equal(discs.ids, added)
    discs.viewer.layers.remove("ids")
    assert not discs.panel.shown["pending"][0]


def test_shift_trims_the_object_under_the_stroke(discs: Bench) -> None:
    discs.layer.data[26:34, 64:76] = 17
    discs.tool(Tool.OBJECT)
    discs.draw((30, 70), keys=("Shift",))
    assert discs.controller.desk.object_id == 17
    discs.press("commit")
    assert discs.ids[30, 70] == 0
    assert discs.ids[30, 25] == 17
    # An object that was there stays in hand: more strokes mend it further.
    assert discs.panel.shown["object"][:3] == (17, False, False)


def test_the_sign_of_the_panel_counts(discs: Bench) -> None:
    discs.layer.data[26:34, 64:76] = 17
    discs.tool(Tool.OBJECT)
    discs.press("sign", False)
    discs.draw((30, 70))
    discs.press("commit")
    assert discs.ids[30, 70] == 0


def test_enter_before_the_answer_waits_for_it(discs: Bench) -> None:
    discs.tool(Tool.OBJECT)
    gesture = discs.gesture(((30, 52),), 1.0, (), True)
    discs.controller._on_gesture(gesture)
    discs.panel.commit_requested.emit()
    assert not (discs.ids == 18).any()
    discs.rest()
    assert (discs.ids == 18).sum() > 380


def test_a_long_stroke_ends_as_if_it_had_come_at_once(discs: Bench) -> None:
    discs.tool(Tool.OBJECT)
    discs.draw((30, 52))
    path = [(30, 58 + i) for i in range(8)]
    discs.draw(*path, keys=("Shift",))
    assert len(discs.controller.desk.session.strokes) == 2
    live = discs.controller.desk.session.preview()
    discs.press("cancel")
    discs.draw((30, 52))
    final = discs.gesture(tuple(path), 1.0, ("Shift",), True)
    discs.controller._on_gesture(final)
    discs.rest()
    np.testing.assert_array_equal(
        live.indices, discs.controller.desk.session.preview().indices
    )


def test_control_picks_with_any_tool(discs: Bench) -> None:
    discs.tool(Tool.OBJECT)
    discs.draw((30, 25), keys=("Control",))
    assert discs.panel.shown["object"][:3] == (17, False, False)
    assert discs.layer.selected_label == 17
    assert not discs.controller.has_pending


def test_naparis_own_selection_is_followed(discs: Bench) -> None:
    discs.layer.selected_label = 17
    assert discs.panel.shown["object"][:3] == (17, False, False)
    discs.layer.selected_label = 40
    assert discs.panel.shown["object"][:3] == (40, False, True)


def test_a_locked_object_is_left_alone_by_every_tool(discs: Bench) -> None:
    before = discs.ids.copy()
    discs.tool(Tool.LOCK)
    discs.draw((30, 25))
    assert discs.layer.metadata["napari_seg"]["locked"] == [17]
    marks = [x for x in discs.viewer.layers if isinstance(x, Points)]
    assert len(marks) == 1
    assert discs.ids[tuple(np.round(marks[0].data[0]).astype(int))] == 17
    discs.tool(Tool.OBJECT)
    discs.press("overwrite", True)
    discs.draw((30, 52))
    discs.draw((30, 30))
    discs.press("commit")
    np.testing.assert_array_equal(discs.ids == 17, before == 17)
    discs.tool(Tool.DELETE)
    discs.draw((0, 0), (59, 79))
    np.testing.assert_array_equal(discs.ids == 17, before == 17)
    assert not (discs.ids == 18).any()
    discs.press("new_object")
    discs.draw((30, 25), keys=("Control",))
    for name in ("fill", "smooth", "largest", "delete"):
        discs.press(name)
        assert "locked" in discs.said
    np.testing.assert_array_equal(discs.ids == 17, before == 17)
    discs.tool(Tool.LOCK)
    discs.draw((30, 25))
    assert discs.layer.metadata["napari_seg"]["locked"] == []
    assert not len(marks[0].data)


def test_split_needs_two_strokes_and_is_one_step(discs: Bench) -> None:
    image, _ = two_discs()
    both = np.where(image > 0.5, 5, 0).astype(np.uint16)
    discs.layer.data[...] = both
    discs.tool(Tool.SPLIT)
    discs.draw((25, 22), (35, 22))
    discs.press("commit")
    assert "each part" in discs.said
    discs.draw((25, 55), (35, 55))
    np.testing.assert_array_equal(discs.ids, both)
    discs.press("commit")
    left, right = discs.ids[30, 22], discs.ids[30, 55]
    assert left != right
    assert {int(left), int(right)} >= {5}
    np.testing.assert_array_equal(discs.ids > 0, both > 0)
    assert len(discs.layer._undo_history) == 1
    discs.layer.undo()
    np.testing.assert_array_equal(discs.ids, both)


def test_merge_joins_what_the_stroke_crosses(discs: Bench) -> None:
    discs.layer.data[20:40, 45:60] = 3
    discs.layer.data[0:5, 0:5] = 4
    discs.tool(Tool.MERGE)
    discs.draw((30, 50), (30, 25))
    assert set(np.unique(discs.ids)) == {0, 3, 4}
    discs.layer.undo()
    assert set(np.unique(discs.ids)) == {0, 3, 4, 17}
    discs.draw((2, 2))
    assert "two or more" in discs.said


def test_delete_takes_a_click_or_a_rectangle(discs: Bench) -> None:
    discs.layer.data[20:40, 50:60] = 3
    discs.layer.data[0:5, 0:5] = 4
    discs.tool(Tool.DELETE)
    discs.draw((30, 55))
    assert set(np.unique(discs.ids)) == {0, 4, 17}
    discs.draw((3, 3), (30, 30))
    assert set(np.unique(discs.ids)) == {0}
    discs.layer.undo()
    assert set(np.unique(discs.ids)) == {0, 4, 17}
    discs.draw((55, 75))
    assert "no object" in discs.said


@pytest.mark.parametrize("name", ["fill", "smooth", "largest", "delete"])
def test_one_shot_edits_are_one_step(discs: Bench, name: str) -> None:
    discs.layer.data[30, 25] = 0
    discs.layer.data[50:52, 70:71] = 17
    before = discs.ids.copy()
    discs.press(name)
    assert "No object is selected" in discs.said
    discs.layer.selected_label = 17
    discs.press(name)
    assert not np.array_equal(discs.ids, before)
    assert len(discs.layer._undo_history) == 1
    discs.layer.undo()
    np.testing.assert_array_equal(discs.ids, before)


def test_a_step_that_changes_nothing_leaves_no_undo(discs: Bench) -> None:
    discs.layer.selected_label = 17
    discs.press("largest")
    assert discs.said == "Nothing to change."
    assert not discs.layer._undo_history


def test_painting_in_between_enters_the_next_cut_and_shares_undo(discs: Bench) -> None:
    discs.tool(Tool.OBJECT)
    discs.draw((30, 52))
    discs.layer.selected_label = 30
    discs.layer.brush_size = 9
    discs.layer.paint((30, 52), 30)
    painted = discs.ids == 30
    discs.press("commit")
    np.testing.assert_array_equal(discs.ids == 30, painted)
    assert (discs.ids == 18).sum() > 200
    discs.layer.undo()
    assert not (discs.ids == 18).any()
    assert (discs.ids == 30).any()
    discs.layer.undo()
    assert not (discs.ids == 30).any()


def test_what_waits_is_kept_when_the_tool_changes(discs: Bench) -> None:
    discs.tool(Tool.OBJECT)
    discs.draw((30, 52))
    discs.tool(Tool.DELETE)
    assert (discs.ids == 18).sum() > 380


def test_what_waits_goes_with_the_layer(discs: Bench) -> None:
    discs.tool(Tool.OBJECT)
    discs.draw((30, 52))
    discs.viewer.layers.remove("ids")
    discs.rest()
    assert not discs.controller.has_pending
    assert discs.controller.tool is None
    assert "labels" in discs.panel.shown["problem"][0]


def stack() -> tuple[np.ndarray, np.ndarray]:
    """Return five planes of a noisy ball, and empty labels."""
    z, y, x = np.indices((5, 48, 48))
    ball = ((z - 2) * 5) ** 2 + (y - 24) ** 2 + (x - 22) ** 2 < 14**2
    noise = 0.1 * np.random.default_rng(0).standard_normal(ball.shape)
    return (ball + noise).astype(np.float32), np.zeros(ball.shape, np.int32)


def test_a_stroke_stays_in_its_plane_unless_the_volume_is_meant(bench: Bench) -> None:
    bench.open(*stack())
    bench.viewer.dims.set_point(0, 2)
    bench.tool(Tool.OBJECT)
    bench.draw((2, 24, 22))
    bench.press("commit")
    assert (bench.ids[2] > 0).sum() > 400
    assert not bench.ids[[0, 1, 3, 4]].any()
    bench.layer.undo()
    bench.press("volume", True)
    bench.draw((2, 24, 22))
    bench.press("commit")
    assert (bench.ids > 0).sum(axis=(1, 2)).min() > 100


def test_propagate_goes_to_the_next_plane_and_shows_it(bench: Bench) -> None:
    bench.open(*stack())
    bench.viewer.dims.set_point(0, 2)
    bench.tool(Tool.OBJECT)
    bench.draw((2, 24, 22))
    bench.press("commit")
    bench.layer.selected_label = 1
    bench.press("propagate", "next")
    assert (bench.ids[3] == 1).sum() > 300
    assert not bench.ids[4].any()
    assert bench.viewer.dims.current_step[0] == 3
    assert len(bench.layer._undo_history) == 2


def test_propagate_through_and_to_a_range_are_one_step_each(bench: Bench) -> None:
    bench.open(*stack())
    bench.viewer.dims.set_point(0, 2)
    bench.tool(Tool.OBJECT)
    bench.draw((2, 24, 22))
    bench.press("commit")
    bench.layer.selected_label = 1
    bench.press("propagate", "through")
    assert (bench.ids == 1).any(axis=(1, 2)).all()
    bench.layer.undo()
    assert not bench.ids[[0, 1, 3, 4]].any()
    bench.press("range", 1, 3)
    assert (bench.ids == 1).any(axis=(1, 2)).tolist() == [False, *[True] * 3, False]
    bench.layer.undo()
    assert not bench.ids[[0, 1, 3, 4]].any()


def test_stop_keeps_the_planes_that_are_done(bench: Bench) -> None:
    bench.open(*stack())
    bench.viewer.dims.set_point(0, 0)
    bench.tool(Tool.OBJECT)
    bench.draw((0, 24, 22))
    bench.press("commit")
    bench.layer.selected_label = 1
    planes: list[float] = []

    def stop_after_two(share: float | None, text: str) -> None:
        if share is not None and text.startswith("plane"):
            planes.append(share)
            bench.panel.stop_requested.emit()

    bench.controller.desk.busy.connect(stop_after_two)
    bench.press("range", 0, 4)
    done = (bench.ids == 1).any(axis=(1, 2))
    assert planes
    assert done[1]
    assert len(bench.layer._undo_history) == 2


def test_interpolate_fills_the_planes_between(bench: Bench) -> None:
    image, labels = stack()
    labels[0, 10:20, 10:20] = 6
    labels[4, 10:20, 14:24] = 6
    bench.open(image, labels)
    bench.layer.selected_label = 6
    bench.press("interpolate")
    assert (bench.ids == 6).any(axis=(1, 2)).all()
    assert bench.ids[2, 15, 17] == 6


def test_interpolate_stays_in_the_frame_that_is_shown(bench: Bench) -> None:
    labels = np.zeros((2, 5, 30, 30), np.int32)
    for frame in (0, 1):
        labels[frame, [0, 4], 10:20, 10:20] = 6
    bench.open(np.zeros(labels.shape, np.uint8), labels)
    bench.viewer.dims.set_point(0, 1)
    bench.layer.selected_label = 6
    bench.press("interpolate")
    assert (bench.ids[1] == 6).any(axis=(1, 2)).all()
    assert not bench.ids[0, 1:4].any()


def test_settings_are_remembered(discs: Bench) -> None:
    discs.press("brush", 7.0)
    discs.press("overwrite", True)
    discs.controller.close()
    stored = Remembered(discs.path).part("correct")
    again = from_stored(CorrectSettings, stored)
    assert again.brush_px == 7.0
    assert again.overwrite


class Elsewhere:
    """Stands for the helper process: counts what it is asked."""

    def __init__(self, error: Exception | None = None, is_alive: bool = True) -> None:
        self.calls = 0
        self.is_alive = is_alive
        self._error = error

    def call(self, function: str, *args: Any) -> Any:
        self.calls += 1
        if self._error is not None:
            raise self._error
        module, name = function.split(":")
        return getattr(import_module(module), name)(*args)

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass


def solved(bench: Bench, elsewhere: Elsewhere, seconds: float, mp: Any) -> np.ndarray:
    """Return the object a click gives, with a predicted time for its cut."""
    mp.setattr(elsewhere_module, "predicted_seconds", lambda scene, params: seconds)
    bench.controller.elsewhere._offload = elsewhere
    bench.open(*two_discs())
    bench.tool(Tool.OBJECT)
    bench.draw((30, 52))
    bench.press("commit")
    return bench.ids == 18


def test_large_cuts_are_made_elsewhere_and_small_ones_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Elsewhere()
    assert solved(bench, elsewhere, 0.001, monkeypatch).sum() > 380
    assert elsewhere.calls == 0
    bench.layer.undo()
    bench.viewer.layers.clear()
    assert solved(bench, elsewhere, 1.0, monkeypatch).sum() > 380
    assert elsewhere.calls > 0


def test_without_the_helper_process_cuts_are_made_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Elsewhere(OffloadError("It cannot be started"), is_alive=False)
    assert solved(bench, gone, 1.0, monkeypatch).sum() > 380
    assert gone.calls == 1


def test_a_crash_of_the_helper_process_is_told_and_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = Elsewhere(OffloadError("The helper process ended"))
    assert not solved(bench, crashing, 1.0, monkeypatch).any()
    assert any("helper process" in line for line in bench.panel.said)
    bench.controller.elsewhere._offload = Elsewhere()
    bench.draw((30, 52))
    bench.press("commit")
    assert (bench.ids == 18).sum() > 380


def test_others_are_told_when_strokes_are_cut(discs: Bench) -> None:
    told: list[bool] = []
    discs.controller.cutting.connect(told.append)
    discs.tool(Tool.OBJECT)
    discs.draw((20, 20), (20, 24))
    assert told == [True, False] * (len(told) // 2)
    assert told
    discs.controller._on_gesture(discs.gesture(((20, 18),), 1.0, (), True))
    assert told[-1] is True
    discs.panel.cancel_requested.emit()
    assert told[-1] is False
