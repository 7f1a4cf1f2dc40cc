from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_seg.errors import LabelsError
from napari_seg.imaging import slabs as slabs_module
from napari_seg.imaging.deltas import LabelEdit, bounding_box, join_edit, make_edit
from napari_seg.imaging.edits import (
    delete_objects,
    ids_in,
    merge_objects,
    next_free_id,
    object_box,
    smooth_object,
)
from napari_seg.imaging.objects import is_any_of
from napari_seg.imaging.slabs import box_shape, slabs, whole

DTYPES = ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
SMALL = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7)


@st.composite
def labels_arrays(draw: st.DrawFn) -> NDArray[Any]:
    ids = draw(st.lists(st.integers(1, 127), min_size=1, max_size=6, unique=True))
    dtype = draw(st.sampled_from(DTYPES))
    elements = st.sampled_from([0, 0, *ids])
    return draw(hnp.arrays(dtype, draw(SMALL), elements=elements))


@pytest.fixture
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut even tiny arrays into several slabs."""
    monkeypatch.setattr(slabs_module, "CACHED_VOXELS", 6)
    monkeypatch.setattr(slabs_module, "STORED_VOXELS", 60)


def stored(labels: NDArray[Any], folder: Path) -> Any:
    chunks = tuple(max(1, n // 2) for n in labels.shape)
    array = zarr.create_array(
        folder / "labels.zarr", shape=labels.shape, chunks=chunks, dtype=labels.dtype
    )
    array[...] = labels
    return array


class Grid:
    """Labels that can only be sliced and assigned, like a view of a layer."""

    def __init__(self, labels: NDArray[Any]) -> None:
        self._labels = labels
        self.shape, self.dtype = labels.shape, labels.dtype

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return self._labels[box].copy()

    def __setitem__(self, box: tuple[slice, ...], values: NDArray[Any]) -> None:
        self._labels[box] = values


@given(mask=hnp.arrays(bool, SMALL))
def test_bounding_box_is_the_smallest_one(mask: NDArray[np.bool_]) -> None:
    box = bounding_box(mask)
    points = np.argwhere(mask)
    if len(points):
        assert [s.start for s in box] == points.min(axis=0).tolist()
        assert [s.stop for s in box] == (points.max(axis=0) + 1).tolist()
    else:
        assert box_shape(box) == (0,) * mask.ndim


@settings(max_examples=40, deadline=None)
@given(labels=labels_arrays(), data=st.data())
def test_slabs_cover_a_box_once_in_order(labels: NDArray[Any], data: Any) -> None:
    box = []
    for length in labels.shape:
        low = data.draw(st.integers(0, length - 1))
        box.append(slice(low, data.draw(st.integers(low, length))))
    seen = np.zeros(labels.shape, int)
    last = -1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slabs_module, "CACHED_VOXELS", data.draw(st.integers(1, 40)))
        for slab in slabs(labels, tuple(box)):
            seen[slab] += 1
            assert slab[0].start >= last
            last = slab[0].stop
    inside = np.zeros(labels.shape, int)
    inside[tuple(box)] = 1
    assert np.array_equal(seen, inside)


def test_slabs_of_chunked_arrays_end_with_the_chunks(tmp_path: Path) -> None:
    labels = zarr.create_array(
        tmp_path / "a.zarr", shape=(20, 8, 8), chunks=(4, 8, 8), dtype="uint8"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slabs_module, "STORED_VOXELS", 600)
        found = list(slabs(labels, (slice(2, 19), slice(0, 8), slice(0, 8))))
    assert [(s[0].start, s[0].stop) for s in found] == [(2, 8), (8, 16), (16, 19)]


@pytest.mark.usefixtures("small_slabs")
@settings(max_examples=60, deadline=None)
@given(labels=labels_arrays())
def test_object_box_is_that_of_a_full_search(labels: NDArray[Any]) -> None:
    for object_id in (1, *np.unique(labels).tolist()):
        expected = bounding_box(labels == object_id)
        assert object_box(labels, object_id) == expected
        assert object_box(Grid(labels), object_id) == expected


def test_object_box_stays_within_its_limits() -> None:
    labels = np.ones((6, 7), np.int32)
    within = (slice(2, 4), slice(1, 6))
    assert object_box(labels, 1, within) == within
    assert object_box(labels, 1, within, near=(3, 3)) == within
    assert box_shape(object_box(labels, 9, within)) == (0, 0)


def test_object_box_near_a_voxel_follows_the_object() -> None:
    labels = np.zeros((30, 400, 400), np.uint16)
    labels[3:28, 20:390, 200:205] = 7
    labels[10, 20:25, 10:390] = 7
    labels[12, 300, 300] = 7  # apart, but inside the box
    near = object_box(labels, 7, near=(20, 300, 202))
    assert near == (slice(3, 28), slice(20, 390), slice(10, 390))


def test_object_box_near_reads_little(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((64, 256, 256), np.int32)
    labels[20:30, 100:130, 50:80] = 4
    read: list[int] = []

    class Counted(Grid):
        def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
            read.append(int(np.prod(box_shape(box))))
            return super().__getitem__(box)

    found = object_box(Counted(labels), 4, near=(25, 110, 60))
    assert found == bounding_box(labels == 4)
    assert sum(read) < labels.size / 4


def test_object_box_near_a_wrong_voxel_searches_everywhere() -> None:
    labels = np.zeros((9, 90), np.int32)
    labels[2, 80] = 5
    expected = (slice(2, 3), slice(80, 81))
    assert object_box(labels, 5, near=(0, 0)) == expected
    assert object_box(labels, 5, near=(99, 0)) == expected


@pytest.mark.usefixtures("small_slabs")
@settings(max_examples=60, deadline=None)
@given(labels=labels_arrays(), data=st.data())
def test_ids_in_a_box_or_at_points(labels: NDArray[Any], data: Any) -> None:
    points = np.stack(
        [
            data.draw(hnp.arrays(int, 4, elements=st.integers(0, n - 1)))
            for n in labels.shape
        ],
        axis=1,
    )
    values = labels[tuple(points.T)]
    assert ids_in(labels, points) == sorted({int(v) for v in values if v})
    assert ids_in(Grid(labels), points.tolist()) == ids_in(labels, points)
    box = tuple(slice(0, int(n)) for n in points.max(axis=0) + 1)
    assert ids_in(labels, box) == [int(i) for i in np.unique(labels[box]) if i]


def test_ids_may_be_huge_and_negative_ones_are_none() -> None:
    labels = np.array([[0, 2**60, 3, -7]], np.int64)
    assert ids_in(labels, whole(labels)) == [3, 2**60]
    assert ids_in(labels, []) == []
    assert next_free_id(labels) == 2**60 + 1
    assert next_free_id(np.full((2, 2), -1, np.int8)) == 1
    assert next_free_id(np.zeros((0, 4), np.int8)) == 1


@given(
    block=hnp.arrays(st.sampled_from(DTYPES), SMALL, elements=st.integers(0, 127)),
    ids=st.lists(st.integers(1, 127), max_size=12, unique=True),
)
def test_membership_is_that_of_numpy(block: NDArray[Any], ids: list[int]) -> None:
    wanted = np.array(sorted(ids), block.dtype)
    assert np.array_equal(is_any_of(block, wanted), np.isin(block, wanted))


def test_membership_up_to_the_ends_of_a_type() -> None:
    ids = np.array([1, 2, 3, 4, 255], np.uint8)
    block = np.arange(256).astype(np.uint8)[None]
    assert np.flatnonzero(is_any_of(block, ids)[0]).tolist() == ids.tolist()
    signed = np.array([[-128, -1, 0, 1, 5, 127]], np.int8)
    ids = np.array([1, 2, 3, 4, 5, 127], np.int8)
    assert np.array_equal(is_any_of(signed, ids), np.isin(signed, ids))
    huge = np.array([[2**40, 5, 0]], np.int64)
    ids = np.array([1, 2, 3, 4, 2**40], np.int64)
    assert is_any_of(huge, ids).tolist() == [[True, False, False]]


@pytest.mark.usefixtures("small_slabs")
@settings(max_examples=60, deadline=None)
@given(labels=labels_arrays(), data=st.data())
def test_slabwise_edits_equal_edits_of_the_whole(
    labels: NDArray[Any], data: Any
) -> None:
    ids = data.draw(st.lists(st.integers(1, 127), min_size=1, max_size=8))
    ids += [int(i) for i in np.unique(labels)[:2] if i]
    for edit, expected in (
        (delete_objects(labels, ids), np.where(np.isin(labels, ids), 0, labels)),
        (
            merge_objects(labels, ids),
            np.where(np.isin(labels, ids), ids[0], labels),
        ),
    ):
        start = labels.copy()
        after = labels.copy()
        edit.apply(after)
        assert np.array_equal(after, expected)
        assert edit.box == bounding_box(expected != start)
        assert edit.size == np.count_nonzero(expected != start)
        assert np.array_equal(edit.mask, (expected != start)[edit.box])
        assert np.array_equal(edit.before, start[expected != start])
        assert np.array_equal(edit.after, expected[expected != start])
        assert np.array_equal(after[edit.indices], edit.after)
        edit.inverse().apply(after)
        assert np.array_equal(after, start)


@settings(max_examples=60, deadline=None)
@given(labels=labels_arrays(), seed=st.integers(0, 2**32 - 1))
def test_pieces_join_to_the_edit_of_the_whole(labels: NDArray[Any], seed: int) -> None:
    after = np.random.default_rng(seed).permuted(labels, axis=0)
    planes = [
        ((slice(i, i + 1), *whole(labels)[1:]), labels[i : i + 1], after[i : i + 1])
        for i in range(len(labels))
    ]
    joined = join_edit("x", planes, labels.dtype, labels.ndim)
    assert joined == make_edit("x", (0,) * labels.ndim, labels, after)


def test_edits_are_refused_by_labels_that_have_changed() -> None:
    labels = np.zeros((4, 5), np.int32)
    labels[1:3, 1:4] = 6
    edit = delete_objects(labels, [6])
    assert edit.fits(labels)
    labels[2, 2] = 7
    assert not edit.fits(labels)
    labels[2, 2] = 6
    labels[0, 0] = 9  # elsewhere
    assert edit.fits(labels)


@pytest.mark.usefixtures("small_slabs")
def test_stored_labels_are_edited_like_those_in_memory(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 6, (9, 10, 11)).astype(np.uint16)
    array = stored(labels, tmp_path)
    edits: list[LabelEdit] = [
        merge_objects(array, [4, 2]),
        delete_objects(array, [3]),
        smooth_object(array, 1),
    ]
    for edit in edits:
        edit.apply(array)
    expected = labels.copy()
    for edit in edits:
        edit.apply(expected)
    assert np.array_equal(array[...], expected)
    for edit in reversed(edits):
        edit.inverse().apply(array)
    assert np.array_equal(array[...], labels)
    assert object_box(array, 5) == bounding_box(labels == 5)
    assert ids_in(array, whole(array)) == [1, 2, 3, 4, 5]
    assert next_free_id(array) == 6


def test_only_what_lies_in_the_box_is_merged_or_deleted() -> None:
    labels = np.array([[1, 2], [1, 2]], np.uint8)
    within = (slice(0, 1), slice(0, 2))
    deleted, merged = labels.copy(), labels.copy()
    delete_objects(labels, [1], within=within).apply(deleted)
    assert deleted.tolist() == [[0, 2], [1, 2]]
    merge_objects(labels, [1, 2], within=within).apply(merged)
    assert merged.tolist() == [[1, 1], [1, 2]]


def test_a_merge_of_nothing_or_into_a_locked_object_is_refused() -> None:
    labels = np.array([[1, 2, 3]])
    with pytest.raises(LabelsError, match="nothing to merge"):
        merge_objects(labels, [])
    with pytest.raises(LabelsError, match="object 3"):
        merge_objects(labels, [1, 2], into=3, locked=[3])


def test_coarse_axes_are_smoothed_over_fewer_voxels() -> None:
    labels = np.zeros((7, 31, 31), np.int32)
    labels[2:5, 8:23, 8:23] = 3
    labels[3, 15, 23] = 3  # a bump, and the only thing to smooth in plane
    after = labels.copy()
    smooth_object(labels, 3, spacing=(8.0, 1.0, 1.0)).apply(after)
    assert after[3, 15, 23] == 0
    assert (after[[2, 3, 4], 15, 15] == 3).all()
    assert not after[[1, 5]].any()
