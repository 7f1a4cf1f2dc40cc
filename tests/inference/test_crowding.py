"""Objects that touch others come first."""

from itertools import pairwise

import numpy as np
import pytest

from napari_seg.inference.crowding import rank_by_border_weight


def scores(labels, axes="YX"):
    ranking = rank_by_border_weight(labels, axes)
    return {one.object_id: one.score for one in ranking.objects}


def pair(gap):
    labels = np.zeros((30, 60), np.int32)
    labels[10:20, 10:20], labels[10:20, 20 + gap : 30 + gap] = 1, 2
    labels[2:6, 52:56] = 3
    return labels


def test_the_nearer_the_neighbour_the_higher_the_score():
    found = [scores(pair(gap)) for gap in (0, 2, 5, 20)]
    for closer, farther in pairwise(found):
        assert closer[1] > farther[1]
    assert found[0][1] == pytest.approx(found[0][2], rel=0.2)
    assert found[3][1] == pytest.approx(0, abs=0.02)
    assert all(0 <= score <= 1 for one in found for score in one.values())


def test_an_object_alone_is_far_from_all():
    labels = np.zeros((20, 20), np.int32)
    labels[:8, :8] = 5
    assert scores(labels) == {5: 0.0}
    assert scores(np.zeros((5, 5), np.int32)) == {}


def test_surrounded_objects_score_near_one():
    tiles = np.arange(1, 10, dtype=np.int32).reshape(3, 3)
    found = scores(np.kron(tiles, np.ones((9, 9), np.int32)))
    # The image's edge is no rim: those at it are as surrounded as the one within.
    assert min(found.values()) > 0.9


def test_planes_of_a_stack_are_ranked():
    labels = np.stack([pair(20), pair(0)])
    ranking = rank_by_border_weight(labels, "ZYX")
    assert ranking.planes[0].plane.z == 1
