"""The table of objects: what is listed, what became of it, and where a click goes."""

from __future__ import annotations

import numpy as np
import pytest
from psygnal import Signal
from test_review import DOUBT, Bench, row_of_objects

from napari_seg.errors import ImageError
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.review import rows as rows_module
from napari_seg.gui.review import table as table_module
from napari_seg.gui.review.rows import RowFilter
from napari_seg.gui.review.table import ReviewTable
from napari_seg.gui.training.marks import toggle_plane


class FakeView:
    row_requested = Signal(object)
    filter_requested = Signal(object)
    colours_requested = Signal(bool)
    shown = Signal()

    def __init__(self):
        self.rows, self.progress = [], ""

    def set_rows(self, rows):
        self.rows = list(rows)

    def set_progress(self, text):
        self.progress = text

    @property
    def states(self):
        return {row.ranked.object_id: row.state.value for row in self.rows}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(table_module, "_AFTER_S", 0.0)
    made = Bench(tmp_path)
    made.view, jobs = FakeView(), Jobs()
    made.all_jobs.append(jobs)
    made.table = ReviewTable(made.viewer, made.view, made.review, made.corrector, jobs)
    yield made
    made.table.close()
    made.review.close()
    made.corrector.close()
    made.network_jobs.close()


def test_objects_are_listed_once_they_are_ranked(bench):
    layer = bench.open(row_of_objects(), DOUBT)
    assert bench.view.rows == []
    bench.next()
    assert [row.ranked.object_id for row in bench.view.rows] == [2, 4, 1, 3]
    assert bench.view.progress == "0 of 4 verified"
    bench.corrector.desk.toggle_lock(4)
    layer.data[layer.data == 1] = 0
    bench.view.shown.emit()
    bench.rest()
    assert bench.view.states == {
        2: "proposed", 4: "verified", 1: "changed", 3: "proposed",
    }  # fmt: skip
    assert bench.view.progress.startswith("1 of 4 verified · ")
    assert bench.view.progress.endswith(" s per object")


def test_filters_leave_out_what_need_not_be_seen(bench):
    bench.open(row_of_objects(), DOUBT)
    bench.next()
    bench.corrector.desk.toggle_lock(4)
    bench.rest()
    for chosen, expected in (
        (RowFilter.LEFT, [2, 1, 3]),
        (RowFilter.VERIFIED, [4]),
        (RowFilter.CHANGED, []),
        (RowFilter.ALL, [2, 4, 1, 3]),
    ):
        bench.view.filter_requested.emit(chosen)
        assert [row.ranked.object_id for row in bench.view.rows] == expected
    assert bench.view.progress.startswith("1 of 4")


def test_one_plane_of_a_stack_is_a_filter_that_follows_the_slider(bench):
    labels = row_of_objects((3, 40, 200))
    labels[:2][labels[:2] == 3] = 0
    bench.open(labels, DOUBT)
    bench.next()
    bench.view.filter_requested.emit(RowFilter.PLANE)
    bench.viewer.dims.set_current_step(0, 2)
    bench.rest()
    assert [row.ranked.object_id for row in bench.view.rows] == [3]


def test_planes_have_rows_of_their_own(bench):
    labels = row_of_objects((3, 40, 200))
    labels[:2][labels[:2] == 3] = 0
    layer = bench.open(labels, DOUBT)
    bench.next()
    assert all(row.ranked.object_id for row in bench.view.rows)
    progress = bench.view.progress
    bench.view.filter_requested.emit(RowFilter.PLANES)
    planes = {row.ranked.plane.z: row for row in bench.view.rows}
    assert sorted(planes) == [0, 1, 2]
    assert planes[2].ranked.area == np.count_nonzero(labels[2])
    assert {row.state.value for row in planes.values()} == {"proposed"}
    bench.view.row_requested.emit(planes[1])
    assert bench.viewer.dims.current_step[0] == 1
    toggle_plane(layer, (1,))
    bench.view.shown.emit()
    bench.rest()
    states = {row.ranked.plane.z: row.state.value for row in bench.view.rows}
    assert states == {0: "proposed", 1: "verified", 2: "proposed"}
    assert bench.view.progress == progress  # that of objects


def test_a_click_goes_there_and_next_goes_on_from_there(bench):
    bench.open(row_of_objects(), DOUBT)
    bench.next()
    bench.view.row_requested.emit(bench.view.rows[2])
    assert bench.object_id == 1
    assert bench.centre == pytest.approx((14.5, 24.5))
    assert bench.next().startswith("Object 3")


def test_the_score_of_a_detector_is_listed(bench):
    layer = bench.open(row_of_objects(), DOUBT)
    kept = layer.metadata["napari_seg"]["segmentation"]
    kept.scores = {2: 0.25, 4: 0.9}
    bench.next()
    assert [row.score for row in bench.view.rows] == [0.25, 0.9, None, None]


def test_labels_are_coloured_by_state_and_get_their_colours_back(bench):
    layer = bench.open(row_of_objects(), DOUBT)
    own = layer.colormap
    bench.view.colours_requested.emit(True)
    assert layer.colormap is own  # nothing is ranked yet
    bench.next()
    bench.corrector.desk.toggle_lock(4)
    layer.data[layer.data == 1] = 0
    bench.view.shown.emit()
    bench.rest()
    blue, green, orange = (layer.get_color(i) for i in (2, 4, 77))
    assert np.argmax(blue[:3]) == 2
    assert np.argmax(green[:3]) == 1
    assert np.argmax(orange[:3]) == 0  # drawn since
    assert not np.allclose(layer.get_color(2), layer.get_color(3))  # neighbours
    assert layer.get_color(0) is None or not layer.get_color(0)[3]
    bench.view.colours_requested.emit(False)
    assert layer.colormap is own
    bench.view.colours_requested.emit(True)
    bench.rest()
    assert layer.colormap is not own
    bench.table.close()
    assert layer.colormap is own


def test_labels_are_coloured_anew_only_where_a_state_is_another_one(bench):
    layer = bench.open(row_of_objects(), DOUBT)
    bench.next()
    bench.view.colours_requested.emit(True)
    bench.rest()
    told = []
    layer.events.colormap.connect(told.append)
    bench.view.shown.emit()
    bench.rest()
    assert not told
    bench.corrector.desk.toggle_lock(4)
    bench.rest()
    assert len(told) == 1
    assert np.argmax(layer.get_color(4)[:3]) == 1


def test_other_labels_in_hand_give_these_their_colours_back(bench):
    layer = bench.open(row_of_objects(), DOUBT)
    own = layer.colormap
    bench.view.colours_requested.emit(True)
    bench.next()
    assert layer.colormap is not own
    bench.viewer.add_labels(row_of_objects(), name="others")
    bench.rest()
    assert layer.colormap is own


def test_labels_that_were_laid_aside_are_not_looked_at_again(bench, monkeypatch):
    bench.open(row_of_objects(), DOUBT)
    bench.next()
    desk, looked_at, shown = bench.corrector.desk, [], []

    def iter_rows(order, labels, *rest):
        looked_at.append(labels)
        return rows_module.iter_rows(order, labels, *rest)

    monkeypatch.setattr(table_module, "iter_rows", iter_rows)
    monkeypatch.setattr(bench.view, "set_rows", shown.append)
    desk.changed.emit()
    bench.table._start()
    bench.viewer.add_labels(row_of_objects(), name="others")
    bench.rest()
    assert len(looked_at) == 1
    assert not any(shown)  # its answer came too late
    desk.changed.emit()
    bench.rest()
    assert len(looked_at) == 1


def test_what_cannot_be_looked_at_is_said(bench, monkeypatch):
    bench.open(row_of_objects(), DOUBT)
    bench.next()

    def iter_rows(*_):
        raise ImageError("The labels cannot be read", "chunk 3")
        yield

    monkeypatch.setattr(table_module, "iter_rows", iter_rows)
    bench.view.shown.emit()
    bench.rest()
    assert bench.view.progress == "⚠ The labels cannot be read (found: chunk 3)."


def test_the_widget_sorts_and_colours(qtbot, bench):
    from qtpy.QtCore import Qt

    from napari_seg.gui.panels.object_table import ObjectTable

    bench.open(row_of_objects(), DOUBT)
    bench.next()
    bench.corrector.desk.toggle_lock(4)
    bench.rest()
    widget = ObjectTable()
    qtbot.addWidget(widget)
    widget.set_rows(bench.view.rows)

    def ids():
        model = widget.model
        return [model.data(model.index(i, 0)) for i in range(model.rowCount())]

    assert ids() == ["2", "4", "1", "3"]
    assert widget.table.isColumnHidden(1)
    assert widget.table.isColumnHidden(3)
    widget.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert ids() == ["1", "2", "3", "4"]
    widget.set_rows(bench.view.rows)  # the order stays as the user has it
    assert ids() == ["1", "2", "3", "4"]
    role = Qt.ItemDataRole.ForegroundRole
    colours = [widget.model.data(widget.model.index(i, 5), role) for i in range(4)]
    assert [colour is not None for colour in colours] == [False, False, False, True]
    wanted = []
    widget.row_requested.connect(wanted.append)
    widget.table.clicked.emit(widget.model.index(2, 0))
    assert wanted[0].ranked.object_id == 3
    assert np.isclose(wanted[0].ranked.score, 0.29, atol=0.01)
