"""Resampling: a part alone equals the part of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.imaging.rescale import (
    MAX_ZOOM,
    plan_axes,
    resample,
    resample_labels,
    resample_plane,
    snap_zoom,
    zoomed_size,
)


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    zoom=st.floats(0.05, 6.0),
    cut=st.tuples(*(st.floats(0, 1) for _ in range(4))),
)
def test_a_block_alone_equals_the_same_part_of_the_whole(
    source: tuple[int, int], zoom: float, cut: tuple[float, float, float, float]
) -> None:
    image = np.random.default_rng(0).random(source, dtype=np.float32)
    target = [zoomed_size(n, zoom) for n in source]
    whole = resample_plane(image, target)
    axes = plan_axes(source, target)
    window = []
    for n, a, b in zip(target, cut[:2], cut[2:], strict=True):
        start = min(n - 1, int(a * n))
        window.append(slice(start, max(start + 1, int(b * n))))
    spans = [
        slice(*axis.source_span(w.start, w.stop))
        for axis, w in zip(axes, window, strict=True)
    ]
    part = resample(image[tuple(spans)], axes, (window[0], window[1]))
    np.testing.assert_allclose(part, whole[tuple(window)], atol=1e-6)


@pytest.mark.parametrize("zoom", [0.13, 0.5, 1.0, 1.7, 4.0])
def test_constants_stay_constant(zoom: float) -> None:
    image = np.full((37, 53), 0.7, np.float32)
    target = [zoomed_size(n, zoom) for n in image.shape]
    np.testing.assert_allclose(resample_plane(image, target), 0.7, atol=1e-6)


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile([0.0, 1.0], (64, 64)).astype(np.float32)
    small = resample_plane(stripes, (8, 16))
    assert np.abs(small[:, 1:-1] - 0.5).max() < 0.02


def test_enlarging_keeps_positions() -> None:
    ramp = np.broadcast_to(np.arange(32, dtype=np.float32), (4, 32))
    large = resample_plane(np.ascontiguousarray(ramp), (4, 96))
    centres = (np.arange(96) + 0.5) / 3 - 0.5
    np.testing.assert_allclose(large[0, 3:-3], centres[3:-3], atol=1e-5)


@pytest.mark.parametrize(
    ("zoom", "expected"),
    [(1.05, 1.0), (0.93, 1.0), (0.5, 0.5), (1e9, MAX_ZOOM), (float("nan"), 1.0)],
)
def test_zooms_snap_to_one_and_stay_sane(zoom: float, expected: float) -> None:
    assert snap_zoom(zoom) == expected


def disc(shape: tuple[int, int], radius: float) -> np.ndarray:
    y, x = np.indices(shape)
    centre = [(n - 1) / 2 for n in shape]
    return np.hypot(y - centre[0], x - centre[1]) - radius


def test_outlines_are_smooth_after_a_fivefold_enlargement() -> None:
    distance = disc((40, 40), 12.3)
    foreground = np.clip(0.5 - distance / 2, 0, 1).astype(np.float32)
    labels = (foreground > 0.5).astype(np.int32)
    axes = plan_axes((40, 40), (200, 200))
    window = (slice(0, 200), slice(0, 200))
    large = resample_labels(labels, foreground, axes, window, threshold=0.5)
    truth = disc((200, 200), 5 * 12.3) < 0
    wrong = np.count_nonzero((large > 0) != truth) / truth.sum()
    blocky = np.count_nonzero(np.kron(labels, np.ones((5, 5))) != truth) / truth.sum()
    assert wrong < 0.01
    assert wrong < 0.25 * blocky


def test_filled_holes_and_dropped_objects_survive_the_enlargement() -> None:
    foreground = np.zeros((30, 30), np.float32)
    foreground[5:20, 5:20] = 0.9
    foreground[10:14, 10:14] = 0.1  # a hole the decoder filled
    foreground[24:27, 24:27] = 0.9  # an object the decoder dropped
    labels = np.zeros((30, 30), np.int32)
    labels[5:20, 5:20] = 7
    axes = plan_axes((30, 30), (90, 90))
    window = (slice(0, 90), slice(0, 90))
    large = resample_labels(labels, foreground, axes, window, threshold=0.5)
    assert (large[30:42, 30:42] == 7).all()
    assert not large[66:].any()


def test_neighbours_keep_their_border_when_enlarged() -> None:
    labels = np.zeros((12, 12), np.int32)
    labels[2:10, 2:6], labels[2:10, 6:10] = 1, 2
    foreground = (labels > 0).astype(np.float32)
    axes = plan_axes((12, 12), (48, 48))
    window = (slice(0, 48), slice(0, 48))
    large = resample_labels(labels, foreground, axes, window, threshold=0.5)
    assert (large[20, 8:24] == 1).all()
    assert (large[20, 24:40] == 2).all()


def test_shrunk_labels_are_the_nearest_ones() -> None:
    labels = np.arange(64, dtype=np.int32).reshape(8, 8)
    axes = plan_axes((8, 8), (4, 4))
    small = resample_labels(
        labels,
        np.ones((8, 8), np.float32),
        axes,
        (slice(0, 4), slice(0, 4)),
        threshold=0.5,
    )
    np.testing.assert_array_equal(small, labels[1::2, 1::2])
