from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import LabelEdit, bounding_box, make_edit
from napari_seg.imaging.edits import (
    add_object,
    delete_objects,
    fill_holes,
    keep_largest_part,
    merge_objects,
    next_free_id,
    smooth_object,
    split_object,
)
from napari_seg.imaging.history import History

DTYPES = ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


def blocks(dtype: str = "int32") -> NDArray[Any]:
    """Return a ring with a hole (3), a bar (7), and two touching bars (20, 21)."""
    labels = np.zeros((24, 30), dtype)
    labels[2:9, 2:9] = 3
    labels[4:6, 4:6] = 0
    labels[12:15, 2:20] = 7
    labels[17:22, 2:10] = 20
    labels[17:22, 10:16] = 21
    return labels


def random_edit(labels: NDArray[Any], rng: np.random.Generator) -> LabelEdit:
    ids = [int(i) for i in np.unique(labels) if i] or [1]
    one, two = (int(rng.choice(ids)) for _ in range(2))
    start = rng.integers(0, 10, 2)
    mask = rng.random((9, 12)) < 0.5
    edits = [
        lambda: add_object(labels, start, mask, next_free_id(labels)),
        lambda: add_object(labels, start, mask, one, overwrite=True),
        lambda: merge_objects(labels, [one, two]),
        lambda: split_object(labels, one, rng.integers(0, 3, labels.shape), (0, 0)),
        lambda: delete_objects(labels, [one]),
        lambda: fill_holes(labels, one),
        lambda: smooth_object(labels, one),
        lambda: keep_largest_part(labels, one),
    ]
    return edits[rng.integers(len(edits))]()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(DTYPES))
def test_undo_restores_every_pixel_and_redo_repeats_it(seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    labels = blocks(dtype)
    history = History(labels)
    states = [labels.copy()]
    for _ in range(6):
        history.apply(random_edit(labels, rng))
        states.append(labels.copy())
    for state in states[-2::-1]:
        history.undo()
        assert np.array_equal(labels, state)
    assert history.undo() is None
    for state in states[1:]:
        history.redo()
        assert np.array_equal(labels, state)
    assert history.redo() is None


def test_edit_holds_only_what_changes() -> None:
    before = np.zeros((5, 6), np.uint16)
    after = before.copy()
    after[1:3, 2:5] = 9
    after[1, 3] = 0
    edit = make_edit("test", (10, 20), before, after)
    assert edit.box == (slice(11, 13), slice(22, 25))
    assert edit.size == 5
    assert edit.before.tolist() == [0] * 5
    assert edit.after.tolist() == [9] * 5
    assert edit.after.dtype == np.uint16
    assert edit.indices[0].tolist() == [11, 11, 12, 12, 12]
    assert edit.indices[1].tolist() == [22, 24, 22, 23, 24]


def test_edit_of_nothing_is_empty_and_changes_nothing() -> None:
    labels = blocks()
    edit = fill_holes(labels, 7)
    assert edit.is_empty
    assert edit.size == 0
    edit.apply(labels)
    assert np.array_equal(labels, blocks())


def test_history_of_large_objects_is_small() -> None:
    labels = np.zeros((40, 200, 200), np.int32)
    z, y, x = np.indices(labels.shape)
    ball = ((z - 20) / 18) ** 2 + ((y - 99) / 50) ** 2 + ((x - 99) / 50) ** 2 < 1
    edit = add_object(labels, (0, 0, 0), ball, 5)
    assert edit.size == ball.sum()
    layer_bytes = 64 * 1024 * 1024 * 4
    assert edit.nbytes < 0.02 * layer_bytes / 100


def test_history_forgets_the_oldest_first() -> None:
    labels = np.zeros((64, 64), np.int32)
    rng = np.random.default_rng(0)
    history = History(labels, 2000)
    for i in range(1, 20):
        history.apply(add_object(labels, (0, 0), rng.random((64, 64)) < 0.5, i))
    assert 1 <= len(history) < 19
    assert history.nbytes <= 2000 or len(history) == 1


def test_a_new_edit_ends_redo() -> None:
    labels = blocks()
    history = History(labels)
    for edit in (delete_objects(labels, [3]), delete_objects(labels, [7])):
        history.apply(edit)
    history.undo()
    history.apply(delete_objects(labels, [20]))
    assert history.redo() is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_add_takes_background_only_unless_asked(dtype: str) -> None:
    labels = blocks(dtype)
    mask = np.ones((24, 30), bool)
    new = next_free_id(labels)
    assert new == 22
    add_object(labels, (0, 0), mask, new).apply(labels)
    assert np.array_equal(labels == new, blocks(dtype) == 0)
    labels = blocks(dtype)
    edit = add_object(labels, (0, 0), mask, new, overwrite=True, locked=[7, 21])
    edit.apply(labels)
    kept = np.isin(blocks(dtype), [7, 21])
    assert np.array_equal(labels[kept], blocks(dtype)[kept])
    assert (labels[~kept] == new).all()


def test_add_trims_the_object_within_its_piece_only() -> None:
    labels = blocks()
    add_object(labels, (12, 0), np.zeros((3, 10), bool), 7).apply(labels)
    assert not (labels[12:15, :10] == 7).any()
    assert (labels[12:15, 10:20] == 7).all()


def test_merge_gives_one_id_and_keeps_the_others() -> None:
    labels = blocks()
    merge_objects(labels, [21, 20, 3]).apply(labels)
    assert np.array_equal(labels == 21, np.isin(blocks(), [3, 20, 21]))
    assert np.array_equal(labels == 7, blocks() == 7)


def test_split_leaves_the_largest_part_its_id() -> None:
    labels = blocks()
    parts = np.ones((24, 30), int)
    parts[:, 5:] = 2
    parts[:, 17:] = 3
    split_object(labels, 7, parts, (0, 0)).apply(labels)
    assert (labels[12:15, 5:17] == 7).all()
    assert sorted({int(labels[13, 2]), int(labels[13, 18])}) == [22, 23]
    assert np.array_equal(labels[blocks() != 7], blocks()[blocks() != 7])


def test_delete_leaves_background() -> None:
    labels = blocks()
    delete_objects(labels, [20, 99]).apply(labels)
    assert (labels[blocks() == 20] == 0).all()
    assert np.array_equal(labels[blocks() != 20], blocks()[blocks() != 20])


def test_fill_holes_spares_enclosed_objects() -> None:
    labels = blocks()
    labels[4, 4] = 9
    fill_holes(labels, 3).apply(labels)
    assert labels[4, 4] == 9
    assert (labels[5, 4:6] == 3).all()
    assert (labels == 3).sum() == 48


def test_fill_holes_works_in_one_plane_of_a_volume() -> None:
    volume = np.zeros((3, 24, 30), np.int32)
    volume[1] = blocks()
    fill_holes(volume, 3).apply(volume)
    assert volume[1, 4, 4] == 3


def test_keep_largest_drops_the_rest() -> None:
    labels = blocks()
    labels[0, 28:] = 7
    keep_largest_part(labels, 7).apply(labels)
    assert np.array_equal(labels, blocks())


def test_smooth_rounds_the_outline_and_keeps_neighbours() -> None:
    labels = blocks()
    labels[15, 8] = 7
    smooth_object(labels, 7).apply(labels)
    assert labels[15, 8] == 0
    assert np.array_equal(labels == 20, blocks() == 20)


def test_smooth_of_one_plane_equals_the_image() -> None:
    flat, volume = blocks(), blocks()[None].copy()
    smooth_object(flat, 3).apply(flat)
    smooth_object(volume, 3).apply(volume)
    thick = np.stack([np.zeros_like(blocks()), blocks()])
    smooth_object(thick, 3).apply(thick)
    assert np.array_equal(thick[1], flat)
    assert np.array_equal(flat, volume[0])


@pytest.mark.parametrize(
    "edit",
    [
        lambda labels: merge_objects(labels, [3, 7], locked=[7]),
        lambda labels: delete_objects(labels, [7], locked=[7]),
        lambda labels: split_object(labels, 7, labels, (0, 0), locked=[7]),
        lambda labels: smooth_object(labels, 7, locked=[7]),
        lambda labels: add_object(labels, (0, 0), labels > 0, 7, locked=[7]),
    ],
)
def test_locked_objects_refuse_edits(edit: Any) -> None:
    with pytest.raises(LabelsError, match="object 7"):
        edit(blocks())


def test_next_id_fills_a_gap_where_the_dtype_ends() -> None:
    labels = np.array([[1, 2, 4, 255]], np.uint8)
    assert next_free_id(labels) == 3
    with pytest.raises(LabelsError, match="int32"):
        next_free_id(np.arange(256, dtype=np.uint8))


def test_ids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LabelsError, match="300"):
        add_object(np.zeros((2, 2), np.uint8), (0, 0), np.ones((2, 2), bool), 300)
    with pytest.raises(LabelsError, match="float"):
        delete_objects(np.zeros((2, 2)), [1])


def test_bounding_box_of_nothing_is_empty() -> None:
    assert bounding_box(np.zeros((3, 4), bool)) == (slice(0, 0), slice(0, 0))
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    assert bounding_box(mask) == (slice(1, 2), slice(2, 3))
