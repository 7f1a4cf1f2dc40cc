"""Corrections are on disk soon, and come back."""

import errno
import threading
import time

import numpy as np
import pytest
from fakes import pump_until
from napari.components import ViewerModel
from psygnal import Signal

from napari_seg.data import journal as journal_module
from napari_seg.data.autosaves import find_unsaved
from napari_seg.data.journal_about import About
from napari_seg.data.recovery import recover
from napari_seg.gui.autosave.controller import AutosaveController
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.panels.recover_strip import RecoverStrip
from napari_seg.state import Remembered


class FakeStrip:
    recover_requested = Signal()
    discard_requested = Signal()
    on_requested = Signal(bool)

    def __init__(self):
        self.offer = None
        self.on = None

    def set_offer(self, text):
        self.offer = text

    def set_on(self, is_on, folder):
        self.on = is_on, folder


class Session:
    """A viewer with an autosave, as one start of the program."""

    def __init__(self, folder):
        self.root = folder / "autosave"
        self.viewer = ViewerModel()
        self.strip = FakeStrip()
        self.jobs = Jobs()
        self.warnings = []
        self.autosave = AutosaveController(
            self.viewer,
            self.strip,
            self.jobs,
            Remembered(folder / "settings.json"),
            self.root,
            self.warnings.append,
        )
        self.wait(lambda: not self.jobs.is_busy)

    def wait(self, condition):
        pump_until(self.jobs, condition, 60)

    def settle(self):
        """Wait until everything is written."""
        self.wait(
            lambda: (
                not self.jobs.is_busy
                and not any(f.is_behind for f in self.autosave.followers)
            )
        )

    def journals(self):
        return [recover(path) for path in sorted(self.root.glob("*"))]

    def die(self):
        """End as in a crash: nothing is closed, nothing is written."""
        for follower in self.autosave.followers:
            follower.close()
        self.jobs.close()


@pytest.fixture
def begin(tmp_path):
    made = []

    def make():
        made.append(Session(tmp_path))
        return made[-1]

    yield make
    for session in made:
        session.autosave.close()


@pytest.fixture
def dead(monkeypatch):
    """Take the writers of all journals for dead."""
    gone = property(lambda _: False)
    monkeypatch.setattr(About, "is_written", gone)


def square(viewer, **kwargs):
    labels = np.zeros((40, 50), np.int32)
    labels[5:15, 5:15] = 1
    return viewer.add_labels(labels, name="cells", **kwargs)


def paint(layer, row, column, number=2):
    layer.selected_label = number
    layer.brush_size = 6
    layer.paint((row, column), number)


def test_an_edit_is_on_disk_within_two_seconds(begin):
    session = begin()
    layer = square(session.viewer)
    began = time.perf_counter()
    paint(layer, 25, 30)
    session.wait(lambda: any(session.root.glob("*/records-*")))
    session.settle()
    assert time.perf_counter() - began < 20  # two, where nothing else runs
    (found,) = session.journals()
    np.testing.assert_array_equal(found.labels, layer.data)
    assert found.labels.max() == 2


def test_looking_at_labels_writes_nothing(begin):
    session = begin()
    layer = session.viewer.add_labels(np.ones((3, 20, 20), np.int32))
    session.viewer.dims.set_point(0, 2)
    layer.opacity = 0.3
    session.settle()
    assert not session.root.exists()


def test_undo_and_redo_are_written_too(begin):
    session = begin()
    layer = square(session.viewer)
    paint(layer, 25, 30)
    session.settle()
    layer.undo()
    session.settle()
    np.testing.assert_array_equal(session.journals()[0].labels, layer.data)
    assert layer.data.max() == 1
    layer.redo()
    session.settle()
    np.testing.assert_array_equal(session.journals()[0].labels, layer.data)


def test_after_a_crash_the_labels_come_back_where_they_were(begin, dead):
    first = begin()
    layer = square(first.viewer, scale=(0.5, 0.25), translate=(3, 4))
    paint(layer, 25, 30)
    paint(layer, 10, 40, 3)
    first.settle()
    expected = layer.data.copy()
    first.die()

    second = begin()
    assert second.strip.offer.startswith("From last time: 2 edits to cells, ")
    second.strip.recover_requested.emit()
    second.wait(lambda: bool(second.viewer.layers))
    (again,) = second.viewer.layers
    assert again.name == "cells (recovered)"
    np.testing.assert_array_equal(again.data, expected)
    np.testing.assert_allclose(again.scale, (0.5, 0.25))
    np.testing.assert_allclose(again.translate, (3, 4))
    assert second.strip.offer == ""
    # The old journal goes only when the labels are safe in a new one.
    second.settle()
    (found,) = second.journals()
    assert found.about.name == "cells (recovered)"
    np.testing.assert_array_equal(found.labels, expected)


def test_what_is_discarded_is_not_offered_again(begin, dead):
    first = begin()
    paint(square(first.viewer), 25, 30)
    first.settle()
    first.die()
    second = begin()
    second.strip.discard_requested.emit()
    second.settle()
    assert second.strip.offer == ""
    assert find_unsaved(second.root) == []


def test_closing_writes_what_was_not_written_yet(begin, dead):
    session = begin()
    layer = square(session.viewer)
    paint(layer, 25, 30)
    session.autosave.close()
    (found,) = session.journals()
    np.testing.assert_array_equal(found.labels, layer.data)


def test_a_removed_layer_keeps_its_journal(begin, dead):
    session = begin()
    layer = square(session.viewer)
    paint(layer, 25, 30)
    expected = layer.data.copy()
    session.viewer.layers.remove(layer)
    session.settle()
    np.testing.assert_array_equal(session.journals()[0].labels, expected)


def test_edited_labels_that_are_replaced_get_a_journal_of_their_own(begin):
    session = begin()
    layer = square(session.viewer)
    paint(layer, 25, 30)
    session.settle()
    layer.data = np.full((40, 50), 7, np.int32)
    session.settle()
    paint(layer, 5, 5, 9)
    session.settle()
    old, new = session.journals()
    assert old.labels.max() == 2
    np.testing.assert_array_equal(new.labels, layer.data)


def test_it_can_be_turned_off_and_that_is_remembered(begin):
    session = begin()
    layer = square(session.viewer)
    session.strip.on_requested.emit(False)
    paint(layer, 25, 30)
    session.settle()
    assert not session.root.exists()
    session.autosave.close()
    assert begin().strip.on == (False, str(session.root))


def test_a_full_disk_is_told_once_and_nothing_is_lost(begin, monkeypatch):
    session = begin()
    layer = square(session.viewer)
    real = journal_module.Journal.flush

    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_module.Journal, "flush", full)
    paint(layer, 25, 30)
    session.wait(lambda: bool(session.warnings))
    paint(layer, 10, 40, 3)
    session.wait(lambda: not session.jobs.is_busy)
    assert len(session.warnings) == 1
    assert "No space left" in session.warnings[0]
    monkeypatch.setattr(journal_module.Journal, "flush", real)
    paint(layer, 30, 10, 4)
    session.settle()
    np.testing.assert_array_equal(session.journals()[-1].labels, layer.data)


def test_a_disk_that_stays_full_is_not_filled_with_beginnings(begin, monkeypatch):
    session = begin()
    layer = square(session.viewer)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "_new_base", full)
        for column in (5, 25, 40):
            paint(layer, 25, column)
            session.wait(lambda: not session.jobs.is_busy)
        assert list(session.root.glob("*")) == []
    paint(layer, 10, 40, 3)
    session.settle()
    (found,) = session.journals()
    np.testing.assert_array_equal(found.labels, layer.data)


def test_closing_while_a_write_waits_loses_nothing(begin, dead):
    session = begin()
    layer = square(session.viewer)
    paint(layer, 25, 30)
    (follower,) = session.autosave.followers
    write = follower.iter_write(session.root)
    next(write)
    write.close()  # as a thread does that is told to stop
    session.autosave.close()
    np.testing.assert_array_equal(session.journals()[0].labels, layer.data)


def test_a_layer_removed_just_before_the_end_is_written(begin, dead):
    session = begin()
    layer = square(session.viewer)
    paint(layer, 25, 30)
    session.viewer.layers.remove(layer)
    session.jobs.close()  # before the thread has come to it
    session.autosave.close()
    np.testing.assert_array_equal(session.journals()[0].labels, layer.data)


def test_a_removed_layer_is_written_by_the_thread(begin, monkeypatch):
    session = begin()
    layer = square(session.viewer)
    threads = []
    real = journal_module.Journal.begin

    def begins(self, labels):
        threads.append(threading.current_thread())
        real(self, labels)

    monkeypatch.setattr(journal_module.Journal, "begin", begins)
    paint(layer, 25, 30)
    session.viewer.layers.remove(layer)
    session.wait(lambda: bool(threads) and not session.jobs.is_busy)
    assert threads[0] is not threading.main_thread()


def test_a_damaged_journal_is_told_of_and_passed_over(begin, dead):
    first = begin()
    paint(square(first.viewer), 25, 30)
    first.settle()
    first.die()
    second = begin()
    (folder,) = second.root.glob("*")
    (folder / "about.json").write_text("{}")
    second.strip.recover_requested.emit()
    second.wait(lambda: bool(second.warnings))
    assert "no journal" in second.warnings[0]
    assert second.strip.offer == ""
    assert not second.viewer.layers


def test_the_strip_says_what_there_is(qtbot):
    strip = RecoverStrip()
    qtbot.addWidget(strip)
    heard = []
    strip.recover_requested.connect(lambda: heard.append("recover"))
    strip.discard_requested.connect(lambda: heard.append("discard"))
    strip.on_requested.connect(heard.append)
    strip.set_on(True, "/a/b")
    strip.set_offer("")
    assert strip.offer.isHidden()
    strip.set_offer("3 edits")
    assert not strip.offer.isHidden()
    assert "/a/b" in strip.on.toolTip()
    strip.recover.click()
    strip.discard.click()
    strip.on.click()
    assert heard == ["recover", "discard", False]
