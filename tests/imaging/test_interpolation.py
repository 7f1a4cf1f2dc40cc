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
from napari_seg.imaging.interpolation import interpolate_object

ID = 30


def disc(centre: tuple[float, float], radius: float) -> NDArray[np.bool_]:
    y, x = np.indices((40, 60))
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def drawn(
    planes: dict[int, NDArray[np.bool_]], count: int, dtype: str = "int32"
) -> Any:
    labels = np.zeros((count, 40, 60), dtype)
    for plane, mask in planes.items():
        labels[plane][mask] = ID
    return labels


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_a_disc_moves_and_grows_evenly() -> None:
    labels = drawn({1: disc((15, 12), 6), 5: disc((23, 44), 10)}, 7)
    before = labels.copy()
    edit = interpolate_object(labels, ID, axis=0)
    assert np.array_equal(labels, before)
    edit.apply(labels)
    for plane, centre, radius in (
        (2, (17, 20), 7),
        (3, (19, 28), 8),
        (4, (21, 36), 9),
    ):
        assert iou(labels[plane] == ID, disc(centre, radius)) > 0.93
    others = [0, 1, 5, 6]
    assert np.array_equal(labels[others], before[others])
    edit.inverse().apply(labels)
    assert np.array_equal(labels, before)


def test_every_gap_is_filled_but_nothing_beyond_the_ends() -> None:
    labels = drawn(
        {2: disc((20, 20), 5), 4: disc((20, 22), 5), 7: disc((20, 30), 5)}, 9
    )
    interpolate_object(labels, ID, axis=0).apply(labels)
    assert np.flatnonzero((labels == ID).any(axis=(1, 2))).tolist() == list(range(2, 8))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["uint8", "uint16", "int64"]),
    gap=st.integers(1, 4),
    axis=st.integers(0, 2),
)
def test_equal_planes_give_that_plane_and_others_keep_their_pixels(
    seed: int, dtype: str, gap: int, axis: int
) -> None:
    rng = np.random.default_rng(seed)
    plane = rng.random((7, 8)) < rng.choice([0.05, 0.5, 0.9])
    plane[3, 3] = True
    labels = np.zeros((gap + 4, 7, 8), dtype)
    labels[rng.random(labels.shape) < 0.2] = 200 if dtype == "uint8" else 3000
    others = labels != 0
    for drawn_plane in (1, gap + 2):
        labels[drawn_plane][plane] = ID
    others &= labels != ID
    labels = np.moveaxis(labels, 0, axis)
    before = labels.copy()
    edit = interpolate_object(labels, ID, axis=axis - 3)
    edit.apply(labels)
    after = np.moveaxis(labels, axis, 0)
    assert np.array_equal(after[others], np.moveaxis(before, axis, 0)[others])
    for between in range(2, gap + 2):
        assert np.array_equal(after[between] == ID, plane & ~others[between])
    edit.inverse().apply(labels)
    assert np.array_equal(labels, before)


@settings(max_examples=40, deadline=None)
@given(
    ends=st.tuples(*[st.tuples(st.integers(0, 39), st.integers(0, 59))] * 2),
    count=st.integers(3, 7),
)
def test_single_pixels_do_not_get_lost(
    ends: tuple[tuple[int, int], tuple[int, int]], count: int
) -> None:
    labels = np.zeros((count, 40, 60), np.uint16)
    labels[0][ends[0]] = labels[-1][ends[1]] = ID
    interpolate_object(labels, ID, axis=0).apply(labels)
    for plane, share in enumerate(np.linspace(0, 1, count)):
        found = np.argwhere(labels[plane] == ID)
        assert len(found)
        expected = (1 - share) * np.array(ends[0]) + share * np.array(ends[1])
        assert np.abs(found - expected).max() <= 1


def test_two_parts_stay_two() -> None:
    two = disc((20, 12), 5) | disc((20, 40), 5)
    labels = drawn({0: two, 4: np.roll(two, 4, axis=0)}, 5)
    interpolate_object(labels, ID, axis=0).apply(labels)
    assert iou(labels[2] == ID, np.roll(two, 2, axis=0)) > 0.99


def test_frames_of_volumes_are_filled() -> None:
    z, y, x = np.indices((9, 20, 20))
    balls = [(z - 4) ** 2 + (y - 10) ** 2 + (x - c) ** 2 <= 4**2 for c in (5, 9, 13)]
    labels = np.zeros((3, 9, 20, 20), np.uint8)
    labels[0][balls[0]] = labels[2][balls[2]] = ID
    interpolate_object(labels, ID, axis=0, spacing=(1, 1, 1, 1)).apply(labels)
    assert np.array_equal(labels[1] == ID, balls[1])


def test_only_planes_within_the_limits_count() -> None:
    labels = drawn(
        {0: disc((20, 20), 5), 3: disc((20, 20), 5), 6: disc((20, 20), 5)}, 7
    )
    within = (slice(2, 7), slice(0, 40), slice(0, 60))
    interpolate_object(labels, ID, axis=0, within=within).apply(labels)
    assert not labels[[1, 2]].any()
    assert labels[[4, 5]].any(axis=(1, 2)).all()


@pytest.mark.parametrize("planes", [[], [3], [3, 4]])
def test_without_a_gap_there_is_nothing_to_do(planes: list[int]) -> None:
    labels = drawn(dict.fromkeys(planes, disc((20, 20), 5)), 7)
    assert interpolate_object(labels, ID, axis=0).is_empty


def test_locked_objects_refuse() -> None:
    labels = drawn({0: disc((20, 20), 5), 3: disc((20, 20), 5)}, 4)
    with pytest.raises(LabelsError, match="object 30"):
        interpolate_object(labels, ID, axis=0, locked=[ID])


def test_stored_labels_are_filled(tmp_path: Path) -> None:
    labels = drawn({1: disc((15, 12), 6), 5: disc((23, 44), 10)}, 7, "uint16")
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=labels.shape, chunks=(2, 16, 16), dtype="uint16"
    )
    array[...] = labels
    interpolate_object(array, ID, axis=0).apply(array)
    interpolate_object(labels, ID, axis=0).apply(labels)
    assert np.array_equal(array[...], labels)
