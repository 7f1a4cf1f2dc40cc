import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_seg.errors import LabelsError
from napari_seg.imaging.instances import (
    InstanceParams,
    fill_object_holes,
    probabilities_to_labels,
    remove_small,
)

CLASSES = ("background", "interior", "border")


def from_drawing(*rows):
    """Certain probabilities: '.' background, 'o' interior, '#' border."""
    kinds = np.array([[".o#".index(c) for c in row] for row in rows])
    return np.stack([kinds == k for k in range(3)]).astype(np.float32)


def test_touching_cells_are_parted_at_their_borders():
    labels = probabilities_to_labels(
        from_drawing(
            "........",
            ".######.",
            ".#o##o#.",
            ".######.",
            "........",
        ),
        CLASSES,
    )
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) == {0, 1, 2}
    assert (labels[1:4, 1:4] == labels[2, 2]).all()
    assert (labels[1:4, 4:7] == labels[2, 5]).all()
    assert labels[2, 2] != labels[2, 5]


def test_foreground_without_an_interior_is_one_object():
    labels = probabilities_to_labels(from_drawing(".##.", "....", "#..#"), CLASSES)
    assert labels.tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [2, 0, 0, 3]]


def test_two_class_networks_give_connected_components():
    foreground = np.array([[0.9, 0.8, 0.1, 0.7]], np.float32)
    labels = probabilities_to_labels(
        np.stack([1 - foreground, foreground]), ("background", "foreground")
    )
    assert labels.tolist() == [[1, 1, 0, 2]]


def test_a_higher_seed_threshold_splits():
    interior = np.array([[0.9, 0.9, 0.6, 0.9, 0.9]], np.float32)
    probabilities = np.stack([np.zeros_like(interior), interior, 1 - interior])
    split = InstanceParams(seed_threshold=0.8)
    assert probabilities_to_labels(probabilities, CLASSES).max() == 1
    assert probabilities_to_labels(probabilities, CLASSES, split).max() == 2


def test_small_objects_are_removed_and_ids_stay_dense():
    labels = np.array([[5, 5, 5, 0, 2, 0, 9, 9]], np.int32)
    assert remove_small(labels, 2).tolist() == [[1, 1, 1, 0, 0, 0, 2, 2]]


def test_holes_of_one_object_are_filled_but_not_those_between_two():
    labels = np.array(
        [
            [1, 1, 1, 0, 2, 2, 3],
            [1, 0, 1, 0, 2, 0, 3],
            [1, 1, 1, 0, 2, 2, 3],
        ],
        np.int32,
    )
    filled = fill_object_holes(labels)
    assert filled[1, 1] == 1
    assert filled[1, 5] == 0
    assert filled[1, 3] == 0
    assert labels[1, 1] == 0, "the input must not change"


def test_volumes_are_separated_in_three_dimensions():
    probabilities = np.zeros((3, 3, 5, 5), np.float32)
    probabilities[0] = 1
    probabilities[:, 0, 1:3, 1:3] = np.array([0, 1, 0])[:, None, None]
    probabilities[:, 2, 3:5, 3:5] = np.array([0, 1, 0])[:, None, None]
    labels = probabilities_to_labels(probabilities, CLASSES)
    assert labels.shape == (3, 5, 5)
    assert labels.max() == 2


def test_empty_planes_and_plain_background_have_no_objects():
    assert probabilities_to_labels(np.zeros((3, 0, 4), np.float32), CLASSES).size == 0
    background = from_drawing("....", "....")
    assert not probabilities_to_labels(background, CLASSES).any()


def test_wrong_number_of_classes_is_refused():
    with pytest.raises(LabelsError, match="2 planes"):
        probabilities_to_labels(np.zeros((2, 3, 3), np.float32), CLASSES)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (3, 9, 11), elements=st.floats(0, 1, width=16)))
def test_labels_cover_the_foreground_exactly(raw):
    probabilities = (raw + 0.01) / (raw + 0.01).sum(0)
    params = InstanceParams(fill_holes=False)
    labels = probabilities_to_labels(probabilities, CLASSES, params)
    assert ((labels > 0) == (1 - probabilities[0] > 0.5)).all()
    assert set(np.unique(labels)) - {0} == set(range(1, labels.max() + 1))


@settings(max_examples=60, deadline=None)
@given(arrays(np.int32, (8, 9), elements=st.sampled_from([0, 1, 1, 2])))
def test_filling_changes_only_holes_that_one_object_encloses(labels):
    filled = fill_object_holes(labels)
    changed = filled != labels
    assert (labels[changed] == 0).all()
    regions, count = ndimage.label(labels == 0)
    for index in range(1, count + 1):
        region = regions == index
        around = ndimage.binary_dilation(region) & ~region
        edge = region.copy()
        edge[1:-1, 1:-1] = False
        encloses = not edge.any() and len(np.unique(labels[around])) == 1
        assert changed[region].all() if encloses else not changed[region].any()
