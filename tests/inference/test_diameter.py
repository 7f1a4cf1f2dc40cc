"""The object diameter: given, from the pixel size, or estimated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_seg.errors import ImageError
from napari_seg.inference.diameter import temper
from napari_seg.inference.scout import Sighting, best_sighting
from napari_seg.inference.segment import (
    SegmentParams,
    estimate_diameter,
    iter_segment,
    segment,
)
from napari_seg.models.checkpoint import Checkpoint

Draw = Callable[..., NDArray[np.float32]]


@pytest.mark.parametrize("factor", [8.0, 5.0, 2.0, 1.0, 0.5, 1 / 3])
def test_the_estimate_is_right_within_half(
    brightness: Checkpoint, spots: Draw, factor: float
) -> None:
    found = estimate_diameter(spots((900, 1100), 12 * factor), brightness)
    assert found == pytest.approx(12 * factor, rel=0.25)


def test_a_segmentation_without_a_diameter_estimates_it(
    brightness: Checkpoint, spots: Draw
) -> None:
    result = segment(spots((480, 600), 60), brightness)
    assert result.diameter_px == pytest.approx(60, rel=0.25)
    assert result.provenance["diameter_origin"] == "estimated"
    assert result.labels.max() == 4 * 5


def test_objects_in_a_corner_are_found(brightness: Checkpoint, spots: Draw) -> None:
    image = np.zeros((3000, 3000), np.float32)
    image[2600:2840, 100:340] = spots((240, 240), 24)
    assert estimate_diameter(image, brightness) == pytest.approx(24, rel=0.25)


def test_stacks_are_judged_by_their_busiest_planes(
    brightness: Checkpoint, spots: Draw
) -> None:
    image = np.zeros((9, 240, 240), np.float32)
    image[6:] = spots((240, 240), 30)
    assert estimate_diameter(image, brightness) == pytest.approx(30, rel=0.25)


@pytest.mark.parametrize("shape", [(200, 200), (1, 1), (5, 300)])
def test_nothing_found_means_no_rescaling_and_is_said(
    brightness: Checkpoint, shape: tuple[int, int]
) -> None:
    image = np.zeros(shape)
    assert estimate_diameter(image, brightness) == brightness.card.object_diameter_px
    messages = []
    generator = iter_segment(image, brightness, SegmentParams())
    while True:
        try:
            messages.append(next(generator).message)
        except StopIteration as stop:
            result = stop.value
            break
    assert result.zoom == 1
    assert result.provenance["diameter_origin"] == "nothing found"
    assert any("not rescaled" in m for m in messages)


def test_the_pixel_size_decides_where_both_are_known(
    brightness: Checkpoint, spots: Draw
) -> None:
    model = replace(brightness, card=replace(brightness.card, pixel_size_um=0.5))
    image = np.stack([spots((96, 96), 24)] * 2)
    for axes, spacing in (("ZYX", (2.0, 0.25, 0.25)), ("TYX", (0.25, 0.25))):
        result = segment(image, model, axes=axes, spacing=spacing)
        assert result.diameter_px == pytest.approx(24)
        assert result.provenance["diameter_origin"] == "pixel size"
    given = segment(image, model, axes="ZYX", spacing=(2, 1, 1), diameter_px=24)
    assert given.provenance["diameter_origin"] == "given"


def test_the_estimate_costs_a_few_tiles_however_large_the_image(
    brightness: Checkpoint, spots: Draw
) -> None:
    estimate_diameter(spots((2048, 2048), 24), brightness)
    pixels = sum(s[0] * s[2] * s[3] for s in brightness.network.sizes)
    assert pixels < 9 * 256**2


def test_a_sighting_counts_for_more_near_the_trained_size() -> None:
    far = Sighting(1.0, 80.0, 9, 0.9)
    near = Sighting(0.25, 80.0, 9, 0.9)
    assert best_sighting([far, near, Sighting(2.0, np.nan, 0, 0.0)], 20.0) is near
    assert best_sighting([Sighting(2.0, np.nan, 0, 0.0)], 20.0) is None


def test_estimates_are_drawn_towards_the_usual_size(brightness: Checkpoint) -> None:
    card = brightness.card
    assert temper(30.0, card) == 30.0
    alike = replace(card, usual_diameter_px=60.0, usual_spread=0.0)
    varied = replace(alike, usual_spread=2.0)
    assert temper(60.0, alike) == pytest.approx(60.0)
    share = 0.09 / (0.09 + 0.16)
    assert temper(30.0, alike) == pytest.approx(60.0 * 0.5**share)
    assert 30.0 < temper(30.0, varied) < 32.0 < temper(30.0, alike)


def test_the_usual_size_tells_in_segmenting(
    brightness: Checkpoint, spots: Draw
) -> None:
    usual = replace(brightness.card, usual_diameter_px=18.0, usual_spread=0.1)
    image = spots((240, 300), 12.0)
    plain = estimate_diameter(image, brightness)
    drawn = estimate_diameter(image, replace(brightness, card=usual))
    assert plain < drawn < 18.0


def test_a_diameter_in_micrometres_is_divided_by_the_pixel_size(
    brightness: Checkpoint,
) -> None:
    image = np.zeros((3, 40, 50), np.uint8)
    result = segment(
        image, brightness, axes="ZYX", spacing=(2, 0.5, 0.5), diameter_um=9
    )
    assert result.diameter_px == pytest.approx(18)
    assert result.provenance["diameter_origin"] == "given"
    with pytest.raises(ImageError, match="needs the pixel size"):
        segment(image, brightness, axes="ZYX", diameter_um=9)
    with pytest.raises(ImageError, match="positive number of micrometres"):
        segment(image, brightness, axes="ZYX", spacing=(1, 1, 1), diameter_um=-1)
