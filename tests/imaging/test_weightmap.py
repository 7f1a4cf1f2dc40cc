import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_seg.errors import LabelsError
from napari_seg.imaging import cell_distances
from napari_seg.imaging.weightmap import border_weight_map


def by_definition(labels, w0=10.0, sigma=5.0, spacing=None):
    """One full-size distance transform per object: slow and obviously right."""
    ids = [i for i in np.unique(labels) if i]
    if len(ids) < 2:
        return np.ones(labels.shape)
    distances = [
        ndimage.distance_transform_edt(labels != i, sampling=spacing) for i in ids
    ]
    d1, d2 = np.sort(distances, axis=0)[:2]
    return 1 + (labels == 0) * w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))


def test_gaps_of_one_and_three_pixels_have_the_values_of_the_formula():
    one = border_weight_map(np.array([[1, 0, 2]]), balance_classes=False)
    np.testing.assert_allclose(one, [[1, 1 + 10 * np.exp(-4 / 50), 1]], rtol=1e-6)
    three = border_weight_map(np.array([[1, 0, 0, 0, 2]]), balance_classes=False)
    np.testing.assert_allclose(three[0, 1:4], 1 + 10 * np.exp(-16 / 50), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.int32,
        st.tuples(st.integers(1, 24), st.integers(1, 24)),
        elements=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3, 9]),
    ),
    st.floats(0.5, 8),
)
def test_two_dimensions_agree_with_the_definition(labels, sigma):
    fast = border_weight_map(labels, sigma=sigma, balance_classes=False)
    np.testing.assert_allclose(fast, by_definition(labels, sigma=sigma), atol=1e-2)


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.int32, (5, 9, 8), elements=st.sampled_from([0] * 8 + [1, 2, 40000])),
    st.tuples(*[st.floats(0.3, 3)] * 3),
)
def test_three_dimensions_with_spacing_agree_with_the_definition(labels, spacing):
    fast = border_weight_map(labels, spacing=spacing, sigma=2, balance_classes=False)
    slow = by_definition(labels, spacing=spacing, sigma=2)
    np.testing.assert_allclose(fast, slow, atol=1e-2)


def test_many_cells_on_several_canvases_agree_with_the_definition(monkeypatch):
    monkeypatch.setattr(cell_distances, "CANVAS_PX", 5000)
    rng = np.random.default_rng(0)
    seeds = np.zeros((90, 110), np.int32)
    seeds[tuple(rng.integers(0, n, 40) for n in seeds.shape)] = np.arange(1, 41)
    labels = ndimage.grey_dilation(seeds, size=(7, 5))
    fast = border_weight_map(labels, balance_classes=False)
    np.testing.assert_allclose(fast, by_definition(labels), atol=1e-2)


@pytest.mark.parametrize("labels", [np.zeros((4, 5), int), np.eye(4, dtype=int)])
def test_fewer_than_two_cells_have_no_border_term(labels):
    weights = border_weight_map(labels, balance_classes=False)
    assert weights.shape == labels.shape
    assert (weights == 1).all()


def test_class_weights_balance_the_classes_and_average_one():
    labels = np.zeros((10, 10), int)
    labels[:2, :5] = 3
    weights = border_weight_map(labels, w0=0)
    cell, background = weights[labels > 0], weights[labels == 0]
    assert cell.sum() == pytest.approx(background.sum())
    assert weights.mean() == pytest.approx(1)


def test_sparse_and_huge_ids_weigh_like_dense_ones():
    dense = np.array([[1, 1, 0, 2, 0, 3]])
    huge = np.array([[7, 7, 0, 2**40, 0, 2**50]])
    np.testing.assert_array_equal(border_weight_map(dense), border_weight_map(huge))


def test_isotropic_spacing_only_changes_the_unit():
    labels = np.array([[1, 0, 0, 2, 0, 0, 0, 3]])
    np.testing.assert_allclose(
        border_weight_map(labels, sigma=5),
        border_weight_map(labels, sigma=2.5, spacing=(0.5, 0.5)),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("labels", "options", "says"),
    [
        (np.zeros((3, 3)), {}, "integer labels"),
        (np.zeros(3, int), {}, "2 or 3 dimensions"),
        (np.array([[-1, 0]]), {}, "negative"),
        (np.zeros((3, 3), int), {"sigma": 0}, "sigma"),
        (np.zeros((3, 3), int), {"spacing": (1, 1, 1)}, "spacing"),
    ],
)
def test_wrong_input_is_refused_in_plain_words(labels, options, says):
    with pytest.raises(LabelsError, match=says):
        border_weight_map(labels, **options)
