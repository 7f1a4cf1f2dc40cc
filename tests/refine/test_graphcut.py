from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_seg.errors import ImageError, LabelsError
from napari_seg.refine.graphcut import graph_cut
from napari_seg.refine.solver import CutParams


def discs(
    side: int = 90, radius: float = 16, noise: float = 0.1, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return an image of one noisy bright disc, and the disc."""
    y, x = np.indices((side, side))
    disc = (y - side / 2) ** 2 + (x - side / 2 + 3) ** 2 < radius**2
    rng = np.random.default_rng(seed)
    image = disc + noise * rng.standard_normal(disc.shape)
    return image.astype(np.float32), disc


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


CENTRE = [(45, 42)]


def test_one_click_finds_a_disc() -> None:
    image, disc = discs()
    assert iou(graph_cut(image, CENTRE, []), disc) > 0.95


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float64", "bool"])
def test_any_kind_of_number_is_cut(dtype: str) -> None:
    image, disc = discs(noise=0.05)
    data = (np.clip(image, 0, 2) * (1 if dtype == "bool" else 100)).round()
    assert iou(graph_cut(data.astype(dtype), CENTRE, []), disc) > 0.9


def test_the_scale_of_intensities_does_not_matter() -> None:
    image, _ = discs()
    first = graph_cut(image, CENTRE, [])
    assert iou(graph_cut(image * 1000 + 500, CENTRE, []), first) > 0.99
    assert iou(graph_cut(-image, CENTRE, []), first) > 0.97


@pytest.mark.parametrize("channels", [2, 3, 5])
@pytest.mark.parametrize("last", [True, False])
def test_channels_stand_first_or_last(channels: int, last: bool) -> None:
    image, disc = discs()
    data = np.stack([image * (-1) ** c for c in range(channels)], -1 if last else 0)
    marks = np.zeros(disc.shape, bool)
    marks[45, 42] = True
    assert iou(graph_cut(data, marks, np.zeros_like(marks)), disc) > 0.9


def test_masks_and_points_are_the_same_strokes() -> None:
    image, _ = discs()
    marks = np.zeros(image.shape, bool)
    marks[44:46, 42] = True
    beside = np.zeros(image.shape, bool)
    beside[5, 5] = True
    by_mask = graph_cut(image, marks, beside)
    assert np.array_equal(by_mask, graph_cut(image, [(44, 42), (45, 42)], [(5, 5)]))


def test_nan_and_infinity_are_survived() -> None:
    image, disc = discs()
    image[0, :5] = np.nan
    image[40, 42] = np.nan
    assert iou(graph_cut(image, CENTRE, []), disc) > 0.9


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12))
def test_strokes_are_always_honoured(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((30, 34)).astype(np.float32)
    flat = rng.permutation(image.size)[: 2 * count]
    points = np.stack(np.unravel_index(flat, image.shape), axis=1)
    forbidden = rng.random(image.shape) < 0.1
    forbidden.flat[flat] = False
    previous = rng.random(image.shape) < 0.3
    inside, outside = points[:count], points[count:]
    mask = graph_cut(image, inside, outside, previous=previous, forbidden=forbidden)
    assert mask[tuple(inside.T)].all()
    assert not mask[tuple(outside.T)].any()
    assert not (mask & forbidden).any()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), axis=st.integers(0, 2))
def test_a_volume_of_one_plane_is_cut_like_the_image(seed: int, axis: int) -> None:
    image, _ = discs(side=50, radius=10, seed=seed)
    flat = graph_cut(image, [(25, 22)], [(3, 3)], spacing=(1.5, 1))
    volume = np.expand_dims(image, axis)
    spacing = np.insert([1.5, 1.0], axis, 7.0)
    inside, outside = (np.insert(p, axis, 0)[None] for p in ([25, 22], [3, 3]))
    cut = graph_cut(volume, inside, outside, spacing=spacing)
    assert cut.shape == volume.shape
    assert np.array_equal(np.squeeze(cut, axis), flat)


def ball(spacing: tuple[float, float, float]) -> NDArray[np.bool_]:
    shape = [int(60 / s) for s in spacing]
    grid = np.indices(shape) * np.reshape(spacing, (3, 1, 1, 1)) - 30
    return np.asarray((grid**2).sum(axis=0) < 14**2)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
def test_one_click_finds_a_ball_in_a_volume(spacing: tuple[float, ...]) -> None:
    truth = ball(spacing)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    image = truth + 0.15 * rng.standard_normal(truth.shape)
    centre = [[n // 2 for n in truth.shape]]
    mask = graph_cut(image, centre, [], spacing=spacing)
    assert iou(mask, truth) > 0.93


def test_the_unit_of_spacing_does_not_matter() -> None:
    image, _ = discs()
    first = graph_cut(image, CENTRE, [], spacing=(0.5, 0.25))
    assert np.array_equal(graph_cut(image, CENTRE, [], spacing=(2, 1)), first)


def test_spacing_changes_the_cut() -> None:
    rng = np.random.default_rng(3)
    image = rng.random((60, 60)).astype(np.float32)
    first = graph_cut(image, [(30, 30)], [(5, 5)])
    assert not np.array_equal(
        graph_cut(image, [(30, 30)], [(5, 5)], spacing=(6, 1)), first
    )


def test_a_growing_box_ends_like_the_whole_image() -> None:
    image, disc = discs(side=120, radius=38)
    small = graph_cut(image, [(60, 57)], [], params=CutParams(margin_px=8))
    whole = graph_cut(image, [(60, 57)], [], params=CutParams(margin_px=500))
    assert iou(small, disc) > 0.95
    assert (small == whole).mean() > 0.995


def test_coarse_and_exact_passes_agree() -> None:
    image, disc = discs(side=120, radius=38)
    exact = graph_cut(image, [(60, 57)], [], params=CutParams(coarse_voxels=10**6))
    banded = graph_cut(image, [(60, 57)], [], params=CutParams(coarse_voxels=1500))
    assert iou(banded, disc) > 0.95
    assert (exact == banded).mean() > 0.995


class Lazy:
    """An image that counts what is read and refuses to be read whole."""

    def __init__(self, data: NDArray[Any], most: int) -> None:
        self.data, self.most = data, most
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim

    def __getitem__(self, index: Any) -> NDArray[Any]:
        piece = self.data[index]
        assert piece.size <= self.most, f"{piece.shape} was read"
        return piece

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        raise AssertionError("the image was read whole")


def test_only_the_needed_region_is_read() -> None:
    image, disc = discs()
    large = np.random.default_rng(1).normal(0, 0.1, (800, 900)).astype(np.float32)
    large[300:390, 400:490] = image
    # The second look reaches 216 pixels to each side of the click.
    mask = graph_cut(Lazy(large, 433**2), [(345, 442)], [])
    assert mask.shape == large.shape
    assert iou(mask[300:390, 400:490], disc) > 0.95


def test_dask_blocks_beyond_the_box_are_never_computed() -> None:
    image, disc = discs(side=96)

    def block(block_info: Any = None) -> NDArray[np.float32]:
        where = block_info[None]["array-location"]
        assert all(start < 480 for start, _ in where), "a far block was computed"
        here = np.random.default_rng(2).normal(0, 0.1, (96, 96)).astype(np.float32)
        return image if [s for s, _ in where] == [192, 192] else here

    lazy = da.map_blocks(
        block, chunks=((96,) * 10, (96,) * 10), dtype=np.float32, meta=np.empty((0, 0))
    )
    mask = graph_cut(lazy, [(240, 237)], [])
    assert iou(mask[192:288, 192:288], disc) > 0.95


def test_the_network_decides_where_the_image_is_flat() -> None:
    _, disc = discs()
    flat = np.zeros(disc.shape, np.float32)
    probabilities = np.stack([np.where(disc, 0.1, 0.9), np.where(disc, 0.9, 0.1)])
    assert iou(graph_cut(flat, CENTRE, [], probabilities=probabilities), disc) > 0.9


def test_wrong_input_is_named() -> None:
    image, _ = discs()
    with pytest.raises(LabelsError, match="no strokes"):
        graph_cut(image, [], [])
    with pytest.raises(LabelsError, match="overlap"):
        graph_cut(image, [(4, 4)], [(4, 4), (5, 5)])
    with pytest.raises(LabelsError, match="whole pixels"):
        graph_cut(image, [(4.5, 4)], [])
    with pytest.raises(ImageError, match="does not fit"):
        graph_cut(image, [(4, 4, 4)], [])
    with pytest.raises(ImageError, match="Spacing"):
        graph_cut(image, CENTRE, [], spacing=(0, 1))
    with pytest.raises(ImageError, match="probabilities"):
        graph_cut(image, CENTRE, [], probabilities=np.zeros((2, 5, 5)))


def test_strokes_beyond_the_image_are_ignored() -> None:
    image, _ = discs()
    far = graph_cut(image, [*CENTRE, (500, 3)], [(-4, 2)])
    assert np.array_equal(far, graph_cut(image, CENTRE, []))
