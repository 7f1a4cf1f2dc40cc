"""New outlines for objects with ids, some of them corrected by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_seg.imaging.adoption import adopt_outlines


def row(*runs: tuple[int, int]) -> np.ndarray:
    """Return one row of labels from (id, length) runs."""
    return np.concatenate([np.full(n, i, np.int32) for i, n in runs])[None]


def test_objects_keep_their_ids_under_new_outlines() -> None:
    before = row((0, 2), (7, 4), (0, 2), (3, 4), (0, 2))
    derived = row((0, 2), (1, 4), (0, 2), (2, 4), (0, 2))
    refined = row((0, 1), (1, 5), (0, 3), (2, 4), (0, 1))
    after = adopt_outlines(before, derived, refined, next_id=lambda: 8)
    np.testing.assert_array_equal(after, row((0, 1), (7, 5), (0, 3), (3, 4), (0, 1)))


def test_what_was_deleted_stays_away_and_what_is_new_gets_an_id() -> None:
    before = row((0, 12))
    derived = row((0, 1), (1, 4), (0, 7))
    refined = row((0, 1), (1, 5), (0, 2), (2, 3), (0, 1))
    after = adopt_outlines(before, derived, refined, next_id=lambda: 8)
    np.testing.assert_array_equal(after, row((0, 8), (8, 3), (0, 1)))


def test_merged_objects_stay_one() -> None:
    before = row((5, 4), (5, 4), (0, 4))
    derived = row((1, 4), (2, 4), (0, 4))
    refined = row((1, 4), (2, 5), (0, 3))
    after = adopt_outlines(before, derived, refined, next_id=lambda: 8)
    np.testing.assert_array_equal(after, row((5, 9), (0, 3)))


def test_a_split_object_stays_split() -> None:
    before = row((5, 4), (6, 4), (0, 4))
    derived = row((1, 8), (0, 4))
    refined = row((0, 1), (1, 9), (0, 2))
    after = adopt_outlines(before, derived, refined, next_id=lambda: 8)
    np.testing.assert_array_equal(after, row((0, 1), (5, 3), (6, 6), (0, 2)))


def test_an_object_that_the_refinement_takes_apart_is_two() -> None:
    before = row((5, 9), (0, 3))
    derived = row((1, 9), (0, 3))
    refined = row((1, 5), (0, 1), (2, 3), (0, 3))
    after = adopt_outlines(before, derived, refined, next_id=lambda: 8)
    np.testing.assert_array_equal(after, row((5, 5), (0, 1), (8, 3), (0, 3)))


def test_locked_objects_keep_every_pixel_and_get_none() -> None:
    before = row((0, 2), (7, 4), (3, 4), (0, 2))
    derived = row((0, 2), (1, 4), (2, 4), (0, 2))
    refined = row((0, 1), (1, 3), (2, 8))
    after = adopt_outlines(before, derived, refined, locked=[7], next_id=lambda: 8)
    np.testing.assert_array_equal(after, row((0, 2), (7, 4), (3, 6)))


def test_only_the_chosen_object_changes() -> None:
    before = row((0, 2), (7, 4), (3, 4), (0, 2))
    derived = row((0, 2), (1, 4), (2, 4), (0, 2))
    refined = row((0, 1), (1, 6), (2, 5))
    after = adopt_outlines(before, derived, refined, next_id=lambda: 8, only=7)
    np.testing.assert_array_equal(after, row((0, 1), (7, 5), (3, 4), (0, 2)))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), locked=st.booleans())
def test_without_corrections_the_outlines_are_those_derived(
    seed: int, locked: bool
) -> None:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(30, 30)), 2)
    derived = ndimage.label(noise > 0)[0].astype(np.int32)
    refined = ndimage.label(noise + rng.normal(0, 0.05, noise.shape) > 0)[0]
    before = np.where(derived > 0, derived + 100, 0)
    keep = [101] if locked else []
    after = adopt_outlines(
        before, derived, refined.astype(np.int32), locked=keep, next_id=lambda: 1000
    )
    is_free = ~np.isin(before, keep)
    gone = ~np.isin(after, keep) & (after == 0) & (refined > 0)
    # Only ground of a locked object is withheld.
    assert not gone[is_free].any() or locked
    assert np.array_equal((after > 0)[is_free & ~gone], (refined > 0)[is_free & ~gone])
    assert np.array_equal(after[~is_free], before[~is_free])
