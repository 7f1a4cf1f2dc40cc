"""Labels on disk: where their ids are, without reading them again."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_seg.imaging import stored
from napari_seg.imaging.edits import (
    delete_objects,
    fill_holes,
    merge_objects,
    next_free_ids,
    object_box,
    split_object,
)
from napari_seg.imaging.slabs import whole
from napari_seg.imaging.stored import StoredLabels, indexed, places

SHAPE = (24, 64, 64)


class Read:
    """A zarr array that counts the voxels read."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.voxels = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)

    def __getitem__(self, index: Any) -> np.ndarray:
        part = np.asarray(self.array[index])
        self.voxels += part.size
        return part

    def __setitem__(self, index: Any, ids: Any) -> None:
        self.array[index] = ids

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise AssertionError("all labels were read")


def objects() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint32)
    labels[2:6, 10:20, 10:20] = 7
    labels[3:5, 14:16, 14:16] = 0
    labels[18:20, 50:60, 40:44] = 9
    labels[20, 2, 2] = 4_000_000_000
    return labels


@pytest.fixture(params=[{}, {"shards": (16, 32, 32)}, {"zarr_format": 2}])
def disk(tmp_path: Path, request: Any) -> Read:
    """Labels on disk, with and without shards, in both versions of the format."""
    array = zarr.create_array(
        tmp_path / "l.zarr",
        shape=SHAPE,
        chunks=(8, 16, 16),
        dtype="u4",
        **request.param,
    )
    array[...] = objects()
    return Read(array)


@pytest.fixture
def labels(disk: Read) -> StoredLabels:
    return StoredLabels(disk)


def test_only_what_is_stored_is_looked_through(labels, disk):
    for _ in labels.iter_look():
        pass
    pieces = 8 if not getattr(disk.array, "shards", None) else 4
    chunk = np.prod(labels.chunks)
    assert 0 < disk.voxels <= pieces * chunk < np.prod(SHAPE)
    before = disk.voxels
    assert labels.highest() == 4_000_000_000
    assert disk.voxels == before


def test_looking_goes_on_where_it_was_stopped(labels, disk):
    steps = labels.iter_look()
    next(steps), next(steps), steps.close()
    assert not labels.is_known
    assert labels.highest() == 4_000_000_000
    assert labels.is_known


@pytest.mark.parametrize("ids", [[7], [9], [7, 9], [5], [4_000_000_000], None])
def test_ids_lie_in_the_places_that_are_given(labels, ids):
    labels.highest()
    found = np.zeros(SHAPE, bool)
    for box in labels.where(whole(labels), ids):
        found[box] = True
    wanted = np.isin(objects(), ids) if ids else objects() > 0
    assert not (wanted & ~found).any()
    assert found.mean() < 0.6
    assert ids != [5] or not found.any()


def test_places_come_in_the_order_of_planes_and_do_not_overlap(labels):
    labels.highest()
    ends = [(b[0].start, b[0].stop) for b in labels.where(whole(labels), [7, 9])]
    assert ends == sorted(ends)
    assert all(a[1] <= b[0] for a, b in pairwise(ends))


def test_what_is_written_is_known(labels, disk):
    labels.highest()
    labels[23, 60:63, 5] = 11
    disk.array[0, 0, 63] = 12
    labels.note((slice(0, 1), slice(0, 1), slice(63, 64)))
    assert object_box(labels, 11) == (slice(23, 24), slice(60, 63), slice(5, 6))
    assert object_box(labels, 12) == (slice(0, 1), slice(0, 1), slice(63, 64))


def test_edits_are_those_of_labels_in_memory_and_read_little(disk):
    plain = objects()
    labels = StoredLabels(disk)
    labels.highest()
    disk.voxels = 0
    parts = np.ones((4, 10, 10), np.int32)
    parts[:, :, 5:] = 2
    for make in (
        lambda a: fill_holes(a, 7),
        lambda a: split_object(a, 7, parts, (2, 10, 10)),
        lambda a: merge_objects(a, [9, 4_000_000_000]),
        lambda a: delete_objects(a, [7]),
    ):
        edits = [make(plain), make(labels)]
        for edit, array in zip(edits, (plain, labels), strict=True):
            edit.apply(array)
        assert not edits[1].is_empty
        assert np.array_equal(disk.array[...], plain)
    assert disk.voxels < 3 * np.prod(SHAPE)
    assert next_free_ids(labels, 1) == next_free_ids(plain, 1)


def test_a_large_array_on_disk_is_indexed_and_a_small_one_is_not(disk, monkeypatch):
    assert indexed(disk) is disk
    assert indexed(objects()) is not None
    monkeypatch.setattr(stored, "LARGE_VOXELS", 1000)
    assert isinstance(indexed(disk), StoredLabels)
    plain = objects()
    assert indexed(plain) is plain


def test_a_small_box_is_read_before_all_is_known(labels, disk):
    box = (slice(0, 8), slice(0, 32), slice(0, 32))
    assert object_box(labels, 7, box) == (slice(2, 6), slice(10, 20), slice(10, 20))
    assert not labels.is_known
    assert list(places(labels, box)) == [box]


@pytest.mark.parametrize("is_noted", [False, True])
def test_an_edit_does_not_wait_for_the_disk(labels, disk, monkeypatch, *, is_noted):
    if is_noted:
        labels.highest()
        labels.note((slice(0, 8), slice(0, 16), slice(0, 16)))  # to be looked up
    reading, may_go = threading.Event(), threading.Event()

    def slow(self: Read, index: Any) -> np.ndarray:
        reading.set()
        assert may_go.wait(30)
        return np.asarray(self.array[index])

    monkeypatch.setattr(Read, "__getitem__", slow)
    thread = threading.Thread(target=labels.highest)
    thread.start()
    try:
        assert reading.wait(30)
        edit = threading.Thread(
            target=labels.note, args=((slice(0, 1),) * 3, [4_000_000_001])
        )
        edit.start()
        edit.join(10)
        assert not edit.is_alive()
    finally:
        may_go.set()
        thread.join()
    assert labels.highest() == 4_000_000_001
