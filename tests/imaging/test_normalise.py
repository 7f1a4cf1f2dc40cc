import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_seg.imaging.normalise import (
    CLIP,
    Normalisation,
    intensity_range,
    rescale_intensity,
)

DTYPES = ["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_real_dtype_maps_its_range_to_zero_and_one(dtype):
    image = np.array([[0, 1], [1, 0]], dtype=dtype)
    out = rescale_intensity(image, intensity_range(image, Normalisation(0, 100)))
    assert out.dtype == np.float32
    assert out.tolist() == [[0, 1], [1, 0]]


def test_nan_and_infinity_do_not_move_the_range():
    clean = np.linspace(0, 100, 101)
    dirty = np.concatenate([clean, [np.nan] * 50, [np.inf] * 50, [-np.inf] * 50])
    assert intensity_range(dirty) == intensity_range(clean)


def test_nan_becomes_zero_and_infinities_the_clip_limits():
    out = rescale_intensity(np.array([np.nan, np.inf, -np.inf]), (2.0, 4.0))
    assert out.tolist() == [0.0, CLIP[1], CLIP[0]]


@pytest.mark.parametrize(
    "image", [np.full((3, 3), 7), np.full((2, 2), np.nan), np.zeros((0, 4))]
)
def test_images_without_contrast_become_zeros(image):
    out = rescale_intensity(image, intensity_range(image))
    assert out.shape == image.shape
    assert not out.any()


def test_few_bright_spots_on_black_still_have_a_range():
    image = np.zeros((200, 200), np.uint16)
    image[5, 5] = 900
    assert intensity_range(image) == (0.0, 900.0)


def test_large_images_are_sampled_close_to_the_true_percentiles():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 10, (1000, 1000))
    whole = np.percentile(image, [1, 99.8])
    sampled = intensity_range(image, max_samples=50_000)
    np.testing.assert_allclose(sampled, whole, atol=1.5)


def test_neighbouring_values_of_wide_integers_stay_apart():
    image = np.array([2**40, 2**40 + 1, 2**40 + 2], np.int64)
    assert rescale_intensity(image, (2**40, 2**40 + 2)).tolist() == [0, 0.5, 1]


@given(st.floats(0.1, 1000), st.floats(-1000, 1000))
def test_gain_and_offset_of_the_camera_do_not_matter(gain, offset):
    image = np.random.default_rng(1).random((20, 20))
    seen = image * gain + offset
    np.testing.assert_allclose(
        rescale_intensity(seen, intensity_range(seen)),
        rescale_intensity(image, intensity_range(image)),
        atol=1e-3,
    )


@given(
    values=st.lists(st.integers(0, 255), min_size=1, max_size=60),
    low=st.floats(0, 100),
    high=st.floats(0, 100),
    dtype=st.sampled_from(["u1", "u2"]),
)
def test_counted_percentiles_are_those_of_numpy(values, low, high, dtype):
    image = np.array(values, dtype)
    expected = np.percentile(image, [low, high])
    if expected[0] == expected[1]:
        expected = image.min(), image.max()
    found = intensity_range(image, Normalisation(low, high))
    np.testing.assert_allclose(found, expected, atol=1e-9)
