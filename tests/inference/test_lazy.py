"""Nothing reads a whole volume: an array that refuses to be read so proves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from napari_seg.imaging import slabs, stored
from napari_seg.imaging.levels import Levels
from napari_seg.inference.crf import dense_crf
from napari_seg.inference.crowding import iter_rank_by_border_weight
from napari_seg.inference.oddness import iter_rank_by_oddness
from napari_seg.inference.ranking import (
    iter_flipped,
    place_now,
    rank_by_disagreement,
    rank_by_entropy,
)
from napari_seg.inference.segment import segment
from napari_seg.models.checkpoint import Checkpoint
from napari_seg.refine import crf, crf_blocks
from napari_seg.refine.crf import CrfParams
from napari_seg.refine.session import CorrectionSession
from napari_seg.types import run

SHARE = 0.2
"""Of the volume that may be read at once: two planes of ten."""

SHAPE = (10, 72, 96)


class Guarded:
    """An array on disk, as far as anybody can tell, that is never read whole."""

    share = SHARE

    def __init__(self, data: NDArray[Any]) -> None:
        self.data = data
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim
        self.chunks = (1, *(n // 2 for n in data.shape[1:]))
        self.reads = 0

    def __getitem__(self, index: Any) -> NDArray[Any]:
        part = np.asarray(self.data[index])
        self.reads += 1
        share = part.size / self.data.size
        assert share <= self.share, f"{share:.0%} were read at once"
        return part.copy()

    def __setitem__(self, index: Any, value: Any) -> None:
        self.data[index] = value

    def __array__(self, *_: object, **__: object) -> NDArray[Any]:
        raise AssertionError("all of it was read")


def as_dask(data: NDArray[Any]) -> da.Array:
    """Wrap a guarded array: what dask reads at once is what it asks the array for."""
    chunks = (*(1,) * (data.ndim - 2), 36, 48)
    return da.from_array(Guarded(data), chunks, asarray=False, meta=data)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pieces as small to these arrays as they are to large ones."""
    for module in (slabs, stored):
        monkeypatch.setattr(module, "STORED_VOXELS", 2**13)
    monkeypatch.setattr(slabs, "CACHED_VOXELS", 2**13)
    compute = da.Array.compute

    def checked(self: da.Array, **options: Any) -> Any:
        most = SHARE * np.prod(SHAPE)
        assert self.size <= most, f"{self.shape} were computed at once"
        return compute(self, **options)

    monkeypatch.setattr(da.Array, "compute", checked)


KINDS: list[Callable[[NDArray[Any]], Any]] = [Guarded, as_dask]
kinds = pytest.mark.parametrize("kind", KINDS, ids=["duck", "dask"])


def spots() -> NDArray[np.float32]:
    """Four bright balls, the same in planes 2 to 7, and a little noise."""
    z, y, x = np.indices(SHAPE)
    away = np.hypot(y % 36 - 18, x % 48 - 24)
    inside = np.clip(6.55 - away, 0, 1) * ((z > 1) & (z < 8))
    noise = np.random.default_rng(0).random(SHAPE) * 0.05
    return (inside + noise).astype(np.float32)


@kinds
@pytest.mark.parametrize("ndim", [2, 3])
def test_segment(brightness: Checkpoint, kind: Callable[..., Any], ndim: int) -> None:
    model = replace(brightness, card=replace(brightness.card, ndim=ndim))
    options = {"axes": "ZYX", "tile_px": 32, "diameter_px": 12.0}
    found = segment(kind(spots()), model, **options)
    assert found.labels.max() == 4
    assert np.array_equal(found.labels, segment(spots(), model, **options).labels)


@kinds
def test_segment_with_a_size_that_is_estimated(
    brightness: Checkpoint, kind: Callable[..., Any]
) -> None:
    found = segment(kind(spots()), brightness, axes="ZYX")
    assert found.labels.max() == 4


def test_segment_reads_the_level_that_fits(brightness: Checkpoint) -> None:
    image = spots()
    fine = Guarded(image.repeat(4, 1).repeat(4, 2))
    levels = Levels([fine, Guarded(image.repeat(2, 1).repeat(2, 2)), Guarded(image)])
    found = segment(levels, brightness, axes="ZYX", diameter_px=48.0)
    # Of the finest only its range of intensities.
    assert fine.reads <= 10
    assert found.labels.shape == fine.shape
    assert found.labels.max() == 4


@kinds
def test_segment_and_refine(brightness: Checkpoint, kind: Callable[..., Any]) -> None:
    params = CrfParams(iterations=1)
    options = {"axes": "ZYX", "diameter_px": 12.0, "crf": params}
    found = segment(kind(spots()), brightness, **options)
    expected = segment(spots(), brightness, **options)
    assert np.array_equal(found.labels, expected.labels)


@kinds
def test_dense_crf(kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crf_blocks, "MOST_PIXELS", 6000)
    monkeypatch.setattr(crf, "CHECKED", 10_000)
    image = spots()
    bright = np.clip(image, 0.1, 0.9)
    probabilities = np.stack([1 - bright, bright]).astype(np.float32)
    params = CrfParams(iterations=1, appearance_sigma=0.5, smoothness_sigma=0.5)
    found = dense_crf(kind(image), kind(probabilities), params=params)
    assert found.shape == probabilities.shape
    expected = dense_crf(image, probabilities, params=params)
    assert np.abs(found - expected).max() < 0.05


@kinds
def test_rank(brightness: Checkpoint, kind: Callable[..., Any]) -> None:
    found = segment(kind(spots()), brightness, axes="ZYX", diameter_px=12.0)
    labels = kind(found.labels)
    plain = rank_by_entropy(found)
    lazy = rank_by_entropy(replace(found, labels=labels))
    assert lazy == plain
    assert place_now(labels, "ZYX", lazy.objects[0]) is not None
    for rank in (iter_rank_by_oddness, iter_rank_by_border_weight):
        assert run(rank(labels, "ZYX")) == run(rank(found.labels, "ZYX"))
    others = [found.labels]
    assert rank_by_disagreement(labels, others, "ZYX").mean_score == 0


@pytest.mark.parametrize("kind", [Guarded, lambda a: Levels([Guarded(a)])])
def test_segment_mirrored(brightness: Checkpoint, kind: Callable[..., Any]) -> None:
    with dask.config.set({"array.chunk-size": "20KiB"}):
        flips = run(iter_flipped(kind(spots()), brightness, flips=("Y",)))
    assert flips[0].max() == 4


class OnDisk(Guarded):
    """A volume of 200 x 1024 x 1024, of which a fiftieth may be read at once."""

    share = 0.04

    def __init__(self, dtype: str) -> None:
        self.data = zarr.create_array(
            zarr.storage.MemoryStore(),
            shape=(200, 1024, 1024),
            chunks=(32, 128, 128),
            dtype=dtype,
        )
        self.shape, self.dtype, self.ndim = self.data.shape, self.data.dtype, 3
        self.chunks = self.data.chunks
        self.reads = 0


@pytest.mark.parametrize("is_volume", [False, True])
def test_correct(is_volume: bool) -> None:
    image, labels = OnDisk("f4"), OnDisk("u4")
    place = (slice(100, 110), slice(500, 572), slice(480, 576))
    image[place] = spots()
    session = CorrectionSession(image, labels)
    if not is_volume:
        session.within = (slice(104, 105), slice(0, 1024), slice(0, 1024))
    session.stroke([(104, 518, 504)], True)
    session.stroke([(104, 530, 504)], False)
    assert session.commit() is not None
    made = np.asarray(labels.data[place]) == 1
    planes = slice(2, 8) if is_volume else slice(4, 5)
    truth = np.zeros(SHAPE, bool)
    truth[planes, :36, :48] = spots()[planes, :36, :48] > 0.5
    assert (made & truth).sum() / (made | truth).sum() > 0.8
    session.undo()
    assert not np.asarray(labels.data[place]).any()
