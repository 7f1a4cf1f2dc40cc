"""Objects of an odd size or shape come first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import ellipse

from napari_seg.inference.oddness import rank_by_oddness


def cells(count=12, size=6):
    """Return discs in a row, ids from 1, none on the edge."""
    labels = np.zeros((40, 20 * count), np.int32)
    for number in range(count):
        rows, columns = ellipse(20, 10 + 20 * number, size, size)
        labels[rows, columns] = number + 1
    return labels


def test_objects_all_alike_are_not_odd():
    ranking = rank_by_oddness(cells(), "YX")
    assert [one.score for one in ranking.objects] == pytest.approx([0] * 12)


def test_the_large_the_long_and_the_notched_come_first():
    labels = cells()
    labels[labels == 2] = 0
    labels[ellipse(20, 30, 9, 9)] = 2  # large
    labels[labels == 5] = 0
    labels[ellipse(20, 90, 9, 4)] = 5  # of the usual size, but long
    labels[14:21, 147:152][labels[14:21, 147:152] == 8] = 0  # a notch
    ranking = rank_by_oddness(labels, "YX")
    assert {one.object_id for one in ranking.objects[:3]} == {2, 5, 8}
    assert ranking.objects[3].score < 0.1


def test_an_object_that_the_edge_cuts_is_not_odd_for_its_size():
    labels = cells()
    labels[:, :10] = 0  # half of the first one
    scores = {
        o.object_id: o.score for o in rank_by_oddness(labels[:, 10:], "YX").objects
    }
    assert scores[1] < 0.2


def test_the_planes_of_a_stack_are_measured_together():
    labels = np.stack([cells(), cells(), cells()])
    labels[1][labels[1] == 4] = 0
    labels[1][ellipse(20, 70, 9, 9)] = 4
    ranking = rank_by_oddness(labels, "ZYX")
    assert ranking.objects[0].object_id == 4
    assert ranking.objects[0].plane.z == 1
    assert ranking.planes[0].plane.z == 1


def test_of_few_objects_nobody_can_tell():
    ranking = rank_by_oddness(cells(3), "YX")
    assert [one.score for one in ranking.objects] == [0, 0, 0]
    assert rank_by_oddness(np.zeros((9, 9), np.int32), "YX").objects == ()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_neither_ids_nor_mirrors_matter(seed):
    draws = np.random.default_rng(seed)
    labels = cells(8)
    for number in draws.choice(8, 3, replace=False):
        labels[ellipse(20, 10 + 20 * number, *draws.integers(2, 9, 2))] = number + 1
    ids = np.concatenate([[0], draws.permutation(8) + 1])
    scores = {o.object_id: o.score for o in rank_by_oddness(labels, "YX").objects}
    other = ids[labels][:, ::-1].astype(np.int32)
    again = {o.object_id: o.score for o in rank_by_oddness(other, "YX").objects}
    for number, score in scores.items():
        assert again[ids[number]] == pytest.approx(score, abs=1e-6)
