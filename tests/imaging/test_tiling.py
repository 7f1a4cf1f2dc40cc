"""Tile plans cover every pixel once, at legal sizes and in the right phase."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.imaging.tiling import choose_geometry, mirror_index, plan_tiles

depths = st.integers(0, 4)


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    requested=st.integers(1, 600),
    depth=depths,
    overlap=st.integers(0, 48),
    is_valid=st.booleans(),
    rim=st.integers(0, 40),
)
def test_tiles_cover_every_pixel_once_in_phase(
    shape: tuple[int, int],
    requested: int,
    depth: int,
    overlap: int,
    is_valid: bool,
    rim: int,
) -> None:
    divisor = 2**depth
    rim = 0 if is_valid else min(rim, overlap)
    margin = 3 * 2 ** (depth + 1) - 4 if is_valid else 0
    phase = margin % divisor
    geometry = [
        choose_geometry(
            n,
            requested,
            divisor=divisor,
            margin=margin,
            overlap=0 if is_valid else overlap,
            phase=phase,
            smallest=2 * margin + divisor + (phase - 2 * margin) % divisor,
            rim=rim,
        )
        for n in shape
    ]
    tiles = plan_tiles(shape, geometry)
    count = np.zeros(shape, int)
    for tile in tiles:
        count[tile.write] += 1
        for axis, g in enumerate(geometry):
            read, crop, write = tile.read[axis], tile.crop[axis], tile.write[axis]
            assert read.stop - read.start == g.tile
            assert g.tile % divisor == phase
            assert (read.start + margin + rim) % divisor == 0
            assert crop.stop - crop.start == write.stop - write.start
            assert 0 <= crop.start < crop.stop <= g.output
            assert read.start + margin + crop.start == write.start
            if write.start > 0:
                assert crop.start >= g.overlap
            else:
                assert crop.start >= rim
            if write.stop == shape[axis]:
                assert g.output - crop.stop >= rim
            else:
                assert g.output - crop.stop >= g.overlap
    assert (count == 1).all()


def test_a_tile_is_no_longer_than_asked_for_where_the_network_allows() -> None:
    options = {"divisor": 16, "overlap": 32, "margin": 0, "phase": 0, "smallest": 16}
    assert choose_geometry(5000, 250, **options).tile == 240
    assert choose_geometry(5000, 256, **options).tile <= 256


def test_tiles_are_evened_out_instead_of_overlapping_needlessly() -> None:
    options = {"divisor": 16, "overlap": 32, "margin": 0, "phase": 0, "smallest": 16}
    geometry = choose_geometry(520, 256, **options)
    tiles = plan_tiles((520,), [geometry])
    assert (len(tiles), geometry.tile) == (3, 224)


def test_a_small_image_is_one_tile_no_larger_than_needed() -> None:
    options = {"divisor": 16, "overlap": 32, "margin": 0, "phase": 0, "smallest": 16}
    geometry = choose_geometry(50, 256, **options)
    assert geometry.tile == 64
    assert len(plan_tiles((50,), [geometry])) == 1


def test_plans_have_any_number_of_axes() -> None:
    options = {"divisor": 4, "overlap": 4, "margin": 0, "phase": 0, "smallest": 4}
    shape = (9, 40, 33)
    tiles = plan_tiles(shape, [choose_geometry(n, 24, **options) for n in shape])
    count = np.zeros(shape, int)
    for tile in tiles:
        count[tile.write] += 1
    assert (count == 1).all()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_mirroring_equals_reflection_however_far_it_reaches(size: int) -> None:
    image = np.arange(size)
    expected = np.pad(image, 20, mode="reflect" if size > 1 else "edge")
    np.testing.assert_array_equal(image[mirror_index(-20, size + 20, size)], expected)
