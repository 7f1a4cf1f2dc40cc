"""The controller with a ViewerModel and a fake panel: no Qt anywhere."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_seg.errors import DeviceError, ImageError
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.state import Advanced, JobState, Scope


def test_run_makes_a_labels_layer_named_after_image_and_model(session):
    session.run()
    assert session.state is JobState.DONE
    assert [x.name for x in session.labels] == ["cells nuclei-unet"]
    assert session.labels[0].visible
    assert session.labels[0].data.dtype == np.int32
    assert sorted(np.unique(session.labels[0].data)) == [1, 2, 3, 4, 5, 6]
    assert session.message.startswith("6 objects in ")


def test_tile_under_the_view_comes_first(session):
    session.run()
    image = session.viewer.layers["cells"]
    middle = np.rint(np.asarray(image.data.shape) / 2 - 0.5).astype(int)
    assert session.labels[0].data[tuple(middle)] in (1, 2)


def test_labels_appear_tile_by_tile(make_session):
    session = make_session(is_stepwise=True)
    session.add_image()
    session.panel.run_requested.emit()
    session.engine.step(2)
    session.pump_until(lambda: bool(session.labels))
    session.pump_until(lambda: session.labels[0].data.max() == 2)
    assert session.state is JobState.RUNNING
    assert 0 < (session.labels[0].data > 0).sum() < session.labels[0].data.size


def test_progress_moves_and_never_goes_back(make_session):
    session = make_session(is_stepwise=True)
    session.add_image((256, 256))
    session.panel.run_requested.emit()
    seen = []
    for tiles in range(1, 6):
        session.engine.step(1)
        text = f"{tiles} of 64 tiles"
        session.pump_until(lambda text=text: text in session.message)
        seen.append(session.controller.status.fraction)
    assert seen == sorted(set(seen))
    assert seen[0] > 0
    assert all("Segmenting" in message for message in session.panel.messages[-4:])


def test_cancel_keeps_the_finished_tiles(make_session):
    session = make_session(is_stepwise=True)
    session.add_image()
    session.panel.run_requested.emit()
    session.engine.step(3)
    session.pump_until(
        lambda: bool(session.labels) and session.labels[0].data.max() == 3
    )
    session.panel.cancel_requested.emit()
    assert session.state is JobState.CANCELLING
    session.engine.step(1)
    session.pump_until(lambda: not session.state.is_active)
    assert session.state is JobState.CANCELLED
    assert session.labels[0].data.max() in (3, 4)
    assert session.labels[0].visible
    assert session.engine.is_closed.wait(5)
    assert "kept" in session.message


def test_cancel_before_the_first_tile_leaves_no_layer(make_session):
    session = make_session(is_stepwise=True)
    session.add_image()
    session.panel.run_requested.emit()
    session.panel.cancel_requested.emit()
    session.engine.step(1)
    session.pump_until(lambda: not session.state.is_active)
    assert session.state is JobState.CANCELLED
    assert session.engine.is_closed.wait(5) or not session.engine.requests


def test_removing_the_image_in_mid_run_drops_the_late_answer(make_session):
    session = make_session(is_stepwise=True)
    image = session.add_image()
    session.panel.run_requested.emit()
    session.engine.step(1)
    session.pump_until(lambda: bool(session.labels))
    session.viewer.layers.remove(image)
    assert session.state is JobState.CANCELLED
    assert session.message == "Stopped: the image was removed (cells)."
    before = session.labels[0].data.copy()
    session.engine.step(100)
    assert session.engine.is_closed.wait(5)
    session.pump_until(lambda: "show" not in session.jobs._timed)
    assert np.array_equal(session.labels[0].data, before)
    assert session.labels[0].visible


def test_removing_the_labels_in_mid_run_stops_the_run(make_session):
    session = make_session(is_stepwise=True)
    session.add_image()
    session.panel.run_requested.emit()
    session.engine.step(1)
    session.pump_until(lambda: bool(session.labels))
    session.viewer.layers.remove(session.labels[0])
    assert session.state is JobState.CANCELLED
    assert "labels were removed" in session.message
    session.engine.step(100)
    assert session.engine.is_closed.wait(5)
    assert not session.labels


def test_replacing_the_image_data_in_mid_run_stops_the_run(make_session):
    session = make_session(is_stepwise=True)
    image = session.add_image()
    session.panel.run_requested.emit()
    session.engine.step(1)
    session.pump_until(lambda: bool(session.labels))
    image.data = np.zeros((30, 40), np.uint8)
    assert session.state is JobState.CANCELLED
    assert "changed" in session.message


def test_a_user_error_is_shown_in_plain_words_and_not_reported(make_session):
    session = make_session(error_at=2)
    session.add_image()
    session.engine.error = ImageError("The image is all NaN", remedy="Open another")
    ended = []
    session.controller.run_ended.connect(lambda _: ended.append(session.message))
    session.run()
    assert ended == [session.message]
    assert session.state is JobState.FAILED
    assert session.message == "The image is all NaN. Open another"
    assert session.reported == []


def test_a_fault_of_the_program_is_shown_and_reported(make_session):
    session = make_session(error_at=2)
    session.add_image()
    session.run()
    assert session.message == "Unexpected ValueError: tile went wrong"
    assert session.reported == [session.engine.error]


def test_running_out_of_memory_says_what_to_do(make_session):
    session = make_session(error_at=1)
    session.add_image()
    session.engine.error = MemoryError()
    session.run()
    assert "smaller region" in session.message


def test_run_again_replaces_untouched_labels(session):
    session.run()
    first = session.labels[0]
    first.opacity = 0.3
    session.run()
    assert session.labels == [first]
    assert first.opacity == 0.3
    assert first.visible


def test_run_again_never_overwrites_edited_labels(session):
    session.run()
    first = session.labels[0]
    first.data_setitem((np.array([0]), np.array([0])), 77)
    session.run()
    assert len(session.labels) == 2
    assert first.data[0, 0] == 77


def test_another_region_gets_its_own_layer(session):
    session.run()
    session.panel.scope_requested.emit(Scope.FIELD)
    session.run()
    names = [x.name for x in session.labels]
    assert "cells nuclei-unet" in names
    assert session.engine.requests[1].scope is Scope.FIELD


def test_job_gets_a_snapshot_that_later_edits_do_not_reach(make_session):
    session = make_session(is_stepwise=True)
    session.add_image()
    session.panel.run_requested.emit()
    session.panel.threshold_requested.emit(0.8)
    session.engine.step(100)
    session.pump_until(lambda: not session.state.is_active)
    assert session.engine.requests[0].threshold == 0.5
    session.pump_until(lambda: bool(session.engine.derived))
    assert session.engine.derived[0].threshold == 0.8


def test_threshold_derives_again_without_running_the_network(session):
    session.run()
    session.panel.threshold_requested.emit(0.7)
    session.pump_until(lambda: session.labels[0].data.max() < 6)
    assert len(session.engine.requests) == 1
    assert len(session.labels) == 1


def test_only_the_latest_threshold_is_derived(session):
    session.run()
    for value in (0.6, 0.7, 0.8, 0.9):
        session.panel.threshold_requested.emit(value)
    session.pump_until(lambda: session.labels[0].data.max() < 6)
    assert [request.threshold for request in session.engine.derived] == [0.9]


def test_threshold_after_an_edit_makes_a_new_layer(session):
    session.run()
    edited = session.labels[0]
    edited.data_setitem((np.array([0]), np.array([0])), 77)
    before = edited.data.copy()
    session.panel.threshold_requested.emit(0.8)
    session.pump_until(lambda: len(session.labels) == 2)
    session.pump_until(lambda: "untouched" in session.message)
    assert np.array_equal(edited.data, before)
    assert session.labels[1].data.max() < 6


def test_result_and_provenance_are_kept_with_the_layer(session):
    session.run()
    kept = session.labels[0].metadata[METADATA_KEY]
    assert kept["provenance"] == {"model": "fake"}
    assert kept["segmentation"].labels.base is session.labels[0].data.base
    assert kept["offset"] == (0, 0)
    assert kept["image"] == "cells"


def test_estimate_is_shown_with_its_size_in_micrometres(make_session):
    session = make_session()
    session.add_image(scale=(0.5, 0.5), units=("um", "um"))
    session.panel.estimate_requested.emit()
    session.pump_until(lambda: "24" in session.panel.shown["size_note"])
    assert session.panel.shown["size_note"] == "Estimated: 24 px (12 µm)"
    assert session.panel.shown["min_size_limit"] == pytest.approx(np.pi * 144)


def test_no_image_blocks_the_run_without_marking_a_field(make_session):
    session = make_session()
    session.panel.run_requested.emit()
    assert session.state is JobState.IDLE
    assert list(session.panel.shown["problems"].values()) == ["Open an image first."]
    assert session.panel.shown["images"] == ([], None)


def test_image_list_follows_the_viewer(make_session):
    session = make_session()
    first = session.add_image(name="a")
    session.add_image(name="b")
    session.viewer.add_labels(np.zeros((4, 4), int))
    assert session.panel.shown["images"] == (["b", "a"], "a")
    first.name = "renamed"
    assert session.panel.shown["images"] == (["b", "renamed"], "renamed")
    session.viewer.layers.remove(first)
    assert session.panel.shown["images"] == (["b"], "b")


@pytest.mark.parametrize(
    ("axes", "field"), [("?X", "axes"), ("YY", "axes"), ("ZX", "axes"), ("YX", None)]
)
def test_wrong_axes_disable_the_run_beside_the_field(session, axes, field):
    session.panel.axes_requested.emit(axes)
    assert list(session.panel.shown["problems"]) == ([field] if field else [])


def test_axes_of_the_user_are_kept_for_each_image(session):
    first = session.viewer.layers["cells"]
    session.add_image((3, 40, 40), name="stack")
    session.panel.image_requested.emit("stack")
    session.panel.axes_requested.emit("TYX")
    session.panel.image_requested.emit(first.name)
    assert session.controller.settings.axes == "YX"
    session.panel.image_requested.emit("stack")
    assert session.controller.settings.axes == "TYX"


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:napari")
def test_an_empty_image_is_refused_in_plain_words(make_session):
    session = make_session()
    session.viewer.add_image(np.zeros((0, 20, 20), np.uint8))
    problem = session.panel.shown["problems"]["image"]
    assert problem == "The image is empty (shape (0, 20, 20))."


def test_visible_field_needs_the_2d_view(make_session):
    session = make_session()
    session.add_image((5, 40, 40))
    session.panel.scope_requested.emit(Scope.FIELD)
    assert session.panel.shown["problems"] == {}
    session.viewer.dims.ndisplay = 3
    assert "2D view" in session.panel.shown["problems"]["scope"]


def test_device_and_its_reason_are_shown_once_an_image_is_open(session):
    session.pump_until(lambda: "CPU" in session.panel.shown["device_reason"])
    assert session.panel.shown["device_reason"] == "CPU: no CUDA device found"
    assert session.panel.shown["devices"] == (
        [("Automatic", "auto"), ("CPU", "cpu")],
        "auto",
    )


def test_a_missing_device_blocks_the_run(session):
    session.engine.device_error = DeviceError("There is no cuda:3", remedy="Use cpu")
    session.panel.device_requested.emit("cuda:3")
    session.pump_until(lambda: "device" in session.panel.shown["problems"])
    session.panel.run_requested.emit()
    assert session.state is JobState.IDLE


def test_model_brings_its_own_threshold(session):
    session.panel.model_requested.emit("other-unet")
    assert session.controller.settings.threshold == 0.3
    assert session.panel.shown["thresholds"] == (0.3, 0.0)
    assert session.panel.shown["model_summary"] == "Something else."


def test_rgb_offers_colours_and_grey(make_session):
    session = make_session()
    session.add_image((40, 50, 3), rgb=True)
    channels, current = session.panel.shown["channels"]
    assert [text for text, _ in channels] == [
        "Grey from colour",
        "Red",
        "Green",
        "Blue",
    ]
    assert current is None
    assert session.panel.shown["axes"] == ("YXC", (40, 50, 3), True)


def test_settings_are_remembered_in_the_next_session(make_session):
    session = make_session()
    session.panel.model_requested.emit("other-unet")
    session.panel.advanced_requested.emit(Advanced(tile_px=128))
    session.controller.close()
    again = make_session()
    assert again.controller.settings.model == "other-unet"
    assert again.controller.settings.advanced.tile_px == 128
    assert json.loads(session.path.read_text())["model"] == "other-unet"


def test_two_viewers_do_not_share_state(make_session):
    one, two = make_session(is_stepwise=True), make_session()
    one.add_image(name="one")
    two.add_image(name="two")
    one.panel.threshold_requested.emit(0.9)
    one.panel.run_requested.emit()
    assert two.state is JobState.IDLE
    assert two.controller.settings.threshold == 0.5
    two.run()
    assert two.state is JobState.DONE
    assert one.state is JobState.RUNNING
    assert not one.labels


def test_closing_stops_the_job(make_session):
    session = make_session(is_stepwise=True)
    session.add_image()
    session.panel.run_requested.emit()
    session.engine.step(1)
    session.pump_until(lambda: bool(session.labels))
    session.engine.step(1)
    session.controller.close()
    assert session.engine.is_closed.is_set()
    assert not session.jobs.is_busy


def test_network_memory_is_released_when_idle(session):
    session.run()
    session.jobs.later("release", 0.0, session.jobs._timed["release"][1])
    session.pump_until(lambda: session.engine.released == 1)
    assert session.engine.released == 1


def test_scores_of_a_detector_are_features_of_the_labels(session) -> None:
    session.run()
    session.controller.proposals[-1].segmentation.scores = {1: 0.5, 2: 0.25}
    session.panel.threshold_requested.emit(0.2)
    session.pump_until(lambda: "score" in session.labels[0].features)
    features = session.labels[0].features
    assert dict(zip(features["index"], features["score"], strict=True)) == {
        i: 1 / i for i in range(1, 5)
    }
