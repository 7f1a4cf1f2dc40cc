from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_seg.errors import LabelsError
from napari_seg.refine.split import (
    SplitParams,
    SplitScene,
    solve_split,
    split_between,
)
from napari_seg.refine.volume import Volume

DTYPES = ["uint8", "uint16", "int64"]


def disc(shape: tuple[int, int], centre: tuple[int, int], radius: float) -> Any:
    y, x = np.indices(shape)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def two_discs(dtype: str = "uint16") -> tuple[Any, NDArray[Any], Any, Any]:
    """Return an image, labels with one object (90) of two touching discs, the discs."""
    a, b = disc((40, 64), (20, 18), 13), disc((40, 64), (20, 43), 13)
    image = np.random.default_rng(0).normal(size=a.shape).astype(np.float32)
    image[a | b] += 8
    labels = np.zeros(a.shape, dtype)
    labels[a | b] = 90
    labels[0, :] = 5
    labels[35:, 60:] = 100
    return Volume(image, 2), labels, a & ~b, b & ~a


def test_touching_discs_part_at_the_neck() -> None:
    image, labels, a, b = two_discs()
    before = labels.copy()
    edit = split_between(image, labels, [[[20, 18]], [[20, 43]]])
    assert np.array_equal(labels, before)
    edit.apply(labels)
    ids = {int(labels[20, 18]), int(labels[20, 43])}
    assert ids == {90, 101}
    assert (labels[20, :29] != labels[20, 43]).all()
    for disc_, middle in ((a, (20, 18)), (b, (20, 43))):
        part = labels == labels[middle]
        assert (part & disc_).sum() / (part | disc_).sum() > 0.95


def test_the_split_is_where_the_image_says_although_the_object_is_a_bar() -> None:
    image = np.full((21, 80), 100.0, np.float32)
    image[:, 51] = 20  # a dark line, not halfway
    labels = np.full((21, 80), 1, np.uint8)
    split_between(Volume(image, 2), labels, [[[10, 5]], [[10, 75]]]).apply(labels)
    assert (labels[:, :50] == 1).all()
    assert (labels[:, 53:] == 2).all()


def test_parts_of_different_looks_part_where_the_looks_change() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(100, 4, (30, 60)).astype(np.float32)
    image[:, 20:] += 30
    labels = np.full((30, 60), 3, np.int32)
    split_between(Volume(image, 2), labels, [[[15, 4]], [[15, 50]]]).apply(labels)
    assert (labels[:, 22:] == 3).all()
    assert (labels[:, :18] == 4).all()


def test_three_strokes_make_three_parts() -> None:
    centres = [(15, 15), (15, 40), (15, 65)]
    discs = [disc((30, 80), c, 13.5) for c in centres]
    image = np.where(np.any(discs, axis=0), 50.0, 0.0)
    labels = np.where(image > 0, 7, 0).astype(np.uint8)
    split_between(Volume(image, 2), labels, [[c] for c in centres]).apply(labels)
    assert {int(labels[c]) for c in centres} == {7, 8, 9}
    for centre, own in zip(centres, discs, strict=True):
        part = labels == labels[centre]
        assert (part & own).sum() / (part | own).sum() > 0.9


def test_a_line_of_the_network_leads_the_split() -> None:
    image = Volume(np.zeros((20, 60)), 2)
    log_odds = np.full((20, 60), 4.0, np.float32)
    log_odds[:, 40] = -4
    labels = np.ones((20, 60), np.int32)
    edit = split_between(
        image, labels, [[[10, 4]], [[10, 55]]], network=lambda box: log_odds[box]
    )
    edit.apply(labels)
    assert (labels[:, :39] == 1).all()
    assert (labels[:, 42:] == 2).all()


def test_a_volume_is_split_in_3d_or_in_one_plane() -> None:
    z, y, x = np.indices((9, 30, 50))
    a = ((z - 4) * 2) ** 2 + (y - 15) ** 2 + (x - 14) ** 2 < 12**2
    b = ((z - 4) * 2) ** 2 + (y - 15) ** 2 + (x - 35) ** 2 < 12**2
    image = Volume(np.where(a | b, 9.0, 0.0), 3)
    labels = np.where(a | b, 4, 0).astype(np.uint16)
    strokes = [[[4, 15, 14]], [[4, 15, 35]]]
    whole = labels.copy()
    split_between(image, labels, strokes, spacing=(2, 1, 1)).apply(whole)
    assert whole[7, 15, 14] == whole[1, 15, 14] != whole[4, 15, 35]
    assert set(np.unique(whole)) == {0, 4, 5}
    plane = labels.copy()
    within = (slice(4, 5), slice(0, 30), slice(0, 50))
    split_between(image, labels, strokes, within=within).apply(plane)
    others = np.arange(9) != 4
    assert np.array_equal(plane[others], labels[others])
    assert plane[4, 15, 14] != plane[4, 15, 35]


def test_a_large_object_is_split_coarsely_first_and_equally_well() -> None:
    a, b = disc((120, 200), (60, 55), 46), disc((120, 200), (60, 145), 46)
    image = np.random.default_rng(1).normal(size=a.shape)
    image[a | b] += 6
    scenes = []
    for coarse_voxels in (10**7, 2000):
        labels = np.where(a | b, 1, 0).astype(np.int32)
        params = SplitParams(coarse_voxels=coarse_voxels)
        split_between(
            Volume(image, 2), labels, [[[60, 55]], [[60, 145]]], params=params
        ).apply(labels)
        scenes.append(labels)
    assert np.mean(scenes[0] != scenes[1]) < 0.01


def test_strokes_so_near_that_they_meet_in_a_coarse_voxel_still_part() -> None:
    labels = np.ones((40, 40), np.uint8)
    split_between(
        Volume(np.zeros((40, 40)), 2),
        labels,
        [[[20, 20]], [[20, 21]]],
        params=SplitParams(coarse_voxels=20),
    ).apply(labels)
    assert {int(labels[20, 20]), int(labels[20, 21])} == {1, 2}


@st.composite
def scenes(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any], list[Any]]:
    """Return an image, labels and strokes that all touch object 50."""
    shape = draw(st.sampled_from([(9, 12), (1, 9, 8), (4, 6, 7)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = rng.normal(size=shape)
    labels = np.where(rng.random(shape) < draw(st.floats(0.3, 1.0)), 50, 0)
    labels[rng.random(shape) < 0.1] = 99
    labels = labels.astype(draw(st.sampled_from(DTYPES)))
    count = draw(st.integers(2, 4))
    own = rng.permutation(np.argwhere(labels == 50))
    strokes = [own[i::17][:3] for i in range(count)]
    return image, labels, strokes


@settings(max_examples=60, deadline=None)
@given(scene=scenes(), coarse=st.booleans())
def test_parts_are_a_partition_with_each_stroke_in_its_own(
    scene: tuple[NDArray[Any], NDArray[Any], list[Any]], coarse: bool
) -> None:
    image, labels, strokes = scene
    if any(len(s) == 0 for s in strokes):
        return
    params = SplitParams(coarse_voxels=12) if coarse else None
    volume = Volume(image, labels.ndim)
    edit = split_between(volume, labels, strokes, locked=[99], params=params)
    after = labels.copy()
    edit.apply(after)
    assert np.array_equal(after != labels, (after != labels) & (labels == 50))
    parts = [np.unique(after[tuple(s.T)]) for s in strokes]
    assert all(len(ids) == 1 for ids in parts)
    ids = [int(i[0]) for i in parts]
    assert len(set(ids)) == len(strokes)
    assert set(np.unique(after[labels == 50]).tolist()) == set(ids)
    sizes = {i: np.count_nonzero(after == i) for i in ids}
    assert sizes[50] == max(sizes.values())
    edit.inverse().apply(after)
    assert np.array_equal(after, labels)


def test_pieces_apart_go_to_the_nearest_part() -> None:
    labels = np.zeros((20, 60), np.int32)
    labels[5:15, 5:50] = 2
    labels[8:12, 53:56] = 2
    labels[8:12, 0:3] = 2
    split_between(Volume(np.zeros((20, 60)), 2), labels, [[[10, 8]], [[10, 46]]]).apply(
        labels
    )
    # The first piece lies within the box of the object as it grows from the strokes.
    assert labels[9, 54] == labels[10, 46]
    assert labels[9, 1] == labels[10, 8]


def test_stored_labels_and_another_solver(tmp_path: Path) -> None:
    image, labels, _, _ = two_discs()
    array = zarr.create_array(
        tmp_path / "l.zarr", shape=labels.shape, chunks=(16, 16), dtype="uint16"
    )
    array[...] = labels
    seen: list[SplitScene] = []

    def solve(scene: SplitScene, params: SplitParams) -> NDArray[np.int32]:
        seen.append(scene)
        return solve_split(scene, params)

    strokes = [[[20, 18]], [[20, 43]]]
    split_between(image, array, strokes, solve=solve).apply(array)
    split_between(image, labels, strokes).apply(labels)
    assert np.array_equal(array[...], labels)
    assert len(seen) == 1


def test_later_strokes_win_where_strokes_cross() -> None:
    image, labels, _, _ = two_discs()
    row = [[20, x] for x in range(10, 50)]
    edit = split_between(image, labels, [row, [[20, x] for x in range(30, 50)]])
    edit.apply(labels)
    assert len({int(i) for i in labels[20, 10:30]}) == 1
    assert len({int(i) for i in labels[20, 30:50]}) == 1
    assert labels[20, 10] != labels[20, 40]


@pytest.mark.parametrize(
    ("strokes", "locked", "message"),
    [
        ([[[20, 18]]], [], "two strokes"),
        ([[[20, 18]], [[2, 2]]], [], "Stroke 2 is not on the object"),
        ([[[2, 2]], [[3, 3]]], [], "no object under"),
        ([[[-5, 2]], [[3, 300]]], [], "outside"),
        ([[[20, 18]], [[20, 43]]], [90], "locked"),
        ([[[20, 18]], [[20, 18]]], [], "Stroke 1"),
    ],
)
def test_strokes_that_make_no_split_are_refused(
    strokes: list[Any], locked: list[int], message: str
) -> None:
    image, labels, _, _ = two_discs()
    with pytest.raises(LabelsError, match=message):
        split_between(image, labels, strokes, locked=locked)


def test_new_ids_fill_gaps_where_the_type_ends() -> None:
    image, labels, _, _ = two_discs("uint8")
    labels[0, 0] = 255
    split_between(image, labels, [[[20, 18]], [[20, 43]]]).apply(labels)
    assert {int(labels[20, 18]), int(labels[20, 43])} == {90, 1}
