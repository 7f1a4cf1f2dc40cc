from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_seg.refine.energy import (
    BACKGROUND,
    FOREGROUND,
    Weigh,
    contrast_weights,
    crofton_weights,
    cut_energy,
    minimum_cut,
    neighbour_offsets,
)


def table(weights: NDArray[np.float64]) -> Weigh:
    """Look weights up: one per offset and voxel that the link starts from."""
    flat = weights.reshape(len(weights), -1)
    return lambda k, p, _: flat[k, p]


def all_masks(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    count = int(np.prod(shape))
    bits = np.array(list(product((False, True), repeat=count)))
    return bits.reshape(-1, *shape)


@pytest.mark.parametrize(
    ("shape", "diagonal"),
    [((3, 3), False), ((3, 3), True), ((2, 2, 2), False), ((2, 2, 2), True)],
)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), tied=st.booleans())
def test_cut_equals_brute_force(
    shape: tuple[int, ...], diagonal: bool, seed: int, tied: bool
) -> None:
    rng = np.random.default_rng(seed)
    offsets = neighbour_offsets(len(shape), diagonal=diagonal)
    odds = rng.normal(0, 2, shape)
    weigh = table(rng.exponential(1, (len(offsets), *shape)))
    states = np.zeros(shape, np.int8)
    masks = all_masks(shape)
    if tied:
        states.flat[rng.integers(states.size)] = FOREGROUND
        states.flat[rng.integers(states.size)] = BACKGROUND
        fits = (masks | (states != FOREGROUND)) & ~(masks & (states == BACKGROUND))
        masks = masks[fits.reshape(len(masks), -1).all(axis=1)]
    energies = [cut_energy(mask, odds, offsets, weigh) for mask in masks]
    found = minimum_cut(odds, states, offsets, weigh)
    assert np.array_equal(found, masks[int(np.argmin(energies))])


def test_a_tie_goes_to_the_background() -> None:
    offsets = neighbour_offsets(2)
    weigh = table(np.ones((len(offsets), 4, 4)))
    found = minimum_cut(np.zeros((4, 4)), np.zeros((4, 4), np.int8), offsets, weigh)
    assert not found.any()


def test_numbers_of_neighbours() -> None:
    assert [2 * len(neighbour_offsets(2, diagonal=d)) for d in (False, True)] == [4, 8]
    assert [2 * len(neighbour_offsets(3, diagonal=d)) for d in (False, True)] == [6, 26]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0), (1.0, 2.0)])
def test_cut_links_measure_the_length_of_a_disc(spacing: tuple[float, float]) -> None:
    offsets = neighbour_offsets(2)
    y, x = np.indices((120, 120)) * np.reshape(spacing, (2, 1, 1))
    centre = 60 * np.array(spacing)
    radius = 30.0
    disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    per_voxel = crofton_weights(offsets, spacing)
    weigh = table(np.broadcast_to(per_voxel[:, None, None], (4, 120, 120)))
    length = cut_energy(disc, np.zeros(disc.shape), offsets, weigh) * np.prod(spacing)
    assert length == pytest.approx(2 * np.pi * radius, rel=0.08)


def test_cut_links_measure_the_area_of_an_anisotropic_ball() -> None:
    offsets = neighbour_offsets(3)
    spacing = (2.0, 1.0, 1.0)
    grid = np.indices((20, 40, 40)) * np.reshape(spacing, (3, 1, 1, 1)) - 20
    ball = (grid**2).sum(axis=0) < 15**2
    per_voxel = crofton_weights(offsets, spacing).reshape(-1, 1, 1, 1)
    weigh = table(np.broadcast_to(per_voxel, (13, *ball.shape)))
    area = cut_energy(ball, np.zeros(ball.shape), offsets, weigh) * 2
    assert area == pytest.approx(4 * np.pi * 15**2, rel=0.08)


def test_links_weigh_less_the_longer_they_are() -> None:
    offsets = neighbour_offsets(2)
    by_offset = dict(zip(offsets, crofton_weights(offsets, (1, 1)), strict=True))
    assert by_offset[(0, 1)] == pytest.approx(by_offset[(1, 1)] * np.sqrt(2))
    far = dict(zip(offsets, crofton_weights(offsets, (4, 1)), strict=True))
    assert far[(1, 0)] < far[(0, 1)]


def test_boundary_is_cheap_where_the_image_changes() -> None:
    image = np.zeros((1, 1, 4), np.float32)
    image[..., 2:] = 1
    weigh = contrast_weights(image, [(0, 1)], (1, 1), strength=2.0, sigma=0.5)
    links = weigh(0, np.array([0, 1, 2]), np.array([1, 2, 3]))
    assert links[0] == links[2]
    assert links[1] == pytest.approx(links[0] * np.exp(-2))


def test_where_nothing_is_free_nothing_is_decided() -> None:
    states = np.array([[FOREGROUND, BACKGROUND, BACKGROUND]], np.int8)
    offsets = neighbour_offsets(2)
    found = minimum_cut(
        np.zeros(states.shape), states, offsets, lambda k, p, q: np.ones(len(p))
    )
    assert found.tolist() == [[True, False, False]]
