from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_seg.imaging.linking import UnionFind, match_planes
from napari_seg.inference.seams import (
    Objects,
    Pairs,
    components,
    link_planes,
    number_objects,
    pair_faces,
    pair_planes,
)


def pairs(*rows: tuple[int, int, int]) -> Pairs:
    return Pairs(*np.array(rows, np.int64).reshape(-1, 3).T)


def found(
    first: list[int], second: list[int], cut: tuple[set[int], set[int]]
) -> list[tuple[int, int]]:
    flags = [np.array([i in one for i in range(9)]) for one in cut]
    result = pair_faces(np.array(first), np.array(second), *flags)
    return list(zip(result.first.tolist(), result.second.tolist(), strict=True))


def test_two_whole_views_are_one_object_if_each_covers_most_of_the_other() -> None:
    assert found([1, 1, 1, 0], [0, 2, 2, 2], (set(), set())) == [(1, 2)]
    assert found([1, 1, 1, 1], [2, 2, 3, 3], (set(), set())) == []


def test_a_part_belongs_to_the_whole_that_covers_most_of_it() -> None:
    # One cell sees two ends of what the other sees is one object.
    assert found([1, 1, 2, 2], [3, 3, 3, 3], ({1, 2}, set())) == [(1, 3), (2, 3)]
    # It does not join two objects that the other cell sees whole.
    assert found([1, 1, 1, 1], [2, 2, 3, 3], ({1}, set())) == []


def test_of_two_parts_one_must_be_covered() -> None:
    assert found([1, 1, 1, 1], [2, 2, 2, 3], ({1}, {2, 3})) == [(1, 2), (1, 3)]
    assert found([1, 1, 0, 0], [0, 2, 2, 2], ({1}, {2})) == []


@given(
    st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_groups_are_those_of_union_find_in_any_order(
    edges: list[tuple[int, int]], random: object
) -> None:
    groups = UnionFind()
    for edge in edges:
        groups.union(edge)
    expected = [groups.find(i) for i in range(20)]
    random.shuffle(edges)  # type: ignore[attr-defined]
    got = components(20, pairs(*((a, b, 1) for a, b in edges)))
    assert got.tolist() == expected


PLANES = hnp.arrays(np.int32, (4, 5), elements=st.integers(0, 4))


@given(PLANES, PLANES)
def test_planes_are_linked_as_in_memory(below: np.ndarray, above: np.ndarray) -> None:
    above = np.where(above > 0, above + 4, 0)
    areas = np.bincount(np.concatenate([below, above]).ravel(), minlength=9)
    shared = pair_planes(np.stack([below, above]))
    half = len(shared.first) // 2  # a pair may be counted in parts
    parts = Pairs(
        np.concatenate([shared.first, shared.first[:half]]),
        np.concatenate([shared.second, shared.second[:half]]),
        np.concatenate([shared.shared, 0 * shared.shared[:half]]),
    )
    links = link_planes(parts, areas)
    got = set(zip(links.first.tolist(), links.second.tolist(), strict=True))
    assert got == set(match_planes(below, above))


def test_joined_objects_get_one_number_and_slivers_at_faces_none() -> None:
    objects = Objects(
        np.array([50, 50, 2, 2, 60]), np.array([True, True, True, False, False])
    )
    numbers, count = number_objects(objects, pairs((0, 1, 9)), None, smallest=10)
    assert numbers.tolist() == [1, 1, 0, 2, 3]
    assert count == 3


def test_planes_are_linked_by_what_is_left_of_their_objects() -> None:
    # Two halves of an object in one plane, and the same object in the next.
    objects = Objects(np.array([30, 30, 60]), np.array([True, True, False]))
    planes = pairs((0, 2, 30), (1, 2, 30))
    numbers, count = number_objects(objects, pairs((0, 1, 9)), planes, smallest=0)
    assert numbers.tolist() == [1, 1, 1]
    assert count == 1


def test_a_volume_without_objects_is_numbered() -> None:
    empty = Objects(np.zeros(0, np.int64), np.zeros(0, bool))
    numbers, count = number_objects(empty, Pairs.none(), Pairs.none(), 0)
    assert len(numbers) == count == 0
