"""What floods are made of, and which of their regions is taken for the object."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg.refine.graphcut import graph_cut
from napari_seg.refine.rating import Flood, Rater, region_features, shipped_rater
from napari_seg.refine.scale import seek
from napari_seg.refine.scene import CutParams, Known
from napari_seg.refine.strokes import Stroke
from napari_seg.refine.volume import Volume
from napari_seg.refine.whole import Look, whole_region

DISTANCE = np.array([[0, 0, 2, 9], [0, 0, 2, 9], [5, 5, 5, 9.0]])
"""Three regions: 2 x 2, 2 x 3 and 3 x 3 voxels."""
LEVELS = np.array([0.0, 2.0, 5.0])


def test_sums_of_nested_regions_are_those_counted_by_hand() -> None:
    flood = Flood(np.searchsorted(LEVELS, DISTANCE), 3)
    assert flood.area.tolist() == [4, 6, 9]
    image = np.where(DISTANCE < 1, 1.0, 0.0)[None]
    length, steps, sizes = flood.outlines(image)
    # Sides shared with voxels outside: 2 + 2, 2 + 3, and 3.
    assert length.tolist() == [4, 5, 3]
    assert steps.tolist() == [[4, 2, 0]]
    assert sizes.tolist() == [[4, 2, 0]]


def test_steps_of_either_direction_cancel_but_their_sizes_add_up() -> None:
    distance = np.array([[5, 0, 0, 5.0]])
    flood = Flood(np.searchsorted(np.array([0.0]), distance), 1)
    length, steps, sizes = flood.outlines(np.array([[[0, 1, 1, 2.0]]]))
    assert length.tolist() == [2]
    assert steps.tolist() == [[0]]
    assert sizes.tolist() == [[2]]


@pytest.mark.parametrize("shape", [(20, 30), (8, 20, 30)])
def test_features_agree_with_each_region_measured_alone(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((2, *shape)).astype(np.float32)
    distance = ndimage.gaussian_filter(rng.random(shape), 2)
    levels = np.quantile(distance, [0.05, 0.2, 0.6])
    found = region_features(image, image[0], distance, levels, [0.0] * len(shape))
    for k, level in enumerate(levels):
        inside = distance <= level
        assert found["spread inside"][k] == pytest.approx(
            np.hypot(*(channel[inside].std() for channel in image)), rel=1e-4
        )
        assert found["texture inside"][k] == pytest.approx(
            image[0][inside].mean(), abs=1e-5
        )
        places = np.argwhere(inside)
        variances = np.linalg.eigvalsh(np.cov(places.T, bias=True))
        assert found["elongation"][k] == pytest.approx(
            np.sqrt(variances[-1] / (variances[0] + 0.3)), rel=1e-4
        )
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_rating_is_one_hidden_layer_of_scaled_features() -> None:
    rater = Rater(
        ("a", "b"),
        np.array([1.0, 0.0]),
        np.array([2.0, 1.0]),
        np.array([[1.0, 0.0, 0.5], [0.0, -1.0, 0.0]]),
        np.array([2.0, 3.0]),
    )
    features = {"b": np.array([0.0, 100.0]), "a": np.array([1.0, 3.0])}
    expected = [2 * np.tanh(0.5), 2 * np.tanh(1.5) + 3 * np.tanh(-4)]
    np.testing.assert_allclose(rater.rate(features), expected)


def test_the_shipped_model_knows_all_features() -> None:
    rater = shipped_rater()
    image = np.zeros((1, *DISTANCE.shape), np.float32)
    found = region_features(image, image[0], DISTANCE, LEVELS, (0.5, 0.5))
    assert set(rater.names) == set(found)
    assert np.isfinite(rater.rate(found)).all()


def textured(side: int, radius: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a busy disc on flat ground of the same mean: a cell in phase contrast."""
    y, x = np.indices((side, side)) - side // 2
    inside = y**2 + x**2 < radius**2
    noise = np.random.default_rng(0).standard_normal((side, side))
    busy = ndimage.gaussian_filter(noise, 1.5)
    busy /= busy.std()
    return np.asarray(np.where(inside, busy, 0.05 * noise), np.float32), inside


def empty(box: tuple[slice, ...]) -> NDArray[np.bool_]:
    return np.zeros([s.stop - s.start for s in box], bool)


@pytest.mark.parametrize("radius", [20, 40, 70])
def test_an_object_is_found_by_its_texture(radius: float) -> None:
    image, truth = textured(400, radius)
    known = Known(empty, empty, lambda _: None)
    stroke = Stroke(np.array([[200, 200]]), True)
    whole = (slice(0, 400),) * 2
    found = seek(Volume(image, 2), [stroke], known, (1.0, 1.0), CutParams(), whole)
    mask = found.within(whole, (1.0, 1.0))
    assert found.fits
    assert (mask & truth).sum() / (mask | truth).sum() > 0.6


def test_regions_hold_strokes_and_spare_what_is_forbidden_or_not_wanted() -> None:
    image, _ = textured(50, 15)
    forbidden = np.zeros(image.shape, bool)
    forbidden[:20] = True
    strokes = [
        Stroke(np.array([[25, 25]]), True),
        Stroke(np.array([[25, 35], [26, 35]]), False),
    ]
    look = Look(image[None], np.abs(image), strokes, forbidden, (1.0, 1.0))
    region, _ = whole_region(look)
    assert region[25, 25]
    assert not region[25:27, 35].any()
    assert not (region & forbidden).any()


def test_padding_around_a_mosaic_does_not_make_the_mosaic_an_object() -> None:
    rows, columns = np.indices((60, 80))
    mosaic = 0.1 * np.random.default_rng(0).standard_normal((60, 80))
    truth = np.zeros((512, 512), bool)
    for middle in (25, 52):
        disc = (rows - 30) ** 2 + (columns - middle) ** 2 < 12**2
        mosaic += disc
        truth[:60, :80] = disc
    image = np.zeros((512, 512), np.float32)
    image[:60, :80] = mosaic
    found = graph_cut(image, [(30, 52)], [])
    assert (found & truth).sum() / (found | truth).sum() > 0.9
