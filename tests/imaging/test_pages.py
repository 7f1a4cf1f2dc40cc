"""Memory of an array got before it is written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.imaging import pages
from napari_seg.imaging.pages import is_populated_late, populate

BOX = (slice(3, 19), slice(40, 140), slice(300, 420))
SHAPE = (24, 1024, 1024)


def faults_of_writing(labels: np.ndarray) -> int:
    """Return how often this thread waits for memory while it writes a box."""
    resource = pytest.importorskip("resource", reason="Windows has no such count")
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    labels[BOX] = 7
    return int(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has slow huge pages")
def test_what_was_populated_is_written_without_waiting() -> None:
    labels = np.zeros(SHAPE, np.int32)
    if not is_populated_late(labels):
        pytest.skip("huge pages are turned off on this machine")
    steps = list(populate(labels, [BOX]))
    if len(steps) == 1:
        pytest.skip("the system is older than Linux 5.14")
    assert not labels.any()
    # As many would be normal as there are planes in the box, or more.
    assert faults_of_writing(labels) < 4
    assert faults_of_writing(np.zeros(SHAPE, np.int32)) >= 16


def test_values_stay_as_they_are() -> None:
    labels = np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE)
    before = labels.copy()
    for _ in populate(labels, [BOX]):
        labels[5, 50, 310] += 1  # somebody edits meanwhile
        before[5, 50, 310] += 1
    assert np.array_equal(labels, before)


def test_files_lists_of_chunks_and_read_only_arrays_are_left_alone(
    tmp_path: Path,
) -> None:
    mapped = np.memmap(tmp_path / "ids.raw", np.int32, "w+", shape=SHAPE)
    stored = zarr.zeros((8, 512, 512), chunks=(8, 256, 256), dtype="i4")
    fixed = np.zeros(SHAPE, np.int32)
    fixed.flags.writeable = False
    for labels in (mapped, mapped[2:], np.asarray(mapped), stored, fixed):
        assert not is_populated_late(labels)
        assert not list(populate(labels, [BOX]))


def test_a_system_without_the_call_leaves_it_to_the_writer(monkeypatch) -> None:
    monkeypatch.setattr(pages, "_has_huge_pages", lambda: True)
    monkeypatch.setattr(pages, "_madvise", lambda: lambda *_: -1)
    assert len(list(populate(np.zeros(SHAPE, np.int32), [BOX]))) == 1


def test_nothing_to_populate_in_an_empty_edit() -> None:
    assert not list(populate(np.zeros(SHAPE, np.int32), [(slice(0, 0),) * 3]))


@settings(max_examples=60, deadline=None)
@given(
    st.permutations([0, 1, 2]),
    st.tuples(*[st.sampled_from([1, -1, 2])] * 3),
    st.tuples(*[st.tuples(st.integers(0, 5), st.integers(1, 9))] * 3),
)
def test_the_ranges_hold_every_pixel_and_nothing_beyond_the_array(
    order, steps, parts
) -> None:
    memory = np.zeros((12, 900, 800), np.uint16)
    view = memory.transpose(order)[tuple(slice(None, None, s) for s in steps)]
    piece = view[tuple(slice(a, a + n) for a, n in parts)]
    ranges = list(pages._ranges(piece))
    low = memory.__array_interface__["data"][0]
    assert all(low <= a < b <= low + memory.nbytes for a, b in ranges)
    first = piece.__array_interface__["data"][0]
    places = first + sum(
        (np.arange(n) * s).reshape([-1 if i == axis else 1 for i in range(3)])
        for axis, (n, s) in enumerate(zip(piece.shape, piece.strides, strict=True))
    )
    held = np.zeros(places.shape, bool)
    for a, b in ranges:
        held |= (places >= a) & (places + piece.itemsize <= b)
    assert held.all()
