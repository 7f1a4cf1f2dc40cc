"""How large a new object is taken to be, and how much of the image is read for it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_seg.imaging.deltas import Box
from napari_seg.refine.graphcut import graph_cut
from napari_seg.refine.scene import Known, Scene
from napari_seg.refine.solver import (
    CutParams,
    cut_object,
    predicted_seconds,
    solve_scene,
)
from napari_seg.refine.strokes import Stroke, disc
from napari_seg.refine.volume import Volume


def empty(box: Box) -> NDArray[np.bool_]:
    return np.zeros([s.stop - s.start for s in box], bool)


NOTHING = Known(previous=empty, forbidden=empty, network=lambda _: None)


def noisy(shape: tuple[int, ...], noise: float = 0.15) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return noise * rng.standard_normal(shape, dtype=np.float32)


def disc_image(
    side: int, diameter: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    y, x = np.indices((side, side)) - side // 2
    truth = y**2 + x**2 < (diameter / 2) ** 2
    return noisy((side, side)) + truth, truth


@pytest.mark.parametrize("diameter", [6, 12, 30, 80, 160, 300])
def test_one_click_finds_objects_of_any_size(diameter: int) -> None:
    image, truth = disc_image(700, diameter)
    mask = graph_cut(image, disc((350, 350), 2.0), [])
    # The outline of a small disc is most of it.
    least = 0.75 if diameter < 10 else 0.93
    assert (mask & truth).sum() / (mask | truth).sum() > least


@pytest.mark.parametrize("diameter", [80, 160, 300])
def test_the_click_need_not_be_in_the_middle(diameter: int) -> None:
    image, truth = disc_image(700, diameter)
    mask = graph_cut(image, disc((350 + diameter // 4, 350), 2.0), [])
    assert (mask & truth).sum() / (mask | truth).sum() > 0.93


class Counter:
    """Counts the scenes that are solved, and their voxels."""

    def __init__(self) -> None:
        self.voxels: list[int] = []

    def __call__(self, scene: Scene, params: CutParams) -> NDArray[np.bool_]:
        self.voxels.append(scene.states.size)
        return solve_scene(scene, params)


@pytest.mark.parametrize("shape", [(1500, 1500), (48, 600, 600)])
def test_a_click_on_plain_ground_stays_small(shape: tuple[int, ...]) -> None:
    params = CutParams()
    counter = Counter()
    centre = [n // 2 for n in shape]
    cut = cut_object(
        Volume(noisy(shape), len(shape)),
        [Stroke(np.array([centre]), True)],
        NOTHING,
        (1.0,) * len(shape),
        params,
        solve=counter,
    )
    assert len(counter.voxels) <= 3
    assert max(counter.voxels) <= params.new_voxels
    assert cut.mask.mean() < 1


class Chunked:
    """An image in chunks that remembers which of them were read."""

    def __init__(self, data: NDArray[Any], chunk: int) -> None:
        self.data, self.chunk = data, chunk
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim
        self.read: set[tuple[int, ...]] = set()

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        spans = [range(s.start // self.chunk, -(-s.stop // self.chunk)) for s in index]
        self.read.update(itertools.product(*spans))
        return self.data[index]


def test_only_chunks_near_the_object_are_read() -> None:
    image, truth = disc_image(2000, 30)
    lazy = Chunked(image, 64)
    mask = graph_cut(lazy, disc((1000, 1000), 2.0), [])
    assert (mask & truth).sum() / truth.sum() > 0.9
    # The widest look reaches 218 pixels to each side of the click.
    assert len(lazy.read) <= 8**2
    lazy.read.clear()
    graph_cut(lazy, disc((1000, 1013), 2.0), [], previous=mask)
    # A correction needs no look around: object and margin are 80 pixels wide.
    assert len(lazy.read) <= 3**2


def scene(*shape: int) -> Scene:
    return Scene(
        image=np.zeros((1, *shape), np.float32),
        states=np.zeros(shape, np.int8),
        strokes=[],
        previous=np.zeros(shape, bool),
        network=None,
        spacing=(1.0,) * len(shape),
    )


def test_predicted_time_grows_with_the_scene() -> None:
    params = CutParams()
    for ndim in (2, 3):
        sides = (4, 10, 20, 40, 80, 160)
        times = [predicted_seconds(scene(*(n,) * ndim), params) for n in sides]
        assert times == sorted(times)
        assert times[0] < times[-1]


def test_tied_voxels_cost_nothing() -> None:
    params = CutParams()
    whole = scene(60, 60)
    tied = scene(60, 60)
    tied.states[10:] = -1
    assert predicted_seconds(tied, params) < predicted_seconds(whole, params)


def test_predicted_time_is_of_the_right_order() -> None:
    # Measured on two cores: 5 ms, 20 ms and 0.14 s; see benchmarks/cut_speed.py.
    params = CutParams()
    for shape, measured in (
        ((53, 53), 0.005),
        ((400, 400), 0.018),
        ((64, 150, 150), 0.15),
    ):
        assert 0.3 < predicted_seconds(scene(*shape), params) / measured < 3
