"""Which level of an image is read, and what a part of it is in each level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.imaging.levels import Levels, choose_level, renew_level


@pytest.mark.parametrize(
    ("wanted", "level"),
    [(0.05, 0), (0.1, 0), (0.19, 1), (0.3, 1), (0.37, 2), (0.5, 2), (100.0, 3)],
)
def test_the_coarsest_level_is_chosen_that_is_fine_enough(wanted, level):
    assert choose_level([0.1, 0.2, 0.4, 0.8], wanted) == level


def pyramid(shape, steps=(1, 2, 4)):
    """Levels whose pixels are the first ones of their blocks."""
    finest = np.arange(np.prod(shape)).reshape(shape)
    return Levels([finest[..., ::s, ::s] for s in steps])


def test_as_an_array_it_is_the_finest():
    levels = pyramid((3, 16, 20))
    assert (levels.shape, levels.ndim) == ((3, 16, 20), 3)
    assert np.array_equal(levels[1, 2:4], levels.arrays[0][1, 2:4])


def test_a_part_is_the_same_place_in_every_level():
    part = pyramid((3, 16, 20)).cut((slice(1, 2), slice(4, 12), slice(8, 20)))
    assert [a.shape for a in part.arrays] == [(1, 8, 12), (1, 4, 6), (1, 2, 3)]
    assert len({int(a[0, 0, 0]) for a in part.arrays}) == 1


def test_a_level_is_left_out_where_the_part_ends_within_its_pixels():
    part = pyramid((16, 20)).cut((slice(2, 12), slice(8, 20)))
    assert [a.shape for a in part.arrays] == [(10, 12), (5, 6)]


def test_the_last_pixels_of_odd_sides_belong_to_a_part_that_ends_there():
    part = pyramid((17, 21)).cut((slice(4, 17), slice(0, 21)))
    assert [a.shape for a in part.arrays] == [(13, 21), (7, 11), (4, 6)]


def coarse(labels, steps):
    """Return the ids in the middle of blocks; the steps divide the sides."""
    return labels[tuple(slice(step // 2, None, step) for step in steps)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_level_after_a_change_is_that_of_the_changed_labels(data):
    steps = data.draw(st.sampled_from([(1, 2, 2), (2, 2, 2), (1, 3, 4)]))
    finer = np.arange(4 * 12 * 24).reshape(4, 12, 24)
    level = coarse(finer, steps).copy()
    low = [data.draw(st.integers(0, n - 1)) for n in finer.shape]
    high = [
        data.draw(st.integers(a + 1, n)) for a, n in zip(low, finer.shape, strict=True)
    ]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    finer[box] = -1
    changed = renew_level(finer, level, box)
    assert np.array_equal(level, coarse(finer, steps))
    assert (level[changed] == -1).all()


def test_the_last_pixel_of_an_odd_side_stands_for_the_last_one():
    finer, level = np.zeros((5, 5), int), np.zeros((3, 3), int)
    finer[4, 4] = 8
    assert renew_level(finer, level, (slice(4, 5), slice(4, 5))) == (slice(2, 3),) * 2
    assert level[2, 2] == 8
