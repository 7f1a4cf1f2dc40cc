"""Planes of an array that no memory would hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.imaging.plane_store import PlaneStore

SHAPE = (3, 5, 6, 7)


def boxes(shape):
    side = [st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in shape]
    return st.tuples(*side).map(
        lambda sides: tuple(
            slice(a, min(a + n, s)) for (a, n), s in zip(sides, shape, strict=True)
        )
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(boxes(SHAPE), max_size=6), boxes(SHAPE), st.sampled_from([(2, 3), (0, 2)])
)
def test_it_reads_as_an_array_does(written, read, plane_axes):
    store, plain = PlaneStore(SHAPE, plane_axes), np.zeros(SHAPE, np.float32)
    for number, box in enumerate(written, start=1):
        store[box] = plain[box] = number
    assert np.array_equal(store[read], plain[read])
    point = tuple(s.start for s in read)
    assert np.array_equal(store[point[:2]], plain[point[:2]])
    assert store[point] == plain[point]


def test_a_plane_is_a_view_of_what_is_kept():
    store = PlaneStore((4, 8, 8), (1, 2))
    store[2, 1:3, 1:3] = 5
    seen = store[2]
    assert store.holds(seen)
    store[2, 6, 6] = 7
    assert seen[6, 6] == 7
    assert not store.holds(np.zeros(3))


def test_planes_far_from_what_is_seen_are_given_up_and_asked_for_again():
    store = PlaneStore((1000, 64, 64), (1, 2), max_bytes=3 * 64 * 64 * 4)
    for z in range(0, 900, 100):
        assert not store.look_at((slice(z, z + 1), slice(0, 9), slice(0, 9)))
        for near in (z, z + 1):
            store[near, :, :] = z + 1
        assert store.nbytes_kept <= 3 * 64 * 64 * 4
        assert (store[z] == z + 1).all()
    assert store.look_at((slice(100, 101), slice(0, 64), slice(0, 64)))
    assert not store[100].any()
    assert not store.look_at((slice(100, 101), slice(0, 64), slice(0, 64)))


def test_what_is_seen_stays_however_large():
    store = PlaneStore((9, 16, 16), (1, 2), max_bytes=1)
    store.look_at((slice(2, 4), slice(0, 16), slice(0, 16)))
    store[2:5] = 3
    assert store[2:4].all()
    assert not store[4].any()


def test_steps_are_refused():
    with pytest.raises(IndexError):
        PlaneStore((4, 4, 4), (1, 2))[0, ::2]
