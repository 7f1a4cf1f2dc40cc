"""What is measured band by band is what a whole-array look gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import regionprops

from napari_seg.imaging import slabs as slabs_module
from napari_seg.imaging.object_table import best_overlaps, object_table

PLANES = arrays(np.int32, (7, 9), elements=st.integers(0, 5))


@pytest.fixture
def small_bands(monkeypatch):
    monkeypatch.setattr(slabs_module, "CACHED_VOXELS", 18)


@pytest.mark.parametrize("largest", [5, 2**30])
def test_the_table_is_that_of_skimage(small_bands, largest):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, (7, 9)).astype(np.int32)
    values = rng.random((7, 9), np.float32)
    table = object_table(np.where(labels == 5, largest, labels), values)
    known = regionprops(labels, values)
    assert table.ids.tolist() == [1, 2, 3, 4, largest]
    assert table.areas.tolist() == [p.num_pixels for p in known]
    np.testing.assert_allclose(table.centres, [p.centroid for p in known])
    np.testing.assert_array_equal(table.boxes, [p.bbox for p in known])
    np.testing.assert_allclose(table.values, [p.intensity_mean for p in known])


def test_a_plane_without_objects_has_an_empty_table():
    table = object_table(np.zeros((4, 5), np.int32), np.ones((4, 5)))
    assert table.boxes.shape == (0, 4)
    assert table.centres.shape == (0, 2)


def test_values_below_zero_are_background():
    labels = np.array([[-1, -1, 3], [0, 3, 3]], np.int32)
    table = object_table(labels)
    assert (table.ids.tolist(), table.areas.tolist()) == ([3], [3])


@given(PLANES, PLANES)
def test_the_best_overlap_is_the_best_of_all_pairs(labels, others):
    own, foreign = best_overlaps(labels, others)

    def best(object_id, mine, theirs):
        mask = mine == object_id
        ious = [
            (mask & (theirs == j)).sum() / (mask | (theirs == j)).sum()
            for j in set(theirs.ravel().tolist()) - {0}
        ]
        return max(ious, default=0.0)

    ids = [sorted(set(x.ravel().tolist()) - {0}) for x in (labels, others)]
    assert own == pytest.approx({i: best(i, labels, others) for i in ids[0]})
    assert foreign == pytest.approx({i: best(i, others, labels) for i in ids[1]})
