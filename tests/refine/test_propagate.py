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
from napari_seg.imaging.deltas import LabelEdit
from napari_seg.refine.matching import shift_between, shifted, transferred
from napari_seg.refine.propagate import (
    PropagateParams,
    Step,
    iter_propagate,
    solve_step,
)
from napari_seg.refine.volume import Volume
from napari_seg.types import Progress, run

ID = 40


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def ball(
    shape: tuple[int, int, int] = (21, 50, 60), radius: float = 14
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a noisy volume with one ball, planes twice as far apart as pixels."""
    z, y, x = np.indices(shape)
    inside = (2 * (z - 10)) ** 2 + (y - 25) ** 2 + (x - 28) ** 2 <= radius**2
    noise = np.random.default_rng(0).normal(size=shape, scale=0.15)
    return (inside + noise).astype(np.float32), inside


def moving(
    step: tuple[float, float], noise: float = 0.2, frames: int = 8, radius: float = 10
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return frames of a disc that moves by `step` from one to the next."""
    shape = (70, 110)
    y, x = np.indices(shape)
    inside = np.stack(
        [
            (y - 30 - t * step[0]) ** 2 + (x - 20 - t * step[1]) ** 2 <= radius**2
            for t in range(frames)
        ]
    )
    rng = np.random.default_rng(1)
    return (inside + rng.normal(size=inside.shape, scale=noise)).astype("f4"), inside


def seeded(inside: NDArray[np.bool_], plane: int, dtype: Any = np.uint16) -> Any:
    labels = np.zeros(inside.shape, dtype)
    labels[plane][inside[plane]] = ID
    return labels


def follow(image: Any, labels: Any, **options: Any) -> LabelEdit:
    volume = Volume(image, len(labels.shape), shape=tuple(labels.shape))
    return run(iter_propagate(volume, labels, ID, **options))


def test_a_ball_is_followed_to_both_its_ends_from_one_plane() -> None:
    image, inside = ball()
    labels = seeded(inside, 10)
    before = labels.copy()
    edit = follow(image, labels, axis=0, start=10)
    assert np.array_equal(labels, before)
    edit.apply(labels)
    found = labels == ID
    assert iou(found, inside) > 0.85
    planes = np.flatnonzero(found.any(axis=(1, 2)))
    true = np.flatnonzero(inside.any(axis=(1, 2)))
    assert abs(planes[0] - true[0]) <= 2
    assert abs(planes[-1] - true[-1]) <= 2
    assert np.array_equal(found[10], inside[10])
    edit.inverse().apply(labels)
    assert np.array_equal(labels, before)


@pytest.mark.parametrize(("start", "stop"), [(10, 13), (10, 7), (10, 11), (10, 9)])
def test_planes_up_to_the_last_one_are_filled_and_no_others(
    start: int, stop: int
) -> None:
    image, inside = ball()
    labels = seeded(inside, start)
    follow(image, labels, axis=0, start=start, stop=stop).apply(labels)
    planes = np.flatnonzero((labels == ID).any(axis=(1, 2))).tolist()
    low, high = min(start, stop + 1), max(start, stop - 1)
    assert planes == list(range(low, high + 1))
    assert iou(labels[low : high + 1] == ID, inside[low : high + 1]) > 0.9


def test_a_range_beyond_the_stack_ends_with_it() -> None:
    image, inside = moving((0, 2))
    labels = seeded(inside, 6)
    follow(image, labels, axis=0, start=6, stop=99).apply(labels)
    assert np.flatnonzero((labels == ID).any(axis=(1, 2))).tolist() == [6, 7]
    assert follow(image, labels, axis=0, start=7, stop=99).is_empty


@pytest.mark.parametrize("step", [(0, 5), (2, 4), (-3, 4), (0, 0), (1, 9)])
def test_a_disc_that_moves_is_followed(step: tuple[float, float]) -> None:
    image, inside = moving(step)
    labels = seeded(inside, 0)
    follow(image, labels, axis=0, start=0).apply(labels)
    for found, true in zip(labels == ID, inside, strict=True):
        assert iou(found, true) > 0.9


def test_noise_does_not_hide_a_move() -> None:
    image, inside = moving((0, 5), noise=0.5)
    labels = seeded(inside, 0)
    follow(image, labels, axis=0, start=0).apply(labels)
    assert min(iou(f, t) for f, t in zip(labels == ID, inside, strict=True)) > 0.85


def test_planes_of_another_axis_and_frames_of_volumes() -> None:
    image, inside = ball()
    turned = np.moveaxis(inside, 0, 2)
    labels = seeded(inside, 10)
    expected = labels.copy()
    follow(image, labels, axis=0, start=10).apply(expected)
    other = np.ascontiguousarray(np.moveaxis(labels, 0, 2))
    follow(np.moveaxis(image, 0, 2), other, axis=-1, start=10).apply(other)
    assert iou(other == ID, turned) > 0.85
    assert np.array_equal(np.moveaxis(other, 2, 0), expected)


def test_a_volume_is_followed_through_time() -> None:
    z, y, x = np.indices((7, 36, 60))
    inside = np.stack(
        [
            (2 * (z - 3)) ** 2 + (y - 18) ** 2 + (x - 14 - 4 * t) ** 2 <= 8**2
            for t in range(4)
        ]
    )
    noise = np.random.default_rng(2).normal(size=inside.shape, scale=0.2)
    labels = seeded(inside, 0, np.int64)
    options = {"axis": 0, "start": 0, "spacing": (1, 2, 1, 1)}
    follow(inside + noise, labels, **options).apply(labels)
    for found, true in zip(labels == ID, inside, strict=True):
        assert iou(found, true) > 0.9


def test_one_frame_is_followed_through_depth_and_the_others_stay() -> None:
    image, inside = ball()
    stack = np.stack([image, image])
    labels = np.zeros(stack.shape, np.uint8)
    labels[1, 10][inside[10]] = ID
    within = (slice(1, 2), *(slice(0, n) for n in inside.shape))
    follow(stack, labels, axis=1, start=10, within=within).apply(labels)
    assert not labels[0].any()
    assert iou(labels[1] == ID, inside) > 0.85


def test_colour_images_are_followed() -> None:
    _, inside = moving((0, 3))
    image = np.zeros((*inside.shape, 3), np.uint8)
    image[..., 0] = 120
    image[..., 2] = np.where(inside, 200, 40)
    labels = seeded(inside, 0)
    follow(image, labels, axis=0, start=0).apply(labels)
    assert iou(labels == ID, inside) > 0.95


def test_the_object_ends_where_it_fades() -> None:
    image, inside = moving((0, 0), frames=12)
    image[6:] = np.random.default_rng(3).normal(size=image[6:].shape, scale=0.2)
    labels = seeded(inside, 0)
    follow(image, labels, axis=0, start=0).apply(labels)
    assert np.flatnonzero((labels == ID).any(axis=(1, 2))).tolist() == list(range(6))


def test_sections_of_different_brightness_do_not_end_it() -> None:
    image, inside = moving((0, 0))
    image += np.array([0, 2, -1, 0, 3, 0, -2, 1])[:, None, None]
    labels = seeded(inside, 0)
    follow(image, labels, axis=0, start=0).apply(labels)
    assert iou(labels == ID, inside) > 0.95


def test_the_next_object_behind_a_neck_is_another_one() -> None:
    z, y, x = np.indices((30, 50, 50))
    balls = [
        (1.5 * (z - c)) ** 2 + (y - 25) ** 2 + (x - 25) ** 2 <= 12**2 for c in (7, 22)
    ]
    image = np.any(balls, axis=0) + 0.0
    image[14:16, 22:28, 22:28] = 1  # they touch
    image += np.random.default_rng(0).normal(size=image.shape, scale=0.1)
    labels = seeded(balls[0], 7)
    follow(image, labels, axis=0, start=7).apply(labels)
    assert not (labels[18:] == ID).any()
    assert iou(labels == ID, balls[0]) > 0.8


def test_planes_that_hold_the_object_lead_on_and_stay_unless_replaced() -> None:
    image, inside = moving((0, 2))
    labels = seeded(inside, 0)
    labels[3, 2:6, 80:90] = ID  # drawn by hand, elsewhere
    image[3:, 2:6, 80:90] = 1
    drawn = labels.copy()
    follow(image, labels, axis=0, start=0, stop=6).apply(labels)
    assert np.array_equal(labels[3], drawn[3])
    assert iou(labels[2] == ID, inside[2]) > 0.9
    assert (labels[4:6, 3, 82:88] == ID).all()
    labels = drawn.copy()
    follow(image, labels, axis=0, start=0, stop=6, replace=True).apply(labels)
    assert iou(labels[:6] == ID, inside[:6]) > 0.9
    assert not (labels[3, 2:6, 80:90] == ID).any()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["uint8", "uint16", "int64"]),
    overwrite=st.booleans(),
    axis=st.integers(0, 2),
    is_stored=st.booleans(),
)
def test_locked_and_other_ids_never_change_and_undo_restores_all(
    seed: int,
    dtype: str,
    overwrite: bool,
    axis: int,
    is_stored: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 0, 7, 90, ID], size=(5, 14, 15)).astype(dtype)
    index = [slice(None)] * 3
    index[axis] = slice(2, 3)
    labels[tuple(index)] = np.where(labels[tuple(index)] == 7, ID, labels[tuple(index)])
    labels[2, 5, 5] = ID
    start = 2 if axis == 0 else 5
    image = rng.normal(size=labels.shape) + 2 * (labels == ID)
    array: Any = labels.copy()
    if is_stored:
        folder = tmp_path_factory.mktemp("labels")
        array = zarr.create_array(
            folder / "a.zarr", shape=labels.shape, chunks=(2, 8, 8), dtype=dtype
        )
        array[...] = labels
    options = {"axis": axis, "start": start, "overwrite": overwrite, "locked": [90]}
    edit = follow(image, array, replace=bool(seed % 2), **options)
    edit.apply(array)
    after = np.array(array[...])
    assert np.array_equal(after == 90, labels == 90)
    if not overwrite:
        assert np.array_equal(after == 7, labels == 7)
    assert set(np.unique(after)) <= set(np.unique(labels))
    assert np.array_equal(after.take(start, axis), labels.take(start, axis))
    edit.inverse().apply(array)
    assert np.array_equal(array[...], labels)


def test_other_objects_are_in_the_way_unless_they_may_be_overwritten() -> None:
    image, inside = moving((0, 0))
    labels = seeded(inside, 0)
    labels[1:, :, 20:] = 9
    other = labels.copy()
    follow(image, labels, axis=0, start=0).apply(labels)
    assert np.array_equal(labels == 9, other == 9)
    assert (labels[1:, 30, 12:20] == ID).all()
    labels = other.copy()
    follow(image, labels, axis=0, start=0, overwrite=True).apply(labels)
    assert iou(labels == ID, inside) > 0.95


def test_a_plane_full_of_locked_objects_ends_it() -> None:
    image, inside = moving((0, 0))
    labels = seeded(inside, 0)
    labels[3] = 9
    follow(image, labels, axis=0, start=0, locked=[9], overwrite=True).apply(labels)
    planes = np.flatnonzero((labels == ID).any(axis=(1, 2)))
    assert planes.tolist() == [0, 1, 2]


def test_a_network_shows_what_the_image_does_not() -> None:
    _, inside = moving((0, 0), frames=4)
    image = np.random.default_rng(0).normal(size=inside.shape)
    grown = np.stack([np.roll(m, 3, axis=1) for m in inside])
    log_odds = np.where(grown, 4.0, -4.0).astype(np.float32)
    labels = seeded(inside, 0)
    params = PropagateParams(network=3.0)
    follow(
        image,
        labels,
        axis=0,
        start=0,
        stop=2,
        params=params,
        network=lambda box: log_odds[box],
    ).apply(labels)
    assert iou(labels[1] == ID, grown[1]) > iou(labels[1] == ID, inside[1])


def test_progress_moves_and_another_solver_is_used() -> None:
    image, inside = moving((0, 2))
    labels = seeded(inside, 2)
    steps: list[Step] = []

    def solve(step: Step, params: PropagateParams) -> NDArray[np.bool_]:
        steps.append(step)
        return solve_step(step, params)

    job = iter_propagate(Volume(image, 3), labels, ID, axis=0, start=2, solve=solve)
    news: list[Progress] = list(job)
    assert [n.done for n in news] == [1, 2, 3, 4, 5, 6, 7]
    assert {n.total for n in news} == {7}
    assert news[0].message == "plane 3"
    assert news[-1].message == "plane 0"
    assert len(steps) == 7
    assert steps[0].mask.sum() == inside[2].sum()


def test_what_cannot_be_followed_is_refused() -> None:
    image, inside = moving((0, 2))
    labels = seeded(inside, 2)
    with pytest.raises(LabelsError, match="plane 3"):
        follow(image, labels, axis=0, start=3)
    with pytest.raises(LabelsError, match="plane 88"):
        follow(image, labels, axis=0, start=88)
    with pytest.raises(LabelsError, match="locked"):
        follow(image, labels, axis=0, start=2, locked=[ID])


def test_shift_between_finds_a_move_and_does_not_invent_one() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(1, 40, 50)).astype(np.float32)
    weight = np.zeros((40, 50), np.float32)
    weight[12:28, 15:35] = 1
    second = np.roll(first, (4, -3), axis=(1, 2))
    assert shift_between(first, second, weight, (8, 8), gain=0.3) == (4, -3)
    other = rng.normal(size=first.shape).astype(np.float32)
    assert shift_between(first, other, weight, (8, 8), gain=0.3) == (0, 0)
    assert shift_between(first, first, weight, (0, 5), gain=0.3) == (0, 0)


def test_shifted_repeats_the_edge() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert shifted(values, (0, 1)).tolist() == [[0, 0, 1], [3, 3, 4]]
    assert shifted(values, (-1, 0)).tolist() == [[3, 4, 5], [3, 4, 5]]


def test_transfer_follows_the_texture() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(2, 30, 30)).astype(np.float32)
    mask = np.zeros((30, 30), bool)
    mask[8:20, 8:20] = True
    second = np.roll(first, 2, axis=2)
    share = transferred(
        first,
        second,
        mask,
        np.ones_like(mask),
        (1.0, 1.0),
        reach=3,
        patch_px=5,
        likeness=1.0,
    ).reshape(mask.shape)
    expected = np.roll(mask, 2, axis=1)
    inner = (slice(4, 26), slice(6, 26))
    assert iou(share[inner] > 0.5, expected[inner]) > 0.95


def test_a_shift_of_axes_of_length_one_is_none() -> None:
    image, inside = moving((0, 3), frames=3)
    labels = seeded(inside, 0)[:, None]
    follow(image[:, None], labels, axis=0, start=0).apply(labels)
    assert iou(labels[:, 0] == ID, inside) > 0.95


def test_labels_of_a_folder_are_followed(tmp_path: Path) -> None:
    image, inside = ball()
    labels = seeded(inside, 10)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=labels.shape, chunks=(8, 16, 16), dtype="uint16"
    )
    array[...] = labels
    follow(image, array, axis=0, start=10).apply(array)
    follow(image, labels, axis=0, start=10).apply(labels)
    assert np.array_equal(array[...], labels)


def test_told_to_stop_it_returns_the_planes_done_so_far() -> None:
    _, y, x = np.indices((8, 40, 40))
    tube = ((y - 20) ** 2 + (x - 20) ** 2 < 10**2).astype(np.float32)
    labels = np.zeros(tube.shape, np.int32)
    labels[0] = tube[0]
    steps = iter_propagate(Volume(tube, 3), labels, 1, axis=0, start=0, stop=8)
    next(steps)
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send(True)
    assert end.value.value.box[0] == slice(1, 3)
