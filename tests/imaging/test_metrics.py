import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_seg.errors import LabelsError
from napari_seg.imaging.matching import count_matches, iou_matrix
from napari_seg.imaging.metrics import boundary_f, evaluate, pool

LABELS = arrays(
    np.int32,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.integers(0, 4),
)


def test_panoptic_example_computed_by_hand():
    truth = np.zeros((10, 10), int)
    truth[:, 0:3], truth[:, 5:8] = 1, 2
    predicted = np.zeros((10, 10), int)
    predicted[:, 0:4], predicted[:, 6] = 5, 9
    scores = evaluate(predicted, truth)
    assert scores.panoptic_quality == pytest.approx(0.375)
    assert scores.segmentation_quality == pytest.approx(0.75)
    assert scores.recognition_quality == pytest.approx(0.5)
    assert scores.average_precision(0.5) == pytest.approx(1 / 3)
    assert scores.average_precision(0.8) == 0
    # matched at 0.5 .. 0.75, six of the ten thresholds
    assert scores.mean_ap == pytest.approx(6 / 10 / 3)


def test_counting_alone_counts_what_evaluate_counts():
    truth = np.array([[1, 1, 1, 0, 2, 2, 0, 3]])
    predicted = np.array([[1, 1, 0, 0, 2, 2, 5, 0]])
    scores = evaluate(predicted, truth)
    expected = (scores.n_predicted, scores.n_true, scores.true_positives)
    assert count_matches(predicted, truth) == expected
    assert expected[:2] == (3, 3)


def test_iou_of_every_overlapping_pair():
    predicted = np.array([[1, 1, 1, 0, 7, 7]])
    truth = np.array([[2, 2, 3, 3, 0, 0]])
    expected = [[2 / 3, 1 / 4], [0, 0]]
    np.testing.assert_allclose(iou_matrix(predicted, truth).toarray(), expected)


def test_one_object_is_matched_once():
    truth = np.array([[1, 1, 1, 1]])
    halves = np.array([[1, 1, 2, 2]])
    scores = evaluate(halves, truth)
    assert scores.true_positives[0] == 1
    assert scores.average_precision(0.5) == pytest.approx(1 / 2)


def test_nothing_to_find_and_nothing_found_is_perfect():
    scores = evaluate(np.zeros((4, 4), int), np.zeros((4, 4), int))
    assert scores.average_precision(0.5) == 1
    assert scores.panoptic_quality == 1
    assert scores.dice == 1
    assert scores.boundary_f == 1


def test_everything_missed_is_zero():
    truth = np.zeros((6, 6), int)
    truth[2:4, 2:4] = 1
    scores = evaluate(np.zeros_like(truth), truth)
    assert scores.average_precision(0.5) == 0
    assert scores.dice == 0
    assert scores.boundary_f == 0


def test_outlines_shifted_within_the_tolerance_are_right():
    truth = np.zeros((30, 30), int)
    truth[8:20, 8:20] = 1
    assert boundary_f(np.roll(truth, 2, axis=1), truth) == 1
    assert boundary_f(np.roll(truth, 6, axis=1), truth) < 0.6


def test_pooling_adds_counts_and_averages_the_rest():
    truth = np.array([[1, 1, 0, 2, 2]])
    good = evaluate(truth, truth)
    bad = evaluate(np.zeros_like(truth), truth)
    both = pool([good, bad])
    assert (both.n_images, both.n_true, both.true_positives[0]) == (2, 4, 2)
    assert both.average_precision(0.5) == pytest.approx(0.5)
    assert both.dice == pytest.approx((good.dice + bad.dice) / 2)
    assert pool([both]).as_dict() == both.as_dict()


def test_shapes_and_dtypes_are_checked():
    with pytest.raises(LabelsError, match="one shape"):
        evaluate(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(LabelsError, match="Predicted labels must be integers"):
        evaluate(np.zeros((2, 2)), np.zeros((2, 2), int))
    with pytest.raises(LabelsError, match="nothing to pool"):
        pool([])


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_labels_match_themselves_whatever_their_ids(labels):
    renamed = np.where(labels > 0, 1000 - 7 * labels, 0)
    scores = evaluate(renamed, labels)
    assert scores.mean_ap == 1
    assert scores.dice == 1
    assert scores.variation_of_information == pytest.approx(0, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_counts_are_symmetric_and_fall_with_the_threshold(data):
    a = data.draw(LABELS)
    b = data.draw(arrays(np.int32, a.shape, elements=st.integers(0, 4)))
    one, other = evaluate(a, b), evaluate(b, a)
    assert one.true_positives == other.true_positives
    assert list(one.true_positives) == sorted(one.true_positives, reverse=True)
    assert one.dice == pytest.approx(other.dice)
