"""The pixels under a brush, without a mouse."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_seg.gui.correction.trace import Trace, rectangle_border, thick_line

positions = st.tuples(st.floats(-30, 130), st.floats(-30, 130))


def mask_of(pixels: np.ndarray) -> np.ndarray:
    mask = np.zeros((400, 400), bool)
    mask[tuple((pixels + 120).T)] = True
    return mask


@given(positions, positions, st.floats(0, 12))
def test_a_line_is_one_piece_and_nothing_else_than_what_is_near(a, b, radius):
    pixels = thick_line(a, b, radius)
    _, count = ndimage.label(mask_of(pixels), np.ones((3, 3)))
    assert count == 1
    a, b = np.array(a), np.array(b)
    way = b - a
    share = np.clip((pixels - a) @ way / max(way @ way, 1e-12), 0, 1)
    distance = np.linalg.norm(pixels - a - share[:, None] * way, axis=1)
    assert distance.max() <= max(radius, 0.75) + 1e-6
    assert {tuple(np.rint(a)), tuple(np.rint(b))} <= {tuple(p) for p in pixels}


@given(positions, positions, st.floats(1, 12))
def test_every_pixel_within_the_radius_is_covered(a, b, radius):
    covered = {tuple(p) for p in thick_line(a, b, radius)}
    for share in np.linspace(0, 1, 7):
        middle = np.array(a) + share * (np.array(b) - np.array(a))
        near = np.argwhere(np.ones((27, 27))) - 13 + np.floor(middle).astype(int)
        inside = near[np.linalg.norm(near - middle, axis=1) < radius - 1e-6]
        assert {tuple(p) for p in inside} <= covered


@given(st.lists(positions, min_size=1, max_size=8), st.floats(0, 8))
def test_a_trace_is_the_union_of_its_lines_within_the_labels(path, radius):
    trace = Trace((5, 100, 90), (1, 2), (1, 1), radius)
    expected = np.zeros((5, 100, 90), bool)
    before = path[0]
    for position in path:
        trace.add((3.2, *position))
        line = thick_line(before, position, radius)
        inside = ((line >= 0) & (line < (100, 90))).all(axis=1)
        expected[3][tuple(line[inside].T)] = True
        before = position
    mask = np.zeros_like(expected)
    points = trace.points()
    mask[tuple(points.T)] = True
    assert np.array_equal(mask, expected)
    assert len(points) == mask.sum()


def test_a_plane_outside_the_labels_has_no_pixels():
    trace = Trace((5, 100, 90), (1, 2), (1, 1), 3)
    trace.add((5.6, 10, 10))
    assert len(trace.points()) == 0


def test_a_rectangle_beside_the_labels_touches_nothing():
    trace = Trace((100, 90), (0, 1), (1, 1), 0, is_rectangle=True)
    trace.add((-20, 10))
    trace.add((-5, 30))
    assert len(trace.points()) == 0
    trace.add((5, 30))
    assert trace.points()[:, 0].max() == 5
    assert trace.path.tolist() == [[-20, 10], [5, 30]]


def test_the_border_of_a_rectangle_is_one_pixel_wide():
    border = mask_of(rectangle_border((5, 9), (2, 3)))
    expected = np.zeros((400, 400), bool)
    expected[122:126, 123:130] = True
    expected[123:125, 124:129] = False
    assert np.array_equal(border, expected)
