"""Ids across planes."""

from __future__ import annotations

import numpy as np

from napari_seg.imaging.linking import (
    UnionFind,
    dense_lut,
    match_planes,
    overlap_pairs,
    present_ids,
    renumber,
)


def test_shared_pixels_are_counted_for_each_pair() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 6, (40, 50)).astype(np.int32)
    second = rng.integers(0, 4, (40, 50)).astype(np.int32) * 1000
    for a, b, n in zip(*overlap_pairs(first, second), strict=True):
        assert n == np.count_nonzero((first == a) & (second == b))
    assert len(overlap_pairs(first, second)[0]) == 5 * 3


def test_pairs_far_apart_in_number_take_no_large_table() -> None:
    first = np.array([[1, 2_000_000_000]], np.int32)
    second = np.array([[2_000_000_000, 3]], np.int32)
    a, b, n = overlap_pairs(first, second)
    assert sorted(zip(a, b, n, strict=True)) == [
        (1, 2_000_000_000, 1),
        (2_000_000_000, 3, 1),
    ]


def squares(*boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    labels = np.zeros((30, 30), np.int32)
    for label, y0, x0, y1, x1 in boxes:
        labels[y0:y1, x0:x1] = label
    return labels


def test_only_mutual_best_partners_are_matched() -> None:
    first = squares((1, 0, 0, 10, 20))
    second = squares((5, 0, 0, 10, 12), (6, 0, 12, 10, 20))
    assert match_planes(first, second) == [(1, 5)]


def test_slight_overlap_is_no_match() -> None:
    first = squares((1, 0, 0, 10, 10))
    second = squares((2, 8, 0, 18, 10))
    assert match_planes(first, second) == []


def test_empty_planes_have_no_matches() -> None:
    empty = np.zeros((5, 5), np.int32)
    assert match_planes(empty, empty) == []


def test_groups_are_named_by_their_smallest_id() -> None:
    groups = UnionFind()
    groups.union([7, 9])
    groups.union([9, 3])
    assert {groups.find(i) for i in (3, 7, 9)} == {3}
    assert groups.members() == {7: 3, 9: 3}
    np.testing.assert_array_equal(
        groups.roots(np.array([[0, 7, 8, 9]], np.int32)), [[0, 3, 8, 3]]
    )


def test_renumbering_is_dense_and_joins_groups() -> None:
    labels = squares((4, 0, 0, 2, 2), (9, 5, 5, 8, 8), (20, 10, 10, 12, 12))
    groups = UnionFind()
    groups.union([4, 20])
    ids = present_ids([labels])
    np.testing.assert_array_equal(ids, [4, 9, 20])
    renumber(labels, dense_lut(ids, groups))
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert labels[0, 0] == labels[10, 10] != labels[5, 5]


def test_renumbering_nothing_is_fine() -> None:
    labels = np.zeros((4, 4), np.int32)
    renumber(labels, dense_lut(present_ids([labels]), UnionFind()))
    assert not labels.any()
