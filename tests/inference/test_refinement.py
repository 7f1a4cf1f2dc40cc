"""Segmentations whose probabilities are refined by their images."""

import numpy as np
import pytest
from scipy import ndimage

from napari_seg.errors import ImageError, NapariSegError
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.inference.crf import CrfParams, CrfSolver, dense_crf
from napari_seg.inference.refinement import iter_refine, iter_refine_plane
from napari_seg.inference.relabel import Place, iter_relabel
from napari_seg.inference.segment import segment
from napari_seg.models.checkpoint import Checkpoint
from napari_seg.types import run

PARAMS = CrfParams(4.0, 6.0, 0.1, 2.0, foreground_only=True)


def stack(planes: int = 2) -> np.ndarray:
    """Return noisy planes with one bright square each."""
    image = np.zeros((planes, 48, 60))
    for z, plane in enumerate(image):
        plane[12:30, 10 + 5 * z : 28 + 5 * z] = 200
    noise = np.random.default_rng(0).normal(0, 60, image.shape)
    return np.clip(ndimage.gaussian_filter(image, (0, 1, 1)) + noise, 0, 255)


def test_planes_are_refined_one_by_one(brightness: Checkpoint) -> None:
    image = stack()
    plain = segment(image, brightness, axes="ZYX", diameter_px=12)
    before = plain.probabilities.copy()
    refined = run(iter_refine(plain, CrfSolver(PARAMS)))
    assert np.array_equal(plain.probabilities, before)
    assert refined.provenance["crf"]["appearance_weight"] == 4
    assert "crf" not in plain.provenance
    low, high = plain.reader.range_of(0)[0]
    seen = np.clip((image - low) / (high - low), -1, 5).astype(np.float32)
    for z in range(2):
        expected = dense_crf(seen[z], before[:, z], params=PARAMS, normalise=False)
        np.testing.assert_allclose(refined.probabilities[:, z], expected, atol=1e-4)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_no_object_goes_because_of_where_the_threshold_is(
    brightness: Checkpoint, threshold: float
) -> None:
    flat = np.full((40, 40), 100.0)
    flat[0, 0] = 200  # a range to normalise by
    plain = segment(flat, brightness, axes="YX", diameter_px=12, threshold=threshold)
    for more, is_object in ((0.05, True), (-0.05, False)):
        kept = plain.network_probabilities
        kept[1:] = 0
        kept[1], kept[0] = threshold + more, 1 - threshold - more
        refined = run(iter_refine(plain, CrfSolver(PARAMS)))
        foreground = refined.probabilities[1:].sum(0)
        assert np.all((foreground > threshold) == is_object)
        assert np.all(np.abs(foreground - threshold) > 0.05)  # surer than before


def test_segmenting_with_a_crf_derives_the_labels_anew(brightness: Checkpoint) -> None:
    image = stack()
    options = {"axes": "ZYX", "diameter_px": 12}
    plain = segment(image, brightness, **options)
    refined = segment(image, brightness, **options, crf=PARAMS)
    truth = np.zeros(image.shape, bool)
    for z in range(2):
        truth[z, 12:30, 10 + 5 * z : 28 + 5 * z] = True
    wrong = [np.count_nonzero((s.labels > 0) != truth) for s in (plain, refined)]
    assert wrong[1] < 0.75 * wrong[0]
    first, second = refined.labels[0, 20, 20], refined.labels[1, 20, 22]
    assert first == second > 0  # linked through the planes
    assert refined.provenance["parameters"]["crf"]["appearance_weight"] == 4
    forgetful = segment(
        image, brightness, **options, crf=PARAMS, keep_probabilities=False
    )
    assert np.array_equal(forgetful.labels, refined.labels)
    assert forgetful.network_probabilities is None


def test_sigmas_are_those_of_the_image_whatever_the_network_sees(
    brightness: Checkpoint,
) -> None:
    image = stack(1)[0]
    options = {"axes": "YX", "diameter_px": 24.0, "spacing": (0.5, 0.5)}
    half = segment(image, brightness, **options)
    assert half.zoom == 0.5
    in_px = run(iter_refine(half, CrfSolver(PARAMS)))
    in_um = CrfParams(
        foreground_only=True,
        appearance_weight=4,
        intensity_sigma=0.1,
        smoothness_weight=2,
        appearance_sigma=PARAMS.appearance_sigma * 0.5,
        smoothness_sigma=PARAMS.smoothness_sigma * 0.5,
        unit="um",
    )
    found = run(iter_refine(half, CrfSolver(in_um)))
    np.testing.assert_allclose(
        found.network_probabilities, in_px.network_probabilities, atol=1e-5
    )
    bare = segment(image, brightness, axes="YX", diameter_px=24.0)
    with pytest.raises(ImageError, match="pixel size"):
        run(iter_refine(bare, CrfSolver(in_um)))


def test_a_window_is_refined_as_the_plane_is(brightness: Checkpoint) -> None:
    plain = segment(stack(1)[0], brightness, axes="YX", diameter_px=12)
    solver = CrfSolver(PARAMS)
    whole = run(iter_refine(plain, solver)).network_probabilities
    window = (slice(10, 30), slice(20, 44))
    part = np.zeros((3, 20, 24), np.float32)
    run(iter_refine_plane(plain, solver, PlaneIndex(0, 0), part, window))
    np.testing.assert_allclose(part, whole[(slice(None), *window)], atol=1e-2)


def test_labels_get_new_outlines_and_keep_their_ids(brightness: Checkpoint) -> None:
    image = stack(1)[0]
    plain = segment(image, brightness, axes="YX", diameter_px=12, min_size_px=40)
    refined = segment(
        image, brightness, axes="YX", diameter_px=12, min_size_px=40, crf=PARAMS
    )
    instances = plain.instance_params(threshold=0.5, seed_threshold=0.5, min_size_px=40)
    labels = np.where(plain.labels > 0, 70, 0)
    whole = Place(PlaneIndex(0, 0), (slice(0, 48), slice(0, 60)))
    found = run(iter_relabel(plain, labels, CrfSolver(PARAMS), instances, whole))
    assert np.array_equal(found.before, labels)
    assert np.array_equal(found.after > 0, refined.labels > 0)
    assert found.after[20, 20] == 70
    part = Place(PlaneIndex(0, 0), (slice(5, 25), slice(5, 40)))
    piece = run(iter_relabel(plain, labels, CrfSolver(PARAMS), instances, part))
    assert piece.index == (slice(5, 25), slice(5, 40))
    differs = piece.after != found.after[5:25, 5:40]
    assert differs.mean() < 0.01


def test_new_outlines_are_as_fine_as_the_image(brightness: Checkpoint) -> None:
    image = np.kron(stack(1)[0], np.ones((2, 2)))
    plain = segment(image, brightness, axes="YX", diameter_px=24)
    assert plain.zoom == 0.5
    instances = plain.instance_params(threshold=0.5, seed_threshold=0.5)
    whole = Place(PlaneIndex(0, 0), (slice(0, 96), slice(0, 120)))
    found = run(iter_relabel(plain, plain.labels, CrfSolver(PARAMS), instances, whole))
    assert found.after.shape == (96, 120)
    assert np.array_equal(found.before, plain.labels)
    assert 0 < np.count_nonzero(found.after != found.before) < 1000


def test_what_was_not_kept_is_said(brightness: Checkpoint) -> None:
    plain = segment(stack(1)[0], brightness, axes="YX", diameter_px=12)
    plain.reader = None
    with pytest.raises(ImageError, match="not at hand"):
        run(iter_refine(plain, CrfSolver(PARAMS)))
    plain.network_probabilities = None
    with pytest.raises(NapariSegError, match="not kept"):
        run(iter_refine(plain, CrfSolver(PARAMS)))
