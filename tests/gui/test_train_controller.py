"""The Train panel's controller, with a core that obeys, without Qt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import pump_until
from napari.components import ViewerModel
from napari.layers import Labels
from train_fakes import FakeTrainEngine, FakeTrainPanel

from napari_seg.errors import DatasetError
from napari_seg.gui.correction.sheet import Sheet
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.training.controller import TrainController
from napari_seg.gui.training.counting import iter_snapshot
from napari_seg.gui.training.settings import SCRATCH, Counts, TrainState
from napari_seg.gui.training.unfinished import find_unfinished, write_record
from napari_seg.state import Remembered
from napari_seg.types import run


class Bench:
    """A viewer with an image and labels, and the controller at work on them."""

    def __init__(self, folder: Path, engine: FakeTrainEngine) -> None:
        self.viewer = ViewerModel()
        self.engine = engine
        self.panel = FakeTrainPanel()
        self.jobs = Jobs()
        self.models: list[str] = []
        self.reported: list[BaseException] = []
        self.folder = folder
        self.path = folder / "settings.json"
        self.controller = TrainController(
            self.viewer,
            self.panel,
            engine,
            self.jobs,
            Remembered(self.path),
            self.models.append,
            report=self.reported.append,
        )
        self.panel.shown.emit()

    def open(self, shape: tuple[int, ...] = (32, 48), name: str = "ids") -> Labels:
        labels = np.zeros(shape, np.int32)
        labels[..., 4:12, 4:12] = 5
        labels[..., 4:12, 20:28] = 7
        self.viewer.add_image(np.random.default_rng(0).random(shape), name="cells")
        return self.viewer.add_labels(labels, name=name)

    def pump_until(self, condition: Callable[[], bool]) -> None:
        pump_until(self.jobs, condition)

    def rest(self) -> None:
        self.pump_until(lambda: not self.jobs.is_busy)

    def train(self) -> None:
        self.panel.start_requested.emit()
        assert self.state is TrainState.RUNNING
        self.rest()

    @property
    def state(self) -> TrainState:
        return self.controller.state

    def shown(self, name: str) -> Any:
        return self.panel.shown_values[name]

    @property
    def rows(self) -> dict[str, Any]:
        return {row.key: row for row in self.shown("rows")}


@pytest.fixture
def make_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(tmp_path / "models"))

    def make(**kwargs: Any) -> Bench:
        made.append(Bench(tmp_path, FakeTrainEngine(**kwargs)))
        return made[-1]

    yield make
    for bench in made:
        bench.engine.step(1000)
        bench.controller.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def test_without_data_the_panel_says_how_to_begin(bench):
    assert bench.shown("rows") == []
    assert "Open an image" in bench.shown("problems")["no data"]
    bench.panel.start_requested.emit()
    assert bench.engine.trained == []


def test_open_labels_are_listed_with_what_is_in_them(bench):
    bench.open()
    bench.rest()
    row = bench.rows["ids"]
    assert row.is_used
    assert row.note == "1 image, 2 objects"
    assert "cells" in row.tip
    assert bench.shown("total").startswith("Together 1 image, 2 objects.")
    assert bench.shown("problems") == {}


def test_while_nobody_looks_nothing_is_counted_or_listed(bench):
    bench.rest()
    bench.panel.hidden.emit()
    bench.open((8, 32, 48))
    bench.viewer.dims.set_current_step(0, 3)
    assert not bench.jobs.is_busy
    assert bench.rows == {}
    bench.panel.shown.emit()
    bench.rest()
    assert bench.rows["ids"].note == "8 images, 16 objects"
    assert bench.shown("plane")[0].startswith("z 3 of ids")


def test_a_finished_training_is_a_model_and_leaves_nothing_to_resume(bench):
    bench.open()
    bench.rest()
    bench.train()
    assert bench.state is TrainState.DONE
    (model,) = bench.models
    assert model.startswith("cells ")
    assert model in bench.panel.said[-1]
    name, rows = bench.shown("card")
    assert name == model
    assert ("AP at IoU 0.5", "0.900") in rows
    files = sorted(path.name for path in (bench.folder / "models").iterdir())
    assert files == [f"{model}.safetensors"]
    assert bench.shown("name") == f"{model} 2"


def test_what_was_asked_for_reaches_the_core(bench):
    bench.open()
    bench.panel.start_from_requested.emit("other-unet")
    bench.panel.name_requested.emit("mine")
    own = replace(bench.controller.settings.advanced, w0=3.0, elastic_px=1.5, steps=9)
    bench.panel.advanced_requested.emit(own)
    bench.rest()
    bench.train()
    (source,), out, params = bench.engine.trained[0]
    assert out == bench.folder / "models" / "mine.safetensors"
    assert (params.init, params.name) == (Path("other-unet"), "mine")
    assert (params.w0, params.steps) == (3.0, 9)
    assert params.augmentation.elastic_px == 1.5
    assert params.device == "cpu"
    assert params.threads is not None
    assert not params.resume
    assert source.axes == "YX"
    assert np.shares_memory(source.image, bench.viewer.layers["cells"].data)
    assert "2 objects" in params.training_data


def test_from_scratch_there_is_nothing_to_rehearse(bench):
    bench.open()
    bench.panel.start_from_requested.emit(SCRATCH)
    bench.rest()
    bench.train()
    params = bench.engine.trained[0][2]
    assert params.init is None
    assert params.rehearse == ()
    assert not params.freeze_norm


def test_only_locked_objects_count_if_she_says_so(bench):
    layer = bench.open()
    bench.panel.counts_requested.emit("ids", Counts.OBJECTS)
    bench.rest()
    assert "No object is marked correct" in bench.rows["ids"].note
    assert "no object" in bench.shown("problems")["data"]
    layer.metadata["napari_seg"] = {"locked": [7]}
    bench.panel.shown.emit()
    bench.rest()
    assert bench.rows["ids"].note == "1 image, 1 object"
    bench.train()
    checked = bench.engine.trained[0][0][0].checked
    assert (checked.ids, checked.planes) == ({7}, None)


def test_planes_are_marked_one_by_one(bench):
    layer = bench.open((2, 3, 32, 48))
    layer.axis_labels = ("t", "z", "y", "x")
    bench.viewer.layers["cells"].axis_labels = ("t", "z", "y", "x")
    bench.rest()
    bench.viewer.dims.set_current_step((0, 1), (1, 2))
    bench.panel.mark_plane_requested.emit()
    bench.rest()
    text, is_marked = bench.shown("plane")
    assert is_marked
    assert text == "t 1, z 2 of ids is correct (1 marked)"
    assert bench.rows["ids"].counts is Counts.PLANES
    assert bench.rows["ids"].note == "1 image, 2 objects"
    bench.train()
    checked = bench.engine.trained[0][0][0].checked
    assert checked.planes == {5}  # in the order of planes, T outermost
    bench.panel.mark_plane_requested.emit()
    bench.rest()
    assert bench.shown("plane")[1] is False


def test_labels_of_a_part_are_paired_with_that_part_of_the_image(bench):
    bench.viewer.add_image(
        np.arange(40 * 50).reshape(40, 50), name="cells", scale=(2, 2)
    )
    labels = np.ones((10, 20), np.int32)
    bench.viewer.add_labels(labels, name="part", scale=(2, 2), translate=(10, -6))
    bench.rest()
    bench.train()
    source = bench.engine.trained[0][0][0]
    image = bench.viewer.layers["cells"].data
    np.testing.assert_array_equal(source.image, image[5:15, 0:17])
    assert source.labels.shape == (10, 17)


def test_labels_that_fit_no_image_say_why(bench):
    bench.open()
    bench.viewer.add_labels(np.ones((9, 9), int), name="far", translate=(900, 900))
    bench.viewer.add_labels(np.ones((9, 9), int), name="fine", scale=(0.3, 0.3))
    bench.rest()
    assert "beside the image" in bench.rows["far"].problem
    assert "different size" in bench.rows["fine"].problem
    assert bench.shown("problems") == {}
    bench.train()
    assert [part.name for part in bench.engine.trained[0][0]] == ["ids"]


def test_layers_that_only_show_something_are_not_offered(bench):
    labels = bench.open()
    sheet = Sheet(bench.viewer, labels)
    sheet.place(None, lambda pigments, box: None)
    assert len(bench.viewer.layers) == 3
    assert [row.key for row in bench.controller.data.rows()] == ["ids"]
    sheet.close()


def test_unlooked_at_proposals_of_a_network_are_not_ticked(bench):
    layer = bench.open()
    layer.metadata["napari_seg"] = {"segmentation": object(), "axes": "YX"}
    second = bench.open(name="locked")
    second.metadata["napari_seg"] = {"segmentation": object(), "locked": [5]}
    bench.panel.shown.emit()
    # The choice is made when a layer is first seen; these two were marked later.
    bench.controller.data._choices.clear()
    bench.panel.shown.emit()
    bench.rest()
    assert not bench.rows["ids"].is_used
    assert bench.rows["locked"].is_used
    assert bench.rows["locked"].counts is Counts.OBJECTS


def test_edits_during_a_training_do_not_reach_it(bench):
    layer = bench.open((2, 32, 48))
    parts = list(bench.controller.data.parts().values())
    (taken,) = run(iter_snapshot(parts))
    layer.data[:] = 0
    assert taken.labels.max() == 7
    assert np.shares_memory(taken.image, bench.viewer.layers["cells"].data)


def test_a_folder_is_added_counted_and_removed(bench, tmp_path):
    import tifffile

    for kind in ("images", "labels"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 99, (16, 16)).astype(np.uint8)
    for name in "ab":
        tifffile.imwrite(tmp_path / "set" / "images" / f"{name}.tif", image)
        labels = np.pad(np.full((6, 6), 3, np.uint16), 5)
        tifffile.imwrite(tmp_path / "set" / "labels" / f"{name}.tif", labels)
    bench.panel.folder_requested.emit(str(tmp_path / "set"))
    bench.panel.folder_requested.emit(str(tmp_path / "not there"))
    bench.rest()
    good, bad = bench.shown("rows")
    assert good.note == "2 images, 2 objects"
    assert "no data set folder" in bad.problem
    bench.panel.remove_requested.emit(bad.key)
    bench.open()
    bench.rest()
    bench.train()
    parts = bench.engine.trained[0][0]
    assert [type(part).__name__ for part in parts] == ["ArraySource", "PosixPath"]
    assert parts[1] == tmp_path / "set"


@pytest.mark.parametrize("name", ["a/b", "a:b", "x" * 200, "nuclei-unet", "dot."])
def test_names_that_cannot_be_files_or_are_taken_block_the_start(bench, name):
    bench.open()
    bench.panel.name_requested.emit(name)
    assert "name" in bench.shown("problems")
    bench.panel.name_requested.emit("")
    assert bench.shown("problems") == {}  # an empty name is filled in again
    assert bench.shown("name").startswith("cells ")


def test_on_gpu_needs_a_gpu(make_bench):
    bench = make_bench()
    bench.open()
    bench.panel.shown.emit()
    bench.panel.preset_requested.emit("gpu")
    bench.rest()
    assert "no GPU" in bench.shown("problems")["preset"]
    other = make_bench()
    other.engine.gpu = ("cuda:0",)
    other.open()
    other.panel.shown.emit()
    other.panel.preset_requested.emit("gpu")
    other.rest()
    assert other.shown("problems") == {}
    other.train()
    assert other.engine.trained[0][2].device == "cuda:0"


def test_curve_and_picture_are_shown_as_they_come(make_bench):
    bench = make_bench(is_stepwise=True)
    bench.open()
    bench.rest()
    bench.panel.start_requested.emit()
    bench.engine.step(2)
    bench.pump_until(lambda: bench.shown("drawn") is not None)
    bench.pump_until(lambda: len(bench.shown("curve").steps) == 2)
    curve = bench.shown("curve")
    assert curve.losses == pytest.approx([1, 0.5])
    assert curve.scores == [(2, 1.0)]
    assert bench.shown("drawn").step == 2
    assert "Step 2" in bench.panel.said[-1]
    bench.panel.picture_requested.emit()
    names = [layer.name for layer in bench.viewer.layers[-3:]]
    assert names == [f"cells (step 2){x}" for x in ("", " truth", " prediction")]
    assert set(bench.rows) == {"ids"}  # these are nobody's labels


def test_pause_rests_and_resume_goes_on(make_bench):
    bench = make_bench(is_stepwise=True)
    bench.open()
    bench.rest()
    bench.panel.start_requested.emit()
    bench.engine.step(1)
    bench.pump_until(lambda: "Step 1" in bench.panel.said[-1])
    bench.panel.pause_requested.emit()
    assert bench.state is TrainState.PAUSED
    bench.engine.step(100)
    bench.pump_until(lambda: "Step 2" in bench.panel.said[-1])
    for _ in range(50):
        bench.jobs.pump()
    assert bench.panel.said[-1].startswith("Paused")
    assert not bench.models
    bench.panel.pause_requested.emit()
    bench.rest()
    assert bench.state is TrainState.DONE
    assert len(bench.models) == 1


def test_stop_scores_the_model_keeps_it_and_offers_to_go_on(make_bench):
    bench = make_bench(is_stepwise=True, steps=1000)
    bench.open()
    bench.rest()
    bench.panel.start_requested.emit()
    bench.engine.step(3)
    bench.pump_until(lambda: "Step 3" in bench.panel.said[-1])
    bench.panel.pause_requested.emit()  # a paused training stops, too
    bench.panel.stop_requested.emit()
    assert bench.state is TrainState.STOPPING
    bench.engine.step(2)
    bench.rest()
    assert not bench.engine.was_broken_off
    assert len(bench.models) == 1
    assert "is ready" in bench.panel.said[-1]
    assert bench.models[0] in bench.shown("unfinished")
    bench.engine.steps = 4
    bench.panel.resume_requested.emit()
    bench.engine.step(10)
    bench.rest()
    assert bench.engine.trained[1][1] == bench.engine.trained[0][1]
    assert bench.engine.trained[1][2].resume
    assert bench.shown("unfinished") == ""


def test_a_second_stop_ends_at_once_and_keeps_the_best(make_bench):
    bench = make_bench(is_stepwise=True, steps=1000)
    bench.open()
    bench.rest()
    bench.panel.start_requested.emit()
    bench.engine.step(3)
    bench.pump_until(lambda: "Step 3" in bench.panel.said[-1])
    bench.panel.stop_requested.emit()
    bench.panel.stop_requested.emit()
    assert bench.state is TrainState.ENDING
    bench.engine.step(1)
    bench.rest()
    assert bench.engine.was_broken_off
    assert len(bench.models) == 1
    assert "kept as it was at its best" in bench.panel.said[-1]


def close_in_a_step(bench: Bench) -> None:
    """Close while a step is in hand: it ends once closing waits for it.

    Were it let go before, the next step might be in hand by then, and never end.
    """
    threading.Timer(0.5, bench.engine.step, (1,)).start()
    bench.controller.close()


def test_closing_stops_and_leaves_it_to_be_resumed(make_bench):
    bench = make_bench(is_stepwise=True, steps=1000)
    bench.open()
    bench.rest()
    bench.panel.start_requested.emit()
    bench.engine.step(3)
    bench.pump_until(lambda: "Step 3" in bench.panel.said[-1])
    assert find_unfinished(bench.folder / "models") == []  # somebody is at it
    close_in_a_step(bench)
    assert bench.engine.was_broken_off
    (left,) = find_unfinished(bench.folder / "models")
    assert left.record.layers == {"ids": Counts.ALL}


def test_a_crashed_training_is_offered_and_needs_its_layers(make_bench):
    bench = make_bench(is_stepwise=True, steps=1000)
    bench.open()
    bench.panel.advanced_requested.emit(
        replace(bench.controller.settings.advanced, w0=4.5)
    )
    bench.rest()
    bench.panel.start_requested.emit()
    bench.engine.step(3)
    bench.pump_until(lambda: "Step 3" in bench.panel.said[-1])
    close_in_a_step(bench)
    (record,) = (bench.folder / "models").glob("*.run.json")
    text = record.read_text()
    record.write_text(text.replace('"process": null', '"process": [999999, 1.0]'))

    later = make_bench()
    later.panel.shown.emit()
    later.rest()
    assert "cells" in later.shown("unfinished")
    later.panel.resume_requested.emit()
    assert "Open the labels it learned from first: ids" in later.panel.said[-1]
    later.open()
    later.rest()
    later.panel.resume_requested.emit()
    later.rest()
    (_, out, params), *_ = later.engine.trained
    assert (params.resume, params.w0) == (True, 4.5)
    assert out.name.removesuffix(".safetensors") == later.models[0]


def test_discard_forgets_the_state_and_keeps_the_model(make_bench):
    bench = make_bench(is_stepwise=True, steps=1000)
    bench.open()
    bench.rest()
    bench.panel.start_requested.emit()
    bench.engine.step(4)
    bench.pump_until(lambda: "Step 4" in bench.panel.said[-1])
    bench.controller.cancel()
    bench.engine.step(1)
    bench.rest()
    assert bench.shown("unfinished")
    bench.panel.discard_requested.emit()
    assert bench.shown("unfinished") == ""
    files = [path.suffix for path in (bench.folder / "models").iterdir()]
    assert files == [".safetensors"]


def test_errors_are_said_in_plain_words(bench):
    bench.open()
    bench.rest()
    bench.engine.train_error = DatasetError("There is nothing to learn from")
    bench.train()
    assert bench.state is TrainState.FAILED
    assert bench.panel.said[-1] == "There is nothing to learn from."
    assert bench.reported == []
    bench.engine.train_error = KeyError("oops")
    bench.train()
    assert "Unexpected KeyError" in bench.panel.said[-1]
    assert [type(error) for error in bench.reported] == [KeyError]
    assert bench.models == []


def test_settings_are_remembered_and_nonsense_is_not(make_bench):
    bench = make_bench()
    bench.panel.preset_requested.emit("thorough")
    bench.panel.start_from_requested.emit("other-unet")
    bench.panel.advanced_requested.emit(
        replace(bench.controller.settings.advanced, batch=3)
    )
    bench.controller.close()
    again = make_bench()
    settings = again.controller.settings
    assert (settings.preset, settings.start) == ("thorough", "other-unet")
    assert settings.advanced.batch == 3
    text = again.path.read_text()
    again.controller.close()
    again.path.write_text(text.replace('"batch": 3', '"batch": "many"'))
    assert make_bench().controller.settings.advanced.batch == 8


def test_a_training_that_died_before_it_saved_anything_is_cleared_away(bench):
    # Not where the models are: there the panel itself looks, at any moment.
    folder = bench.folder / "elsewhere"
    out = folder / "gone.safetensors"
    write_record(out, bench.controller.form.record(), is_running=False)
    (folder / "gone.safetensors.log.csv").write_text("step\n")
    (folder / "other.safetensors.run.json").write_text('{"not": "ours"}')
    assert find_unfinished(folder) == []
    assert [path.name for path in folder.iterdir()] == ["other.safetensors.run.json"]
