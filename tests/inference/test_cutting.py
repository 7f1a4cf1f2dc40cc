"""Tiles cut where the network runs are those that the processor reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.tiling import choose_geometry, plan_tiles
from napari_seg.inference import cutting, reader
from napari_seg.inference.cutting import PlaneAboard, read_tiles, tile_cutter
from napari_seg.inference.reader import ImageReader, open_image
from napari_seg.inference.view import PlaneView, view_plane


def view_of(
    shape: tuple[int, int], zoom: float, channels: int = 1, dtype: str = "u2"
) -> PlaneView:
    rng = np.random.default_rng(sum(shape))
    most = np.iinfo(dtype).max if dtype[0] == "u" else 4000
    image = rng.integers(0, most, (channels, *shape), endpoint=True).astype(dtype)
    reader = open_image(image, "CYX", in_channels=channels)
    return view_plane(reader, PlaneIndex(), zoom)


def tiles_of(view: PlaneView, side: int, rim: int) -> list:
    sides = (
        choose_geometry(
            n, side, divisor=8, margin=0, overlap=8, phase=0, smallest=8, rim=rim
        )
        for n in view.shape
    )
    return plan_tiles(view.shape, tuple(sides))


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    zoom=st.sampled_from([0.5, 1.0, 1.7]),
    side=st.sampled_from([32, 48]),
    rim=st.sampled_from([0, 16]),
    band=st.sampled_from([1, 7, 256]),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from(["u1", "u2", ">u2", "i4", "f4"]),
    order=st.randoms(use_true_random=False),
)
def test_tiles_are_those_read_one_by_one(
    shape, zoom, side, rim, band, channels, dtype, order
):
    view = view_of(shape, zoom, channels, dtype.strip(">"))
    view.reader.image = view.reader.image.astype(dtype)
    tiles = tiles_of(view, side, rim)
    order.shuffle(tiles)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "_BAND_ROWS", band)
        aboard = PlaneAboard(view, "cpu")
        for start in range(0, len(tiles), 5):
            some = tiles[start : start + 5]
            found = aboard.cut(some)
            np.testing.assert_allclose(found, read_tiles(view, some), atol=1e-6)


def test_no_row_is_read_twice_and_none_that_no_tile_needs(monkeypatch):
    view = view_of((1000, 40), 1.0)
    tiles = tiles_of(view, 64, 8)
    seen = []
    raw = ImageReader.raw
    monkeypatch.setattr(
        ImageReader, "raw", lambda *args: seen.append(args[3][0]) or raw(*args)
    )
    aboard = PlaneAboard(view, "cpu")
    aboard.cut(tiles[:1])
    assert [(s.start, s.stop) for s in seen] == [(0, 256)]
    for tile in tiles:
        aboard.cut([tile])
    assert sorted((s.start, s.stop) for s in seen) == [
        (0, 256), (256, 512), (512, 768), (768, 1000)
    ]  # fmt: skip


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where something is moved to the device."""

    def fail(*_: object) -> None:
        raise AssertionError("moved")

    monkeypatch.setattr(cutting, "PlaneAboard", fail)


@pytest.mark.usefixtures("refused")
def test_large_planes_are_read_tile_by_tile(monkeypatch) -> None:
    view = view_of((64, 64), 1.0)
    tiles = tiles_of(view, 32, 8)
    monkeypatch.setattr(cutting, "_MOST_PIXELS", 64 * 64 - 1)
    found = tile_cutter(view, "cuda:0")(tiles)
    np.testing.assert_array_equal(found, read_tiles(view, tiles))


@pytest.mark.usefixtures("refused")
def test_a_huge_plane_on_disk_is_not_read_whole_however_much_it_shrinks(
    monkeypatch,
) -> None:
    view = view_of((200, 200), 0.25)
    view.reader.is_lazy = True
    tiles = tiles_of(view, 32, 8)
    monkeypatch.setattr(reader, "_CACHED_PLANE_PX", 200 * 200 - 1)
    found = tile_cutter(view, "cuda:0")(tiles)
    np.testing.assert_array_equal(found, read_tiles(view, tiles))


def test_when_memory_runs_out_tiles_are_read_one_by_one_from_then_on(
    monkeypatch,
) -> None:
    view = view_of((64, 64), 1.0)
    tiles = tiles_of(view, 32, 8)
    calls = []

    class Full(PlaneAboard):
        def cut(self, some):
            calls.append(len(some))
            if len(calls) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory (injected)")
            return super().cut(some)

    monkeypatch.setattr(cutting, "PlaneAboard", lambda view, _: Full(view, "cpu"))
    cut = tile_cutter(view, "cuda:0")
    for _ in range(4):
        np.testing.assert_allclose(cut(tiles), read_tiles(view, tiles), atol=1e-6)
    assert len(calls) == 2


def test_another_error_of_the_device_is_not_hidden(monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("unspecified launch failure")

    monkeypatch.setattr(cutting, "PlaneAboard", broken)
    view = view_of((8, 8), 1.0)
    with pytest.raises(RuntimeError, match="launch failure"):
        tile_cutter(view, "cuda:0")(tiles_of(view, 32, 8))


def test_the_network_takes_tiles_that_are_tensors():
    from napari_seg.inference.device import Device
    from napari_seg.inference.predictor import Predictor

    network = torch.nn.Sequential()
    network.forward = lambda x: {"out": torch.cat([x, -x], dim=1)}
    predictor = Predictor(network, Device("cpu", "test"))
    x = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    np.testing.assert_array_equal(
        predictor.predict(torch.from_numpy(x)), predictor.predict(x)
    )
