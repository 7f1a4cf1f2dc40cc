"""An iterator in a thread: the same items, the same errors, never far ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_seg.inference import resident
from napari_seg.inference.ahead import map_ahead, run_ahead
from napari_seg.inference.segment import SegmentParams, iter_segment, segment


@given(st.lists(st.integers()), st.integers(0, 4))
def test_the_items_are_the_same(items: list[int], depth: int) -> None:
    assert list(run_ahead(iter(items), depth)) == items


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_error_appears_at_its_place(depth: int) -> None:
    def failing() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("no third")

    ahead = run_ahead(failing(), depth)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="no third"):
        next(ahead)


@given(st.lists(st.integers()), st.integers(0, 4))
def test_what_several_threads_make_comes_in_order(items: list[int], n: int) -> None:
    assert list(map_ahead(lambda item: -item, items, n)) == [-item for item in items]


def test_several_threads_make_at_once_and_end_with_the_last_item() -> None:
    together = threading.Barrier(3, timeout=10)
    before = threading.active_count()
    list(map_ahead(lambda _: together.wait(), range(3), 3))
    assert threading.active_count() == before


def test_items_are_made_in_one_other_thread_and_not_further_ahead_than_allowed() -> (
    None
):
    made: list[int] = []
    makers = set()

    def counting() -> Iterator[int]:
        for i in range(20):
            makers.add(threading.get_ident())
            made.append(i)
            yield i

    for used, _ in enumerate(run_ahead(counting(), 3), start=1):
        time.sleep(0.002)
        assert len(made) <= used + 3
    assert made == list(range(20))
    assert len(makers) == 1
    assert threading.get_ident() not in makers


def test_closing_ends_the_thread_and_closes_what_it_ran() -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.active_count())

    before = threading.active_count()
    ahead = run_ahead(endless(), 2)
    next(ahead)
    ahead.close()
    assert closed == [before]


def test_running_ahead_changes_no_label(monkeypatch, brightness, spots) -> None:
    image = spots((300, 260))
    params = SegmentParams(diameter_px=12, tile_px=64)
    expected = segment(image, brightness, diameter_px=12, tile_px=64)
    init = resident.Resident.__init__

    def apart(self, *args, **fields) -> None:
        init(self, *args, **fields)
        self.ahead, self.helpers = 2, 3

    monkeypatch.setattr(resident.Resident, "__init__", apart)
    found = segment(image, brightness, diameter_px=12, tile_px=64)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)

    before = threading.active_count()
    started = iter_segment(image, brightness, replace(params, batch=2))
    next(s for s in started if s.stage == "predict")
    started.close()
    assert threading.active_count() == before
