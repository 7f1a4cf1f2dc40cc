"""The border-weight overlay with a ViewerModel and a fake panel: no Qt anywhere."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import zarr
from fakes import pump_until
from napari.components import ViewerModel
from napari.layers import Image
from psygnal import Signal

from napari_seg.gui.correction.history import LayerHistory
from napari_seg.gui.correction.target import make_target
from napari_seg.gui.inputs import ImageChoice
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.own_layers import is_own
from napari_seg.gui.weights import overlay
from napari_seg.gui.weights.changes import atom_box
from napari_seg.gui.weights.controller import WeightsController
from napari_seg.imaging import live_weights, plane_store
from napari_seg.imaging.deltas import make_edit
from napari_seg.imaging.live_weights import LiveWeights
from napari_seg.imaging.weightmap import border_weight_map
from napari_seg.state import Remembered, WeightSettings, from_stored
from napari_seg.training.targets import LOSS_WEIGHTS


class FakePanel:
    """Has the panel's signals, and remembers the last call of every setter."""

    labels_requested = Signal(str)
    shown_requested = Signal(bool)
    w0_requested = Signal(float)
    sigma_requested = Signal(float)
    unit_requested = Signal(str)
    volume_requested = Signal(bool)
    balance_requested = Signal(bool)

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}

    def __getattr__(self, name: str):
        if not name.startswith("set_"):
            raise AttributeError(name)

        def setter(*args: Any) -> None:
            self.shown[name[4:]] = args[0] if len(args) == 1 else args

        return setter


class Session:
    """A controller with its collaborators, driven without Qt."""

    def __init__(self, folder) -> None:
        self.viewer, self.panel, self.jobs = ViewerModel(), FakePanel(), Jobs()
        self.remembered = Remembered(folder / "settings.json")
        self.reported: list[BaseException] = []
        self.controller = WeightsController(
            self.viewer, self.panel, self.jobs, self.remembered, self.reported.append
        )

    def rest(self) -> None:
        """Wait until all that was asked for is done."""
        pump_until(self.jobs, lambda: not self.jobs.is_busy)
        assert self.reported == []

    def show(self) -> None:
        self.panel.shown_requested.emit(True)
        self.rest()

    @property
    def overlays(self) -> list[Image]:
        return [x for x in self.viewer.layers if is_own(x)]

    @property
    def weights(self) -> np.ndarray:
        (layer,) = self.overlays
        return np.asarray(layer.data)


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path)
    yield made
    made.controller.close()


def cells(*leading: int) -> np.ndarray:
    """Four squares, two of which touch, moved a little from plane to plane."""
    labels = np.zeros((*leading, 48, 64), np.int32)
    for number, index in enumerate(np.ndindex(*leading)):
        plane = labels[index]
        plane[4:14, 4:14] = 1
        plane[4:14, 14:24] = 2
        plane[17:27, 6 + number : 16 + number] = 3
        plane[30:40, 30:40] = 4
    return labels


def in_planes(labels, **change):
    params = replace(LOSS_WEIGHTS, **change)
    planes = labels.reshape(-1, *labels.shape[-2:])
    return np.stack([params.weigh(p) for p in planes]).reshape(labels.shape)


def test_the_overlay_is_what_the_loss_weighs_with(session):
    labels = session.viewer.add_labels(cells())
    session.show()
    parted = labels.data.copy()
    parted[4:14, 14] = 0
    plain = border_weight_map(parted, balance_classes=False)
    np.testing.assert_allclose(session.weights, plain, atol=1e-6)
    assert session.weights.max() > 9
    assert session.panel.shown["shown"] is True


def test_it_lies_on_the_labels_and_adds_its_light(session):
    session.viewer.add_image(np.zeros((48, 64)), name="image")
    labels = session.viewer.add_labels(
        cells(), scale=(0.5, 0.25), translate=(3, 4), rotate=10, units=("um", "um"),
        axis_labels=("y", "x"), name="cells",
    )  # fmt: skip
    session.viewer.add_image(np.zeros((48, 64)), name="above")
    session.viewer.layers.selection.active = labels
    session.show()
    (overlay,) = session.overlays
    assert overlay.blending == "additive"
    assert overlay.name == "cells border weights"
    assert session.viewer.layers.index(overlay) == 2
    assert session.viewer.layers.selection.active is labels
    for name in ("scale", "translate", "rotate", "units", "axis_labels"):
        assert np.array_equal(getattr(overlay, name), getattr(labels, name)), name


def test_hide_removes_the_layer(session):
    session.viewer.add_labels(cells())
    session.show()
    session.panel.shown_requested.emit(False)
    assert session.overlays == []
    assert session.panel.shown["shown"] is False
    assert session.panel.shown["legend"][0] is None
    session.rest()


def test_removing_the_overlay_by_hand_switches_it_off(session):
    session.viewer.add_labels(cells())
    session.show()
    session.viewer.layers.remove(session.overlays[0])
    assert session.panel.shown["shown"] is False
    session.rest()
    session.show()
    assert len(session.overlays) == 1


def test_sliders_act_and_the_last_value_wins(session):
    labels = session.viewer.add_labels(cells())
    session.show()
    for w0 in (3.0, 5.0, 7.0):
        session.panel.w0_requested.emit(w0)
    session.panel.sigma_requested.emit(2.0)
    session.rest()
    assert np.array_equal(session.weights, in_planes(labels.data, w0=7.0, sigma=2.0))


def test_balance_adds_the_weights_of_the_classes(session):
    labels = session.viewer.add_labels(cells())
    session.show()
    session.panel.balance_requested.emit(True)
    session.rest()
    expected = in_planes(labels.data, balance_classes=True)
    assert np.array_equal(session.weights, expected)
    assert session.overlays[0].contrast_limits[0] == 0


def test_the_legend_follows_the_contrast_limits_of_the_layer(session):
    session.viewer.add_labels(cells())
    session.show()
    assert session.panel.shown["legend"][1:] == (1.0, 12.0)
    session.overlays[0].contrast_limits = (2, 5)
    assert session.panel.shown["legend"][1:] == (2.0, 5.0)
    session.panel.w0_requested.emit(9.0)
    session.rest()
    assert session.panel.shown["legend"][1:] == (2.0, 5.0)
    session.panel.w0_requested.emit(20.0)
    assert session.panel.shown["legend"][1:] == (1.0, 25.0)


@pytest.mark.parametrize("tool", ["paint", "fill", "setitem"])
def test_an_edit_and_its_undo_and_redo_are_followed(session, tool):
    labels = session.viewer.add_labels(cells())
    session.show()
    before = session.weights.copy()

    def agrees():
        return np.array_equal(session.weights, in_planes(labels.data))

    if tool == "paint":
        labels.brush_size = 8
        labels.paint((20, 40), 9)
    elif tool == "fill":
        labels.fill((8, 8), 2)
    else:
        labels.data_setitem((np.arange(20, 30), np.arange(20, 30)), 7)
    session.rest()
    assert not np.array_equal(session.weights, before)
    assert agrees()
    labels.undo()
    session.rest()
    assert np.array_equal(session.weights, before)
    labels.redo()
    session.rest()
    assert not np.array_equal(session.weights, before)
    assert agrees()


def test_an_edit_of_the_correct_tab_and_its_undo_are_followed(session):
    image = session.viewer.add_image(np.zeros((48, 64)))
    labels = session.viewer.add_labels(cells())
    session.show()
    before = session.weights.copy()
    history = LayerHistory(make_target(labels, [image]))
    box = labels.data[4:14, 14:24]
    history.apply(make_edit("join", (4, 14), box.copy(), np.ones_like(box)))
    session.rest()
    assert session.weights.max() < before.max()
    assert np.array_equal(session.weights, in_planes(labels.data))
    history.undo()
    session.rest()
    assert np.array_equal(session.weights, before)
    history.redo()
    session.rest()
    assert np.array_equal(session.weights, in_planes(labels.data))


def test_a_small_edit_is_right_before_anything_else_happens(session):
    labels = session.viewer.add_labels(cells())
    session.show()
    labels.data_setitem(tuple(np.mgrid[20:25, 40:50].reshape(2, -1)), 5)
    assert np.array_equal(session.weights, in_planes(labels.data))


def test_an_edit_does_not_compute_the_whole_anew(session):
    labels = session.viewer.add_labels(np.tile(cells(), (20, 20)))
    session.show()
    boxes = []
    write = session.controller.view.overlay.write
    session.controller.view.overlay.write = lambda box, weights: (
        boxes.append(box) or write(box, weights)
    )
    labels.data_setitem(tuple(np.mgrid[500:550, 700:750].reshape(2, -1)), 5000)
    session.rest()
    assert boxes
    assert max(s.stop - s.start for box in boxes for s in box) < 100
    assert np.array_equal(session.weights, in_planes(labels.data))


def test_an_edit_of_hidden_labels_is_followed(session):
    labels = session.viewer.add_labels(cells())
    session.show()
    labels.visible = False
    labels.data_setitem(tuple(np.mgrid[20:25, 40:50].reshape(2, -1)), 5)
    session.rest()
    assert np.array_equal(session.weights, in_planes(labels.data))


def test_writing_into_the_array_is_found_when_the_layer_is_drawn_again(session):
    labels = session.viewer.add_labels(cells())
    session.show()
    labels.data[20:25, 40:50] = 5
    labels.refresh()
    session.rest()
    assert np.array_equal(session.weights, in_planes(labels.data))


def test_other_data_are_weighed_anew(session):
    labels = session.viewer.add_labels(cells())
    session.show()
    labels.data = np.ascontiguousarray(cells().T)
    session.rest()
    assert session.weights.shape == (64, 48)
    assert np.array_equal(session.weights, in_planes(labels.data))


def test_planes_of_a_stack_are_weighed_each_by_itself_the_one_seen_first(
    session, monkeypatch
):
    labels = session.viewer.add_labels(cells(5), axis_labels=("z", "y", "x"))
    session.viewer.dims.set_point(0, 3)
    seen = []
    weigh = LiveWeights._weigh_tile

    def noted(self, tile, params):
        seen.append(self.tiles.boxes[tile][0].start)
        return weigh(self, tile, params)

    monkeypatch.setattr(LiveWeights, "_weigh_tile", noted)
    session.show()
    assert seen[0] == 3
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert np.array_equal(session.weights, in_planes(labels.data))
    assert session.panel.shown["volume"] == (False, True)


def test_in_three_dimensions_the_spacing_counts(session):
    labels = session.viewer.add_labels(
        cells(4), axis_labels=("z", "y", "x"), scale=(2, 0.5, 0.5)
    )
    session.show()
    session.panel.volume_requested.emit(True)
    session.rest()
    expected = replace(LOSS_WEIGHTS, spacing=(4.0, 1.0, 1.0)).weigh(labels.data)
    assert np.array_equal(session.weights, expected)
    labels.scale = (1, 0.5, 0.5)
    session.rest()
    expected = replace(LOSS_WEIGHTS, spacing=(2.0, 1.0, 1.0)).weigh(labels.data)
    assert np.array_equal(session.weights, expected)
    assert np.array_equal(session.overlays[0].scale, labels.scale)


def test_frames_have_no_neighbours_in_time(session):
    labels = session.viewer.add_labels(cells(3), axis_labels=("t", "y", "x"))
    session.panel.volume_requested.emit(True)
    session.show()
    assert session.panel.shown["volume"] == (False, False)
    assert np.array_equal(session.weights, in_planes(labels.data))


def test_labels_that_repeat_over_channels_are_weighed_once(session):
    base = cells(3)
    data = np.lib.stride_tricks.as_strided(
        base, (3, 2, 48, 64), (base.strides[0], 0, *base.strides[1:])
    )
    labels = session.viewer.add_labels(data, axis_labels=("z", "c", "y", "x"))
    session.show()
    assert session.overlays[0].data.strides[1] == 0
    assert np.array_equal(session.weights[:, 1], in_planes(base))
    labels.data_setitem(
        (np.array([1]), np.array([1]), np.array([20]), np.array([40])), 9
    )
    session.rest()
    assert base[1, 20, 40] == 9
    assert np.array_equal(session.weights[:, 0], in_planes(base))


def test_sigma_in_micrometres_is_divided_by_the_pixel(session):
    labels = session.viewer.add_labels(cells(), scale=(0.5, 0.5), units=("um", "um"))
    session.show()
    assert session.panel.shown["units"] == (("px", "µm"), "px")
    session.panel.unit_requested.emit("µm")
    assert session.panel.shown["sigma"] == (2.5, 0.25, 10.0)
    session.panel.sigma_requested.emit(1.5)
    session.rest()
    assert np.array_equal(session.weights, in_planes(labels.data, sigma=3.0))


def test_without_a_unit_of_length_there_are_only_pixels(session):
    session.remembered.keep_part(
        "weights", asdict(WeightSettings(is_um=True, sigma_px=4.0))
    )
    session.controller.settings = from_stored(
        WeightSettings, session.remembered.part("weights")
    )
    session.viewer.add_labels(cells())
    assert session.panel.shown["units"] == (("px",), "px")
    assert session.panel.shown["sigma"][0] == 4.0


def test_oblong_pixels_are_not_taken_for_squares(session):
    labels = session.viewer.add_labels(cells(), scale=(1, 0.5))
    session.show()
    assert np.array_equal(session.weights, in_planes(labels.data, spacing=(2.0, 1.0)))


def test_settings_are_remembered(session, tmp_path):
    session.viewer.add_labels(cells())
    session.panel.w0_requested.emit(17.0)
    session.panel.sigma_requested.emit(3.5)
    session.panel.balance_requested.emit(True)
    session.controller.close()
    again = Session(tmp_path)
    assert again.controller.settings == WeightSettings(
        w0=17.0, sigma_px=3.5, balance_classes=True
    )
    assert again.panel.shown["w0"] == 17.0
    again.controller.close()


def test_nonsense_in_the_file_is_not_remembered(session):
    session.remembered._keep(weights={"w0": -3.0, "sigma_px": "wide", "is_um": 1})
    stored = session.remembered.part("weights")
    assert from_stored(WeightSettings, stored) == WeightSettings()


def test_removing_the_labels_removes_the_overlay(session):
    labels = session.viewer.add_labels(cells(), name="one")
    session.viewer.add_labels(cells(), name="two")
    session.panel.labels_requested.emit("one")
    session.show()
    session.viewer.layers.remove(labels)
    assert session.overlays == []
    assert session.panel.shown["shown"] is False
    assert session.panel.shown["labels_layers"] == (["two"], "two")
    session.rest()


def test_removing_the_labels_in_mid_work_drops_the_late_answer(session, monkeypatch):
    labels = session.viewer.add_labels(cells())
    gate, steps = threading.Event(), LiveWeights.steps

    def slow(self):
        gate.wait(5)
        yield from steps(self)

    monkeypatch.setattr(LiveWeights, "steps", slow)
    session.panel.shown_requested.emit(True)
    session.viewer.layers.remove(labels)
    gate.set()
    session.rest()
    assert session.overlays == []
    assert session.panel.shown["problem"] != ""


def test_renamed_labels_stay_chosen_and_name_the_overlay(session):
    labels = session.viewer.add_labels(cells(), name="cells")
    session.show()
    labels.name = "nuclei"
    assert session.overlays[0].name == "nuclei border weights"
    assert session.panel.shown["labels_layers"] == (["nuclei"], "nuclei")
    session.overlays[0].name = "mine"
    labels.name = "again"
    assert session.overlays[0].name == "mine"
    assert session.controller.is_shown


def test_choosing_other_labels_takes_the_overlay_there(session):
    session.viewer.add_labels(cells(), name="one")
    two = session.viewer.add_labels(np.ascontiguousarray(cells()[::-1]), name="two")
    session.panel.labels_requested.emit("one")
    session.show()
    session.panel.labels_requested.emit("two")
    session.rest()
    assert session.overlays[0].name == "two border weights"
    assert np.array_equal(session.weights, in_planes(two.data))


def test_without_labels_the_panel_says_what_to_do(session):
    assert "Open labels" in session.panel.shown["problem"]
    session.panel.shown_requested.emit(True)
    assert session.panel.shown["shown"] is False
    session.viewer.add_labels(cells())
    assert session.panel.shown["problem"] == ""


@pytest.fixture
def large(session, monkeypatch, tmp_path):
    """Labels on disk for which no overlay fits into memory, and a copy of them."""
    for module in (overlay, live_weights):
        monkeypatch.setattr(module, "EAGER_PIXELS", 2**12)
    monkeypatch.setattr(plane_store, "KEPT_BYTES", 3 * 48 * 64 * 4)
    plain = cells(12).astype(np.uint32)
    disk = zarr.create_array(tmp_path / "l", data=plain, chunks=(4, 16, 16))
    session.viewer.add_labels(disk)
    session.viewer.dims.set_point(0, 2)
    session.show()
    return plain


def seen(session):
    (layer,) = session.overlays
    return layer._slice.image.raw


def test_of_large_labels_on_disk_the_planes_looked_at_are_weighed(session, large):
    (layer,) = session.overlays
    assert np.array_equal(seen(session), in_planes(large)[2])
    for z in (7, 11, 2, 0):
        session.viewer.dims.set_point(0, z)
        session.rest()
        assert np.array_equal(seen(session), in_planes(large)[z]), z
        assert layer.data.nbytes_kept <= 3 * 48 * 64 * 4
    assert session.viewer.layers.selection.active is not layer


def test_the_weights_of_large_labels_on_disk_follow_an_edit(session, large):
    target = make_target(
        session.viewer.layers[0], [Image(np.zeros(large.shape, np.uint8))]
    )
    before = large[2:3, 0:20, 0:30].copy()
    after = before.copy()
    after[:, 8:12, 10:20] = 0
    history = LayerHistory(target)
    for act in (
        lambda: history.apply(make_edit("cut", (2, 0, 0), before, after)),
        history.undo,
    ):
        act()
        session.rest()
        now = np.asarray(session.viewer.layers[0].data[2])
        assert np.array_equal(seen(session), in_planes(now))


def test_multiscale_labels_are_refused_in_plain_words(session):
    session.viewer.add_labels([cells(), cells()[::2, ::2]], multiscale=True)
    assert "Multiscale" in session.panel.shown["problem"]
    session.panel.shown_requested.emit(True)
    assert session.overlays == []


def test_a_fault_of_the_program_takes_the_overlay_away_and_is_reported(
    session, monkeypatch
):
    def broken(self):
        raise RuntimeError("oh")
        yield

    session.viewer.add_labels(cells())
    monkeypatch.setattr(LiveWeights, "steps", broken)
    session.panel.shown_requested.emit(True)
    pump_until(session.jobs, lambda: not session.jobs.is_busy)
    assert [str(error) for error in session.reported] == ["oh"]
    assert session.overlays == []
    assert "RuntimeError" in session.panel.shown["problem"]


def test_the_overlay_is_no_image_to_segment(session):
    image = session.viewer.add_image(np.zeros((48, 64)), name="image")
    session.viewer.add_labels(cells())
    choice = ImageChoice(session.viewer)
    session.show()
    assert choice.images() == [image]
    choice.close()


def test_the_weight_under_the_pointer_is_told_while_labels_are_selected(session):
    labels = session.viewer.add_labels(cells())
    session.show()
    session.viewer.layers.selection.active = labels
    session.viewer.mouse_over_canvas = True
    session.viewer.cursor.position = (8, 14)
    session.viewer.update_status_from_cursor()
    value = session.weights[8, 14]
    for key in ("value", "coordinates"):
        assert session.viewer.status[key].endswith(f"2, weight {value:.2f}")
    session.panel.shown_requested.emit(False)
    session.viewer.cursor.position = (8, 13)
    session.viewer.update_status_from_cursor()
    assert "weight" not in session.viewer.status["value"]


def test_closing_lets_go_of_the_viewer(session):
    labels = session.viewer.add_labels(cells())
    session.show()
    session.controller.close()
    session.controller.close()
    assert session.overlays == []
    labels.data_setitem((np.array([1]), np.array([1])), 3)
    session.viewer.layers.remove(labels)


def test_both_kinds_of_history_entries_have_a_box():
    old = ((np.array([3, 5]), np.array([7, 6])), np.zeros(2), 1)
    assert atom_box(old, (9, 9)) == (slice(3, 6), slice(6, 8))
    assert atom_box(((np.array([], int),) * 2, [], 1), (9, 9)) is None
    mixed = ((slice(None), np.array([2])), [], 1)
    assert atom_box(mixed, (9, 9)) == (slice(0, 9), slice(2, 3))


def test_the_weights_rest_while_a_stroke_is_cut(session, monkeypatch):
    steps, asked = LiveWeights.steps, threading.Event()

    def noting(self):
        for step in steps(self):
            asked.set()
            yield step

    monkeypatch.setattr(LiveWeights, "steps", noting)
    layer = session.viewer.add_labels(cells())
    session.show()
    asked.clear()
    session.controller.rest(True)
    session.panel.w0_requested.emit(3.0)
    old = session.weights.copy()
    until = time.perf_counter() + 0.3
    pump_until(session.jobs, lambda: time.perf_counter() > until)
    assert not asked.is_set()
    np.testing.assert_array_equal(session.weights, old)
    session.controller.rest(False)
    session.rest()
    parted = np.where(np.arange(64) == 14, 0, layer.data)
    expected = border_weight_map(parted, w0=3.0, balance_classes=False)
    assert session.weights.max() == pytest.approx(expected.max(), rel=1e-4)
