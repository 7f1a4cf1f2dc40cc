"""A folder worked through: saved on the way, predicted ahead, resumed."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fakes import pump_until
from folder_fakes import FolderSession, make_folder

from napari_seg.data.dataset_reading import read_items
from napari_seg.data.folder import ImageFolder, ImageState, Work
from napari_seg.data.image_data import ImageData
from napari_seg.gui.correction.locks import LOCKED_KEY
from napari_seg.gui.folder.memory import FolderMemory
from napari_seg.gui.folder.prepared import limits_of
from napari_seg.gui.folder.saver import Saver, Saving, write
from napari_seg.gui.folder.thumbnails import draw
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.inference.result import Segmentation
from napari_seg.state import Remembered


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "cells")


@pytest.fixture
def begin(tmp_path):
    made = []

    def make(**engine):
        made.append(FolderSession(tmp_path / "settings.json", **engine))
        return made[-1]

    yield make
    for session in made:
        session.close()


def states(session):
    return [image.state.value for image in session.controller.listing.images.values()]


def stored(folder):
    return {item.name: item for item in read_items(folder.with_name("cells-labels"))}


def paint(session, number=99):
    layer = session.bench.labels
    layer.brush_size = 4
    layer.paint((50, 50), number)


def test_the_first_image_and_the_next_are_predicted(begin, folder):
    session = begin()
    session.open(folder)
    session.settle()
    assert session.layers == ["c1", "c1 nuclei-unet"]
    assert session.bench.labels.data.max() == 6
    assert session.bench.labels.visible
    assert states(session) == ["predicted", "predicted", "untouched"]
    assert list(stored(folder)) == ["c1", "c2"]
    assert set(session.panel.pictures) == {"c1", "c2", "c3"}


def test_the_next_image_is_there_without_a_run(begin, folder):
    session = begin()
    session.open(folder)
    session.settle()
    session.go(1)
    session.settle()
    # Each image once, the third one while the second is looked at.
    seen = [int(source.data[20, 20]) for source in session.engine.sources]
    assert seen == [10, 20, 30]
    assert session.layers == ["c2", "c2 nuclei-unet"]
    # The thresholds of the panel act on it as on any run.
    assert session.segmenter.can_mirror(session.bench.labels)
    assert states(session) == ["predicted"] * 3


def test_corrections_are_saved_by_going_on(begin, folder):
    session = begin()
    session.open(folder)
    session.settle()
    paint(session)
    session.bench.labels.metadata[METADATA_KEY][LOCKED_KEY] = [2]
    expected = session.bench.labels.data.copy()
    session.go(1)
    session.settle()
    item = stored(folder)["c1"]
    np.testing.assert_array_equal(item.labels, expected)
    assert item.states[99] == "edited"
    assert item.states[2] == "verified"
    assert item.provenance.edits == {"steps": 1}
    assert item.provenance.source == str(folder / "c1.tif")
    assert states(session)[0] == "being corrected"
    # What is saved need not be recovered.
    assert not any(f.journal for f in session.autosave.followers)
    assert list(session.autosave.root.glob("*")) == []
    session.go(-1)
    session.settle()
    np.testing.assert_array_equal(session.bench.labels.data, expected)
    assert session.bench.labels.metadata[METADATA_KEY][LOCKED_KEY] == [2]


def test_looking_at_an_image_again_writes_nothing(begin, folder):
    session = begin()
    session.open(folder)
    session.settle()
    session.go(1)
    session.settle()
    index = folder.with_name("cells-labels") / "dataset.json"
    session.go(-1)
    session.settle()
    before = index.read_bytes()
    session.go(1)
    session.settle()
    names = [json.loads(text)["pairs"][0] for text in (before, index.read_bytes())]
    assert names[0] == names[1]


def test_a_verified_image_is_passed_over_from_then_on(begin, folder):
    session = begin()
    session.open(folder)
    session.settle()
    session.go(1)
    session.settle()
    session.panel.verify_requested.emit()
    session.wait(lambda: session.at == "c3")
    session.settle()
    assert states(session) == ["predicted", "verified", "predicted"]
    assert session.panel.shown["progress"].startswith(
        "1 of 3 images verified · 6 of 18 objects"
    )
    assert set(stored(folder)["c2"].states.values()) == {"verified"}
    session.panel.verify_requested.emit()
    session.wait(lambda: session.at == "c1")
    session.settle()
    session.panel.verify_requested.emit()
    session.wait(lambda: states(session) == ["verified"] * 3)
    assert session.bench is None
    assert "last image" in session.panel.shown["status"]


def test_it_goes_on_where_it_was_left(begin, folder, tmp_path):
    first = begin()
    first.open(folder)
    first.settle()
    first.go(1)
    first.settle()
    paint(first)
    first.close()  # the window is closed, nothing was pressed
    assert stored(folder)["c2"].states[99] == "edited"
    second = begin()
    assert second.panel.shown["resume"] == "cells"
    second.panel.resume_requested.emit()
    second.wait(lambda: second.at == "c2")
    second.settle()
    assert second.bench.labels.data[50, 50] == 99
    assert second.panel.shown["current"] == ("c2", "c2 · 2 of 3 · being corrected")


def test_predicting_can_be_stopped_and_turned_off(begin, folder):
    session = begin(is_stepwise=True)
    session.open(folder)
    session.wait(lambda: bool(session.engine.requests))
    session.panel.stop_requested.emit()
    session.engine.step(10)
    session.settle()
    assert session.panel.ahead[-1] == ("c1", None)
    assert session.bench.labels is None
    assert states(session) == ["untouched"] * 3
    session.panel.ahead_requested.emit(False)
    session.go(1)
    session.settle()
    assert len(session.engine.requests) == 1
    assert session.layers == ["c2"]


def test_an_image_that_cannot_be_read_stops_nobody(begin, folder):
    (folder / "c2.tif").write_bytes(b"not an image")
    session = begin()
    session.open(folder)
    session.settle()
    session.panel.step_requested.emit(1)
    session.wait(lambda: "⚠" in session.panel.shown["status"])
    assert "c2.tif" in session.panel.shown["status"]
    session.settle()
    session.go(1)
    assert session.at == "c3"


def test_an_image_on_a_lost_disk_is_not_called_unsaved_labels(
    begin, folder, monkeypatch
):
    session = begin()
    session.open(folder)
    session.settle()

    def refuse(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("napari_seg.data.folder.read_image", refuse)
    session.panel.step_requested.emit(1)  # predicted and ready
    session.settle()
    session.panel.step_requested.emit(1)
    session.wait(lambda: "⚠" in session.panel.shown["status"])
    assert "image cannot be read" in session.panel.shown["status"]


def test_a_late_prediction_leaves_labels_she_began_alone(begin, folder):
    session = begin(is_stepwise=True)
    session.open(folder)
    session.wait(lambda: bool(session.engine.requests))
    own = session.viewer.add_labels(np.zeros((64, 96), np.int32), name="mine")
    session.bench.follow(own)
    paint(session, 5)
    session.engine.step(1000)
    session.settle()
    assert session.layers == ["c1", "mine"]
    session.go(1)
    session.settle()
    assert stored(folder)["c1"].states == {5: "edited"}


def test_closing_the_image_saves_its_labels(begin, folder):
    session = begin()
    session.open(folder)
    session.settle()
    paint(session)
    session.viewer.layers.clear()
    session.settle()
    assert stored(folder)["c1"].states[99] == "edited"


def test_a_folder_that_cannot_be_written_is_told_and_loses_nothing(
    begin, folder, monkeypatch
):
    session = begin()
    session.open(folder)
    session.settle()
    paint(session)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_seg.data.io.write_tiff", refuse)
    session.panel.step_requested.emit(1)
    session.settle()
    assert "labels cannot be saved" in session.panel.shown["status"]
    assert "No space left" in session.panel.shown["status"]
    # The journal still has it.
    assert len(list(session.autosave.root.glob("*"))) == 1


def test_the_list_shows_one_state_and_the_image_that_is_open(begin, folder):
    session = begin()
    session.open(folder)
    session.settle()
    session.panel.filter_requested.emit(ImageState.UNTOUCHED)
    assert [image.name for image in session.panel.shown["images"]] == ["c1", "c3"]
    session.go(1)
    assert session.at == "c3"


def test_memory_says_nothing_where_it_was_damaged(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"folder": {"folder": 3, "places": {"a": ["b"], "c": "d"}}}')
    memory = FolderMemory(Remembered(path))
    assert (memory.folder, memory.out_of("a"), memory.ahead) == ("", "", True)
    memory.keep("x", "y", "z")
    again = FolderMemory(Remembered(path))
    assert (again.folder, again.out_of("x"), again.image_in("x")) == ("x", "y", "z")


@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (300, 40)), ("ZCYX", (3, 2, 50, 90)), ("YXC", (9, 9, 3))]
)
def test_small_pictures_show_the_middle_plane(axes, shape):
    values = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    picture = draw(ImageData(values, axes, None))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert max(picture.shape) <= 44
    assert (picture.min(), picture.max()) == (0, 255)


@pytest.mark.parametrize("axes", ["YXC", "CYX", "ZYX", "YX"])
def test_limits_leave_out_a_hot_pixel_wherever_the_channels_are(axes):
    shape = tuple({"Z": 5, "C": 2, "Y": 60, "X": 40}[letter] for letter in axes)
    array = np.full(shape, 10, np.uint16)
    index = {"Z": 2, "C": 1, "Y": slice(0, 20), "X": slice(0, 20)}
    array[tuple(index[letter] for letter in axes)] = 100  # of the second channel alone
    index.update(Y=50, X=30)
    array[tuple(index[letter] for letter in axes)] = 60_000
    limits = limits_of(ImageData(array, axes, None))
    assert limits is not None
    assert limits.all == (0, 60_000)
    assert limits.shown == (10, 100)


def test_other_labels_of_the_image_are_neither_saved_over_it_nor_lost(begin, folder):
    session = begin()
    session.open(folder)
    session.settle()
    paint(session)
    mine = session.bench.labels
    other = session.viewer.add_labels(np.ones((64, 96), np.int32), name="imported")
    other.metadata[METADATA_KEY] = {"image": "c1", "axes": "YX"}
    session.bench.follow(other)  # it is in hand now
    assert session.bench.labels is mine
    session.go(1)
    session.settle()
    assert stored(folder)["c1"].states[99] == "edited"
    assert "imported" in session.layers
    assert session.panel.shown["status"] == (
        "imported stayed open: it is not saved with c1."
    )
    # Once the first are removed, the others are the labels of the image.
    session.go(-1)
    session.settle()
    session.viewer.layers.remove(session.bench.labels)
    session.bench.follow(other)
    assert session.bench.labels is other


def test_what_was_predicted_for_one_folder_is_not_for_the_next(tmp_path):
    first, second = make_folder(tmp_path / "a"), make_folder(tmp_path / "b")
    session = FolderSession(tmp_path / "s.json")
    session.open(first)
    session.settle()  # c2 of the first is predicted ahead
    session.panel.open_requested.emit(str(second))
    session.wait(lambda: session.bench is not None)
    for name in ("c1", "c2"):
        session.settle()
        assert session.bench.opened.path == second / f"{name}.tif"
        session.go(1)
    session.close()


def test_doubt_is_saved_with_labels_and_kept_when_they_are_opened_again(tmp_path):
    source = ImageFolder(make_folder(tmp_path / "cells"))
    opened = source.open("c1")
    labels = np.zeros((64, 96), np.int32)
    labels[5:20, 5:20], labels[30:40, 30:40] = 1, 2
    foreground = np.where(labels == 1, 0.5, labels > 0).astype(np.float32)
    made = Segmentation(
        labels,
        ("background", "interior"),
        "YX",
        10.0,
        {},
        np.stack([1 - foreground, foreground]),
    )
    write(source, Saving(opened, labels, labels, Work(labels), segmentation=made))
    item = source.open("c1").item
    assert item.uncertainties == {1: 1.0, 2: 0.0}
    work = Work(labels, uncertainties=item.uncertainties)
    write(source, Saving(opened, np.where(labels == 2, 2, 0), labels, work))
    assert source.open("c1").item.uncertainties == {2: 0.0}


def test_another_data_set_is_not_overwritten_by_predictions(tmp_path):
    folder, other = make_folder(tmp_path / "a"), tmp_path / "other"
    session = FolderSession(tmp_path / "s.json")
    session.controller.open(str(folder), str(other))
    session.wait(lambda: session.bench is not None)
    session.settle()
    session.bench.labels.paint((50, 50), 99)
    session.panel.verify_requested.emit()
    session.wait(lambda: session.at == "c2")
    session.settle()
    session.close()
    again = FolderSession(tmp_path / "s2.json")
    again.open(folder)
    again.settle()
    again.panel.out_requested.emit(str(other))
    again.wait(lambda: again.bench is not None)
    again.settle()
    again.go(1)
    again.settle()
    again.close()
    kept = ImageFolder(folder, other)
    assert kept.images[0].state is ImageState.VERIFIED
    assert (kept.open("c1").labels == 99).any()
    # And the next time the work goes on there.
    last = FolderSession(tmp_path / "s2.json")
    last.panel.resume_requested.emit()
    last.wait(lambda: last.bench is not None)
    last.settle()
    assert last.controller.folder.out == other
    last.close()


def test_what_could_not_be_written_at_once_is_never_called_saved(tmp_path, monkeypatch):
    source = ImageFolder(make_folder(tmp_path / "cells"))
    opened, labels = source.open("c1"), np.ones((64, 96), np.int32)
    jobs, saved, failed, then = Jobs(), [], [], []
    saver = Saver(jobs, lambda *one: saved.append(one), failed.append)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_seg.data.io.write_tiff", refuse)
    saving = Saving(opened, labels, None, Work(labels))
    saver.save(source, saving, lambda: then.append(True))
    assert not saver.save_now()  # whoever of the two comes first
    pump_until(jobs, lambda: not jobs.is_busy)
    assert (saved, then) == ([], [])
    assert failed
    jobs.close()


def test_labels_written_at_once_are_not_written_over_by_older_ones(tmp_path):
    written, done, jobs = [], [], Jobs()
    saver = Saver(jobs, lambda *_: None, lambda error: None)

    class Folder:
        def save(self, name, data, work):
            written.append(int(work.labels.max()))

    def saving(value):
        opened = SimpleNamespace(name="c1", data=None)
        return Saving(opened, np.full((2, 2), value, np.int32), None, Work(None))

    saver.save(Folder(), saving(1), lambda: done.append(1))  # hardly begun
    assert saver.save_now((Folder(), saving(2)))
    pump_until(jobs, lambda: bool(done))
    assert written == [1, 2]
    jobs.close()
