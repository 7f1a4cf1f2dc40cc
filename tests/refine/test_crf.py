"""The dense CRF against its definition, its properties, and bad input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import napari_seg
from napari_seg.errors import ImageError, NapariSegError
from napari_seg.inference.crf import CrfParams, dense_crf
from napari_seg.refine.crf import fold, unfold
from napari_seg.refine.crf_blocks import plan_crf_blocks
from napari_seg.refine.crf_solver import LEAST_PROBABILITY, Kernels, solve_block

ENGINES = ("pydensecrf", "torch")
PARAMS = CrfParams(
    appearance_weight=4,
    appearance_sigma=5,
    intensity_sigma=0.2,
    smoothness_weight=2,
    smoothness_sigma=1.5,
)


def scene(
    shape: tuple[int, ...] = (40, 48), classes: int = 2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of blobs and noisy probabilities of its classes."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 4)
    level = (smooth - smooth.min()) / np.ptp(smooth)
    image = (level + rng.normal(0, 0.03, shape)).astype(np.float32)
    centres = np.linspace(0, 1, classes).reshape(-1, *[1] * len(shape))
    logits = -8 * np.abs(level - centres) + rng.normal(0, 1, (classes, *shape))
    odds = np.exp(logits)
    return image, (odds / odds.sum(0)).astype(np.float32)


def brute_force(
    image: np.ndarray,
    probabilities: np.ndarray,
    params: CrfParams,
    with_itself: bool = True,
) -> np.ndarray:
    """Mean field by the formulas of the paper, every pixel with every pixel."""
    shape = image.shape
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    places = places.reshape(len(shape), -1).T.astype(float)
    tones = image.reshape(-1, 1).astype(float)

    def kernel(features: np.ndarray) -> np.ndarray:
        distance = ((features[:, None] - features[None]) ** 2).sum(-1)
        weights = np.exp(-distance / 2)
        if not with_itself:
            np.fill_diagonal(weights, 0)
        norm = 1 / np.sqrt(weights.sum(1))
        return norm[:, None] * weights * norm

    near = kernel(places / params.smoothness_sigma) * params.smoothness_weight
    alike = np.hstack(
        [places / params.appearance_sigma, tones / params.intensity_sigma]
    )
    both = near + kernel(alike) * params.appearance_weight
    unary = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    unary = unary.reshape(len(probabilities), -1).astype(float)
    found = np.exp(unary)
    for _ in range(params.iterations):
        odds = np.exp(unary + found @ both)
        found = odds / odds.sum(0)
    return found.reshape(probabilities.shape)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_mean_field_of_the_paper(engine: str, classes: int) -> None:
    image, probabilities = scene((20, 24), classes, seed=1)
    params = replace(PARAMS, appearance_weight=2, smoothness_weight=1)
    found = dense_crf(
        image, probabilities, params=params, engine=engine, normalise=False
    )
    assert (found.argmax(0) != probabilities.argmax(0)).mean() > 0.02
    expected = brute_force(image, probabilities, params)
    # The lattice approximates the Gaussian.
    error = np.abs(found - expected)
    assert error.mean() < 0.004
    assert error.max() < 0.08
    assert (found.argmax(0) == expected.argmax(0)).mean() > 0.988


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pixel_is_among_its_own_neighbours(engine: str) -> None:
    # As in the authors' code, unlike in the paper.
    image, probabilities = scene((20, 24), 2)
    params = replace(PARAMS, smoothness_sigma=0.8, appearance_weight=0)
    found = dense_crf(image, probabilities, params=params, engine=engine)
    with_itself, without = (
        np.abs(found - brute_force(image, probabilities, params, is_in)).mean()
        for is_in in (True, False)
    )
    assert without > 2 * with_itself


@pytest.mark.parametrize("shape", [(60, 70), (6, 30, 32)])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_engines_agree(shape: tuple[int, ...], channels: int) -> None:
    _, probabilities = scene(shape, 3)
    image = np.stack([scene(shape, seed=i)[0] for i in range(channels)], axis=-1)
    spacing = (2.0, 0.5, 0.5)[-len(shape) :]
    first, second = (
        dense_crf(image, probabilities, params=PARAMS, engine=e, spacing=spacing)
        for e in ENGINES
    )
    # They may put a pixel on the edge of two simplices into either of them.
    np.testing.assert_allclose(first, second, atol=0.02)
    assert np.abs(first - second).mean() < 1e-4


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    classes=st.integers(2, 5),
    iterations=st.integers(1, 6),
    only=st.booleans(),
    sharp=st.floats(0.1, 30.0),
)
def test_probabilities_add_up_to_one(
    seed: int, classes: int, iterations: int, only: bool, sharp: float
) -> None:
    image, probabilities = scene((12, 14), classes, seed)
    probabilities = probabilities**sharp
    probabilities /= probabilities.sum(0)
    params = replace(PARAMS, iterations=iterations, foreground_only=only)
    found = dense_crf(image, probabilities, params=params)
    assert found.dtype == np.float32
    assert found.shape == probabilities.shape
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(4)), seed=st.integers(0, 99))
def test_permuted_classes_give_the_permuted_result(order: list[int], seed: int) -> None:
    image, probabilities = scene((12, 14), 4, seed)
    found = dense_crf(image, probabilities, params=PARAMS)
    permuted = dense_crf(image, probabilities[order], params=PARAMS)
    np.testing.assert_allclose(permuted, found[order], atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_strong_evidence_is_kept(engine: str) -> None:
    image, _ = scene()
    sure = np.zeros((2, *image.shape), np.float32)
    sure[1, 10:30:4, 8:40] = 1
    sure[0] = 1 - sure[1]
    # 13.8 nats of evidence against at most 5 from all neighbours together
    params = replace(PARAMS, appearance_weight=4, smoothness_weight=1)
    found = dense_crf(image, sure, params=params, engine=engine)
    np.testing.assert_array_equal(found.argmax(0), sure.argmax(0))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_constant_image_leaves_only_gaussian_smoothing(engine: str) -> None:
    _, probabilities = scene()
    flat = np.full(probabilities.shape[1:], 7.0)
    as_appearance = replace(
        PARAMS, appearance_sigma=3, smoothness_weight=0, appearance_weight=2
    )
    as_smoothness = replace(
        PARAMS, smoothness_sigma=3, smoothness_weight=2, appearance_weight=0
    )
    first, second = (
        dense_crf(flat, probabilities, params=p, engine=engine)
        for p in (as_appearance, as_smoothness)
    )
    # Lattices of three and of two dimensions approximate the same Gaussian.
    assert np.abs(first - second).mean() < 0.02
    assert (first.argmax(0) == second.argmax(0)).mean() > 0.97


@pytest.mark.parametrize("engine", ENGINES)
def test_no_iterations_leave_the_probabilities(engine: str) -> None:
    image, probabilities = scene(classes=3)
    params = replace(PARAMS, iterations=0)
    found = dense_crf(image, probabilities, params=params, engine=engine)
    np.testing.assert_allclose(found, probabilities, atol=1e-5)


def test_it_stops_at_an_edge_and_not_at_noise() -> None:
    rng = np.random.default_rng(1)
    image = np.zeros((40, 60))
    image[:, 30:] = 1
    unsure = np.full(image.shape, 0.5) + 0.2 * (np.arange(60) > 33)
    unsure = unsure - 0.1 + rng.normal(0, 0.05, image.shape)
    found = dense_crf(image, np.stack([1 - unsure, unsure]), params=PARAMS)
    np.testing.assert_array_equal(found.argmax(0), image.astype(int))


def test_channels_may_come_first_or_last() -> None:
    image, probabilities = scene()
    colour = np.stack([image, image**2, 1 - image])
    first = dense_crf(colour, probabilities, params=PARAMS)
    last = dense_crf(np.moveaxis(colour, 0, -1), probabilities, params=PARAMS)
    np.testing.assert_array_equal(first, last)


def test_sigmas_may_be_micrometres() -> None:
    image, probabilities = scene((6, 20, 20))
    spacing = (1.5, 0.5, 0.5)
    in_px = dense_crf(image, probabilities, params=PARAMS, spacing=spacing)
    in_um = replace(PARAMS, appearance_sigma=2.5, smoothness_sigma=0.75, unit="um")
    found = dense_crf(image, probabilities, params=in_um, spacing=spacing)
    np.testing.assert_allclose(found, in_px, atol=1e-6)
    with pytest.raises(ImageError, match="pixel size"):
        dense_crf(image, probabilities, params=in_um)


def test_borders_keep_their_share_of_the_foreground() -> None:
    image, probabilities = scene(classes=3)
    params = replace(PARAMS, foreground_only=True)
    found = dense_crf(image, probabilities, params=params)
    two = dense_crf(image, fold(probabilities), params=PARAMS)
    np.testing.assert_allclose(found[0], two[0], atol=1e-6)
    share = probabilities[1] / probabilities[1:].sum(0)
    np.testing.assert_allclose(found[1], share * two[1], atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 0.95), st.integers(0, 2**31))
def test_the_threshold_becomes_even_odds_and_comes_back(
    threshold: float, seed: int
) -> None:
    shares = np.random.default_rng(seed).dirichlet(np.ones(3), (6, 7))
    given = np.moveaxis(shares, -1, 0).astype(np.float32)
    given[:, 0, 0] = 1 - threshold, threshold, 0
    folded = fold(given, threshold)
    assert folded[1, 0, 0] == pytest.approx(0.5, abs=1e-5)
    np.testing.assert_allclose(folded.sum(0), 1, atol=1e-6)
    sure = np.abs(given[1:].sum(0) - threshold) > 1e-4
    assert np.array_equal((folded[1] > 0.5)[sure], (1 - given[0] > threshold)[sure])
    np.testing.assert_allclose(unfold(folded, given, threshold), given, atol=1e-4)


def test_foreground_out_of_nothing_is_still_counted() -> None:
    original = np.zeros((3, 1, 2), np.float32)
    original[0] = 1
    refined = np.array([[[0.25, 1.0]], [[0.75, 0.0]]], np.float32)
    np.testing.assert_allclose(unfold(refined, original).sum(0), 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_blocks_equal_the_whole(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image, probabilities = scene((150, 170), 3)
    whole = dense_crf(image, probabilities, params=PARAMS, engine=engine)
    monkeypatch.setattr("napari_seg.refine.crf_blocks.MOST_PIXELS", 110 * 120)
    blocks = plan_crf_blocks((150, 170), (25, 25), 1)
    assert len(blocks) >= 4
    found = dense_crf(image, probabilities, params=PARAMS, engine=engine)
    assert (found.argmax(0) != probabilities.argmax(0)).mean() > 0.02
    assert np.abs(found - whole).max() < 1e-2
    assert np.abs(found - whole).max() > 0  # they were blocks indeed


@settings(max_examples=50, deadline=None)
@given(
    shape=st.lists(st.integers(1, 3000), min_size=2, max_size=3),
    halo=st.integers(0, 60),
    parts=st.integers(1, 4),
)
def test_cores_tile_the_image(shape: list[int], halo: int, parts: int) -> None:
    blocks = plan_crf_blocks(shape, [halo] * len(shape), parts)
    sizes = [np.prod([s.stop - s.start for s in b.core]) for b in blocks]
    assert sum(sizes) == np.prod(shape)
    for block in blocks:
        for core, read, size in zip(block.core, block.read, shape, strict=True):
            assert read.start == max(0, core.start - halo)
            assert read.stop == min(size, core.stop + halo)


def test_a_window_is_planned_with_its_surroundings() -> None:
    (block,) = plan_crf_blocks((100, 90), (10, 10), 1, (slice(5, 20), slice(70, 90)))
    assert block.core == (slice(5, 20), slice(70, 90))
    assert block.read == (slice(0, 30), slice(60, 90))
    assert block.inner == (slice(5, 20), slice(10, 30))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((9, 9))}, "does not fit"),
        ({"probabilities": np.full((2, 8, 9), 0.4)}, "add up"),
        ({"probabilities": np.full((2, 8, 9), -0.5)}, "between 0 and 1"),
        ({"probabilities": np.full((2, 8, 9), np.nan)}, "between 0 and 1"),
        ({"probabilities": np.ones((1, 8, 9))}, "two classes"),
        ({"probabilities": np.ones((2, 8), int)}, "floats"),
        ({"params": CrfParams(appearance_sigma=0)}, "appearance_sigma"),
        ({"params": CrfParams(intensity_sigma=np.nan)}, "intensity_sigma"),
        ({"params": CrfParams(smoothness_weight=-1)}, "smoothness_weight"),
        ({"params": CrfParams(iterations=-1)}, "iterations"),
        ({"params": CrfParams(iterations=1.5)}, "iterations"),  # type: ignore[arg-type]
        ({"params": CrfParams(unit="mm")}, "unit"),
        ({"spacing": (1.0,)}, "spacing"),
        ({"engine": "caffe"}, "engine"),
    ],
)
def test_bad_input_is_refused(change: dict, message: str) -> None:
    good = {"image": np.zeros((8, 9)), "probabilities": np.full((2, 8, 9), 0.5)}
    with pytest.raises(ImageError, match=message):
        dense_crf(**(good | change))


@pytest.mark.parametrize(
    "change",
    [
        {"image": np.zeros((1, 4, 4))},
        {"image": np.zeros((1, 4, 5), np.float32)},
        {"image": np.full((1, 4, 4), np.nan, np.float32)},
        {"probabilities": np.zeros((1, 4, 4), np.float32)},
        {"probabilities": np.full((2, 4, 4), np.inf, np.float32)},
        {"probabilities": np.zeros((2, 4, 4), int)},
        {"start": (0,)},
        {"kernels": Kernels((1.0,), 1, (1.0, 1.0), 1, 1, 1)},
        {"kernels": Kernels((1.0, 0.0), 1, (1.0, 1.0), 1, 1, 1)},
    ],
)
def test_native_code_sees_no_bad_array(change: dict) -> None:
    good = {
        "image": np.zeros((1, 4, 4), np.float32),
        "probabilities": np.full((2, 4, 4), 0.5, np.float32),
        "start": (0, 0),
        "kernels": Kernels((1.0, 1.0), 1, (1.0, 1.0), 1, 1, 1),
    }
    solve_block(**good)
    with pytest.raises(ImageError):
        solve_block(**(good | change))


def test_without_pydensecrf_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    image, probabilities = scene()
    expected = dense_crf(image, probabilities, params=PARAMS, engine="pydensecrf")
    monkeypatch.setattr("napari_seg.inference.crf.is_installed", lambda: False)
    found = dense_crf(image, probabilities, params=PARAMS)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    with pytest.raises(NapariSegError, match="pip install pydensecrf2"):
        dense_crf(image, probabilities, params=PARAMS, engine="pydensecrf")


def test_it_is_a_public_name() -> None:
    assert napari_seg.dense_crf is dense_crf
