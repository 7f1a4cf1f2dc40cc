from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import LabelEdit
from napari_seg.refine.session import CorrectionSession
from napari_seg.refine.solver import CutParams


def scene(dtype: str = "int32") -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return two touching noisy discs, the left one labelled 17."""
    y, x = np.indices((60, 80))
    left = (y - 30) ** 2 + (x - 25) ** 2 < 12**2
    right = (y - 30) ** 2 + (x - 52) ** 2 < 12**2
    noise = 0.1 * np.random.default_rng(0).standard_normal(left.shape)
    labels = np.where(left, 17, 0).astype(dtype)
    return ((left | right) + noise).astype(np.float32), labels


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "uint64"])
def test_a_click_previews_and_commit_writes_a_new_id(dtype: str) -> None:
    image, labels = scene(dtype)
    before = labels.copy()
    session = CorrectionSession(image, labels)
    edit = session.stroke([(30, 52)], True)
    assert np.array_equal(labels, before)
    assert session.commit() is not None
    assert session.object_id == 18
    assert (labels == 18).sum() == edit.size
    assert 380 < edit.size < 520
    assert np.array_equal(labels == 17, before == 17)


def test_cancel_drops_the_preview() -> None:
    image, labels = scene()
    session = CorrectionSession(image, labels)
    session.stroke([(30, 52)], True)
    session.cancel()
    assert session.commit() is None
    assert session.undo() is None
    assert np.array_equal(labels, scene()[1])


def test_strokes_trim_an_object_that_is_there() -> None:
    image, labels = scene()
    labels[26:34, 60:75] = 17
    session = CorrectionSession(image, labels)
    session.select(17)
    session.stroke([(30, 70)], False)
    session.commit()
    assert labels[30, 70] == 0
    assert labels[30, 25] == 17


def test_a_stroke_that_changes_nothing_leaves_no_step() -> None:
    image, labels = scene()
    session = CorrectionSession(image, labels)
    assert session.stroke([(500, 500)], True).is_empty
    assert session.commit() is None
    session.stroke([(5, 5)], False)
    assert session.commit() is None
    assert session.undo() is None


def test_a_newer_stroke_overrules_an_older_one() -> None:
    image, labels = scene()
    session = CorrectionSession(image, labels)
    session.stroke([(30, 52), (30, 53)], True)
    session.stroke([(30, 53)], False)
    session.commit()
    assert labels[30, 52] == 18
    assert labels[30, 53] == 0


def test_painting_in_between_enters_the_next_cut() -> None:
    image, labels = scene()
    session = CorrectionSession(image, labels)
    session.stroke([(30, 52)], True)
    labels[25:35, 50:54] = 40
    session.commit()
    assert (labels[25:35, 50:54] == 40).all()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), overwrite=st.booleans())
def test_any_sequence_honours_locks_and_can_be_undone(
    seed: int, overwrite: bool
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((24, 28)).astype(np.float32)
    labels = np.kron(rng.integers(0, 5, (6, 7)) * 9, np.ones((4, 4), int))
    original = labels.copy()
    session = CorrectionSession(image, labels, locked=[9], overwrite=overwrite)
    states = [labels.copy()]
    for _ in range(4):
        present = [int(i) for i in np.unique(labels) if i not in (0, 9)]
        session.select(int(rng.choice(present)) if rng.random() < 0.5 else None)
        chosen, before = session.object_id, labels.copy()
        for _ in range(int(rng.integers(1, 3))):
            points = rng.integers(0, 24, (3, 2))
            session.stroke(points, bool(rng.random() < 0.6))
        if session.commit() is not None:
            states.append(labels.copy())
        others = (before != 0) & (before != chosen)
        kept = before == 9 if overwrite else others
        assert np.array_equal(labels[kept], before[kept])
        assert np.array_equal(labels == 9, original == 9)
    for state in states[-2::-1]:
        assert session.undo() is not None
        assert np.array_equal(labels, state)
    assert session.undo() is None
    for state in states[1:]:
        assert session.redo() is not None
        assert np.array_equal(labels, state)


def test_a_locked_object_cannot_be_selected() -> None:
    image, labels = scene()
    session = CorrectionSession(image, labels, locked=[17])
    with pytest.raises(LabelsError, match="object 17"):
        session.select(17)


def test_one_plane_of_a_volume_is_corrected_alone() -> None:
    image, labels = scene()
    volume, ids = np.stack([image] * 3), np.stack([labels] * 3)
    plane = (slice(1, 2), slice(0, 60), slice(0, 80))
    session = CorrectionSession(volume, ids, within=plane)
    session.stroke([(1, 30, 52), (2, 30, 52)], True)
    session.commit()
    assert (ids[1] == 18).sum() > 380
    assert np.array_equal(ids[0], labels)
    assert np.array_equal(ids[2], labels)


def test_reaching_the_limit_is_told() -> None:
    rows = np.indices((300, 40))[1]
    image = ((rows > 10) & (rows < 30)).astype(np.float32)
    labels = np.zeros(image.shape, np.int32)
    params = CutParams(margin_px=6, max_voxels=100)
    session = CorrectionSession(image, labels, params=params)
    session.stroke([(150, 20), (130, 20), (170, 20)], True)
    assert not session.is_complete
    session.cancel()
    assert session.is_complete


def test_labels_that_cannot_be_edited_are_refused() -> None:
    image, labels = scene()
    with pytest.raises(LabelsError, match="integers"):
        CorrectionSession(image, labels.astype(float))
    with pytest.raises(LabelsError, match="in place"):
        CorrectionSession(image, da.from_array(labels))


def test_zarr_labels_are_edited_in_their_box() -> None:
    image, labels = scene("uint16")
    stored = zarr.array(labels, chunks=(20, 20))
    session = CorrectionSession(image, stored)
    session.stroke([(30, 52)], True)
    session.commit()
    assert (stored[:] == 18).sum() > 380
    session.undo()
    assert np.array_equal(stored[:], labels)


def test_an_answer_to_an_older_stroke_is_late() -> None:
    image, labels = scene()
    session = CorrectionSession(image, labels)
    first = session.add_stroke([(30, 52)], True)
    second = session.add_stroke([(30, 53)], True)
    assert first is not None
    assert second is not None
    assert not session.take(first, first.solve())
    assert session.preview().is_empty
    cut = second.solve()
    assert session.take(second, cut)
    assert session.preview().size > 380
    assert second.propose(cut).size == session.preview().size


def test_a_task_is_not_disturbed_by_what_the_user_does_meanwhile() -> None:
    image, labels = scene()
    session = CorrectionSession(image, labels)
    session.select(17)
    task = session.add_stroke([(30, 25)], True)
    assert task is not None
    session.select(None)
    assert task.solve().mask.sum() > 380
    assert not session.take(task, task.solve())


def test_a_stroke_drawn_further_counts_once_and_starts_from_the_same_mask() -> None:
    image, labels = scene()
    parts = CorrectionSession(image, labels)
    parts.stroke([(30, 52)], True)
    for end in range(60, 66):
        points = [(30, x) for x in range(58, end)]
        task = parts.add_stroke(points, False, replace=end > 60)
        assert task is not None
        parts.take(task, task.solve())
    whole = CorrectionSession(image, labels)
    whole.stroke([(30, 52)], True)
    whole.stroke([(30, x) for x in range(58, 65)], False)
    assert len(parts.strokes) == 2
    assert np.array_equal(parts.preview().indices, whole.preview().indices)


class Recorder:
    """A history that belongs to somebody else, as a viewer's does."""

    def __init__(self) -> None:
        self.applied: list[LabelEdit] = []

    def apply(self, edit: LabelEdit) -> None:
        self.applied.append(edit)

    def undo(self) -> LabelEdit | None:
        return self.applied.pop()

    def redo(self) -> LabelEdit | None:
        return None


def test_edits_go_through_the_history_that_is_given() -> None:
    image, labels = scene()
    recorder = Recorder()
    session = CorrectionSession(image, labels, history=recorder)
    session.stroke([(30, 52)], True)
    edit = session.commit()
    assert recorder.applied == [edit]
    assert np.array_equal(labels, scene()[1])
    assert session.undo() is edit


def test_a_stroke_can_be_taken_back_before_it_is_kept() -> None:
    image, labels = scene()
    session = CorrectionSession(image, labels)
    first = session.stroke([(30, 52)], True)
    session.stroke([(30, 62)], False)
    session.stroke([(22, 52)], False)
    session.drop_stroke()
    assert len(session.strokes) == 2
    back = session.drop_stroke()
    assert np.array_equal(back.indices, first.indices)
    assert session.drop_stroke().is_empty
    assert session.drop_stroke().is_empty
    assert session.commit() is None


def test_overwriting_takes_only_from_objects_that_a_stroke_reaches_into() -> None:
    y, x = np.indices((40, 120))
    image = (abs(y - 20) < 10).astype(np.float32)
    labels = np.where(abs(y - 20) < 10, 1 + x // 40, 0).astype(np.int32)
    before = labels.copy()
    session = CorrectionSession(image, labels, overwrite=True)
    session.select(1)
    session.stroke([(20, c) for c in range(30, 60)], True)
    session.commit()
    assert (labels[20, 40:60] == 1).all()
    np.testing.assert_array_equal(labels == 3, before == 3)
    session.select(3)
    session.locked.add(1)
    session.stroke([(20, c) for c in range(50, 110)], True)
    kept = labels == 1
    session.commit()
    np.testing.assert_array_equal(labels == 1, kept)
