import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_seg.training.targets import interior_border_map, open_gaps


def test_a_square_is_an_interior_inside_a_rim():
    labels = np.zeros((9, 9), np.int32)
    labels[1:8, 1:8] = 4
    expected = np.zeros((9, 9), int)
    expected[1:8, 1:8] = 2
    expected[3:6, 3:6] = 1
    assert interior_border_map(labels, border_px=2).tolist() == expected.tolist()


def test_touching_objects_are_parted_by_both_rims():
    labels = np.ones((12, 16), np.int32)
    labels[:, 8:] = 2
    row = interior_border_map(labels, border_px=2)[6]
    # the image's edge is no border
    assert row.tolist() == [1] * 6 + [2] * 4 + [1] * 6


def test_gaps_open_between_touching_objects_only():
    labels = np.array([[1, 1, 2, 2, 0, 3]])
    assert open_gaps(labels).tolist() == [[1, 1, 0, 2, 0, 3]]


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int32, (10, 12), elements=st.sampled_from([0, 0, 1, 2, 3])),
    st.floats(1, 4),
)
def test_every_object_keeps_an_interior_and_its_outline(labels, border_px):
    classes = interior_border_map(labels, border_px=border_px)
    assert ((classes > 0) == (labels > 0)).all()
    for index in set(np.unique(labels)) - {0}:
        assert (classes[labels == index] == 1).any()


@settings(max_examples=60, deadline=None)
@given(arrays(np.int32, (8, 9), elements=st.integers(0, 3)))
def test_no_two_objects_touch_once_gaps_are_open(labels):
    parted = open_gaps(labels)
    for axis in (0, 1):
        a = np.take(parted, range(parted.shape[axis] - 1), axis)
        b = np.take(parted, range(1, parted.shape[axis]), axis)
        assert not ((a > 0) & (b > 0) & (a != b)).any()
    assert np.isin(parted[parted != labels], 0).all()
