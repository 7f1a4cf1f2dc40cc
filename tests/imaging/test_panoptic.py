import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_seg.errors import LabelsError
from napari_seg.imaging.panoptic import (
    VOID,
    Panoptic,
    join_panoptic,
    mean_quality,
    panoptic_quality,
)


def columns(*parts):
    """Ten rows with objects in half-open ranges of ten columns."""
    ids = np.zeros((10, 10), int)
    for number, (start, stop) in enumerate(parts, start=1):
        ids[:, start:stop] = number
    return Panoptic((ids > 0).astype(int), ids)


def test_one_match_one_extra_one_missed_by_hand():
    truth, found = columns((0, 3), (5, 8)), columns((0, 4), (6, 7))
    quality = panoptic_quality(found, truth, [1])[1]
    assert (quality.n_matched, quality.n_extra, quality.n_missed) == (1, 1, 1)
    assert quality.sq == pytest.approx(0.75)
    assert quality.rq == pytest.approx(0.5)
    assert quality.pq == pytest.approx(0.375)


def test_half_is_no_match():
    quality = panoptic_quality(columns((0, 2)), columns((0, 4)), [1])[1]
    assert quality.n_matched == 0
    assert quality.pq == 0


def test_void_counts_for_nothing():
    truth, found = columns((0, 3)), columns((0, 5), (8, 10))
    truth.classes[:, 3:5] = truth.classes[:, 8:] = VOID
    quality = panoptic_quality(found, truth, [1])[1]
    # The rim that nobody looked at is not held against it, nor the object there.
    assert (quality.pq, quality.n_extra) == (1.0, 0)


def test_stuff_is_one_segment_however_many_parts_it_has():
    classes = np.zeros((4, 9), int)
    classes[:, :2] = classes[:, 6:] = 2
    truth = Panoptic(classes, np.zeros_like(classes))
    shrunk = classes.copy()
    shrunk[:, 8] = 0
    found = Panoptic(shrunk, np.zeros_like(classes))
    quality = panoptic_quality(found, truth, [2])[2]
    assert quality.n_matched == 1
    assert quality.sq == pytest.approx(16 / 20)


def test_objects_win_over_classes_and_lose_no_pixel():
    labels = np.array([[1, 1, 0, 0]])
    semantic = np.array([[1, 2, 2, 1]])
    joined = join_panoptic(labels, semantic)
    assert joined.classes.tolist() == [[1, 1, 2, 0]]
    assert joined.ids.tolist() == [[1, 1, 0, 0]]


def test_classes_that_occur_nowhere_do_not_count_in_the_mean():
    both = columns((0, 3))
    qualities = panoptic_quality(both, both, [1, 2])
    assert mean_quality(qualities).pq == 1.0
    assert mean_quality(panoptic_quality(both, both, [7])).pq == 1.0


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(LabelsError, match=r"\(2,\) and \(3,\)"):
        Panoptic(np.zeros(2, int), np.zeros(3, int))
    small = Panoptic(np.zeros(2, int), np.zeros(2, int))
    with pytest.raises(LabelsError, match="same shape"):
        panoptic_quality(small, columns((0, 1)), [1])


@settings(deadline=None)  # the first example imports torch
@given(
    found=arrays(np.int64, (2, 6, 7), elements=st.integers(0, 3)),
    truth=arrays(np.int64, (2, 6, 7), elements=st.integers(0, 3)),
)
def test_same_as_torchmetrics(found, truth):
    import torch
    from torchmetrics.functional.detection import panoptic_quality as reference

    things, stuffs = {1, 2}, {0, 3}
    arranged = []
    for classes, ids in (found, truth):
        ids[~np.isin(classes, list(things))] = 0
        arranged.append(np.stack([classes, ids], axis=-1)[None])
    expected = reference(
        *(torch.from_numpy(a) for a in arranged),
        things=things,
        stuffs=stuffs,
        return_sq_and_rq=True,
        return_per_class=True,
    )
    qualities = panoptic_quality(
        Panoptic(*found), Panoptic(*truth), sorted(things | stuffs)
    )
    mine = [[q.pq, q.sq, q.rq] for q in qualities.values()]
    order = [*sorted(things), *sorted(stuffs)]
    theirs = dict(zip(order, expected.reshape(-1, 3).tolist(), strict=True))
    np.testing.assert_allclose(mine, [theirs[k] for k in qualities], atol=1e-6)
