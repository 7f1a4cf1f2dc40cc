import numpy as np
import pytest

from napari_seg.training.augmentation import (
    Augmentation,
    elastic_field,
    sampling_grid,
    vary_intensity,
    warp,
)

STILL = Augmentation(
    scale=(1, 1),
    rotate=False,
    elastic_px=0,
    invert=0,
    blur_px=0,
    noise=0,
    intensity=False,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def sample(shape=(40, 50)):
    labels = np.zeros(shape, np.int32)
    labels[8:20, 10:22] = 3
    labels[24:36, 28:44] = 8
    return (labels[None] / 8).astype(np.float32), labels


def test_without_variation_a_patch_is_a_crop():
    image, labels = sample()
    grid = sampling_grid((11, 13), (20, 25), STILL, rng())
    seen, ids = warp(image, labels, grid)
    np.testing.assert_allclose(seen[0], image[0, 15:26, 19:32], atol=1e-5)
    np.testing.assert_array_equal(ids, labels[15:26, 19:32])
    np.testing.assert_array_equal(vary_intensity(seen, STILL, rng()), seen)


def test_image_and_labels_are_warped_by_one_field_and_no_id_appears():
    image, labels = sample()
    params = Augmentation(elastic_px=2)
    for seed in range(20):
        grid = sampling_grid((32, 32), (20, 25), params, rng(seed))
        seen, ids = warp(image, labels, grid)
        assert set(np.unique(ids)) <= {0, 3, 8}
        # the image was made from the ids: away from edges they still agree
        flat = np.abs(seen[0] * 8 - ids) < 0.01
        assert flat.mean() > 0.8


def test_scale_is_source_pixels_per_patch_pixel():
    grid = sampling_grid((3, 3), (10, 20), STILL, rng(), scale=2.5)
    assert grid[0, :, 0].tolist() == [7.5, 10, 12.5]
    assert grid[1, 0].tolist() == [17.5, 20, 22.5]


def test_magnification_covers_its_range():
    params = Augmentation(scale=(0.5, 2.0), rotate=False, elastic_px=0)
    steps = [
        np.diff(sampling_grid((2, 2), (0, 0), params, rng(seed))[0, :, 0])[0]
        for seed in range(200)
    ]
    assert min(steps) == pytest.approx(0.5, abs=0.05)
    assert max(steps) == pytest.approx(2.0, abs=0.1)
    # log-uniform: as often enlarged as shrunk
    assert np.mean(np.array(steps) < 1) == pytest.approx(0.5, abs=0.1)


def test_elastic_displacements_are_smooth_and_have_their_size():
    fields = [elastic_field((64, 48), 10.0, rng(seed)) for seed in range(60)]
    corners = [field[0, 0] for field in fields]
    assert np.std(corners) == pytest.approx(10, rel=0.3)
    assert max(np.abs(np.diff(f, axis=0)).max() for f in fields) < 4
    assert not elastic_field((8, 8), 0.0, rng()).any()


def test_intensity_changes_keep_shape_and_are_finite():
    image = rng().random((2, 24, 24), np.float32)
    for seed in range(40):
        out = vary_intensity(image, Augmentation(invert=0.5), rng(seed))
        assert out.shape == image.shape
        assert out.dtype == np.float32
        assert np.isfinite(out).all()


def test_the_same_generator_gives_the_same_variation():
    image, labels = sample()
    one, two = (
        warp(image, labels, sampling_grid((9, 9), (20, 20), Augmentation(), rng(5)))
        for _ in range(2)
    )
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
