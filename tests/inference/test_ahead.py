"""Results made in threads: in order, with their errors, never far ahead."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_seg.inference import resident
from napari_seg.inference.ahead import map_ahead
from napari_seg.inference.segment import SegmentParams, iter_segment, segment


def threads_of_ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if "napari-seg ahead" in t.name]


@given(st.lists(st.integers()), st.integers(0, 4), st.integers(1, 3))
def test_results_come_in_order(items: list[int], threads: int, waiting: int) -> None:
    made = map_ahead(lambda item: -item, items, threads, waiting)
    assert list(made) == [-item for item in items]


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_whoever_is_quickest(threads: int) -> None:
    def make(index: int) -> int:
        time.sleep(0.01 if index % 2 else 0)
        return index

    assert list(map_ahead(make, range(20), threads)) == list(range(20))
    assert threads_of_ours() == []


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_an_error_appears_at_its_place(threads: int) -> None:
    def make(index: int) -> int:
        if index == 2:
            raise OSError("disk")
        return index

    made = map_ahead(make, range(5), threads)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(OSError, match="disk"):
        next(made)
    assert threads_of_ours() == []


def test_several_threads_make_at_once() -> None:
    together = threading.Barrier(3, timeout=10)
    list(map_ahead(lambda _: together.wait(), range(3), 3))
    assert threads_of_ours() == []


def test_only_a_few_are_made_ahead_of_an_endless_list() -> None:
    made: list[int] = []
    results = map_ahead(made.append, itertools.count(), 2, 3)
    next(results)
    time.sleep(0.1)
    assert len(made) <= 2 * 3 + 1
    results.close()
    assert threads_of_ours() == []


def test_no_process_is_started() -> None:
    results = map_ahead(lambda index: index, range(3), 2)
    next(results)
    assert multiprocessing.active_children() == []
    results.close()


def test_running_ahead_changes_no_label(monkeypatch, brightness, spots) -> None:
    image = spots((300, 260))
    params = SegmentParams(diameter_px=12, tile_px=64)
    expected = segment(image, brightness, diameter_px=12, tile_px=64)
    init = resident.Resident.__init__

    def apart(self, *args, **fields) -> None:
        init(self, *args, **fields)
        self.is_apart, self.helpers = True, 3

    monkeypatch.setattr(resident.Resident, "__init__", apart)
    found = segment(image, brightness, diameter_px=12, tile_px=64)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)

    before = threading.active_count()
    started = iter_segment(image, brightness, replace(params, batch=2))
    next(s for s in started if s.stage == "predict")
    started.close()
    assert threading.active_count() == before
