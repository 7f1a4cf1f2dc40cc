"""Correcting labels on disk: the same as in memory, and only pieces are read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Labels
from test_correct_controller import Bench

from napari_seg.gui.correction.free_ids import FreeIds
from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.unsaved import UnsavedEdits
from napari_seg.imaging import stored
from napari_seg.imaging.stored import StoredLabels

SHAPE = (200, 1024, 1024)
MOST_READ = 2**22
"""Voxels read at once: a fiftieth of the labels, and four planes."""


class Guarded:
    """A zarr array that refuses to be read whole."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.largest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)

    def __getitem__(self, index: Any) -> np.ndarray:
        part = np.asarray(self.array[index])
        self.largest = max(self.largest, part.size)
        assert part.size <= MOST_READ, f"{part.size} voxels were read at once"
        return part

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[index] = value

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise AssertionError("all of it was read")


def on_disk(path: Path, dtype: str, chunks: tuple[int, ...]) -> Guarded:
    array = zarr.create_array(path, shape=SHAPE, chunks=chunks, dtype=dtype)
    return Guarded(array)


def discs(image: Any) -> None:
    """Draw two bright discs near the middle of a volume."""
    z, y, x = np.indices((11, 64, 96))
    noise = 8 * np.random.default_rng(0).standard_normal(z.shape)
    for centre in (24, 64):
        away = ((z - 5) / 5) ** 2 + ((y - 32) / 14) ** 2 + ((x - centre) / 14) ** 2
        noise += 100 * (away < 1)
    image[95:106, 480:544, 480:576] = noise.clip(0, 255).astype("u1")


def corrected(bench: Bench, image: Any, labels: Any) -> list[np.ndarray]:
    """Correct with every tool; return what the labels hold after each step."""
    bench.open(image, labels)
    bench.viewer.dims.set_point(0, 100)
    states = []

    def note() -> None:
        part = np.asarray(bench.layer.data[90:110, 470:560, 470:590])
        states.append(part.copy())

    bench.tool(Tool.OBJECT)
    for x in (504, 544):
        bench.draw((100, 512, x - 4), (100, 512, x + 4))
        bench.press("commit")
        note()
    bench.layer.data_setitem((np.array([100]), np.array([512]), np.array([504])), 0)
    bench.panel.tool_requested.emit(Tool.PICK)
    bench.draw((100, 505, 504))
    bench.press("fill")
    note()
    bench.panel.tool_requested.emit(Tool.MERGE)
    bench.draw((100, 512, 506), (100, 512, 540))
    note()
    bench.press("undo")
    note()
    bench.panel.tool_requested.emit(Tool.SPLIT)
    bench.draw((100, 506, 544), (100, 506, 546))
    bench.draw((100, 519, 544), (100, 519, 546))
    bench.press("commit")
    note()
    bench.panel.tool_requested.emit(Tool.DELETE)
    bench.draw((100, 512, 504))
    note()
    bench.press("undo")
    bench.press("undo")
    note()
    bench.press("redo")
    note()
    return states


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(stored, "LARGE_VOXELS", 2**20)
    made = Bench(tmp_path)
    yield made
    made.controller.close()


def test_labels_on_disk_are_corrected_as_those_in_memory(bench, tmp_path):
    image = on_disk(tmp_path / "i", "u1", (16, 128, 128))
    labels = on_disk(tmp_path / "l", "u4", (32, 128, 128))
    discs(image)
    found = corrected(bench, image, labels)
    (tmp_path / "other").mkdir()
    other = Bench(tmp_path / "other")
    try:
        plain = np.zeros((200, 1024, 1024), np.uint32)
        expected = corrected(other, np.asarray(image.array[...]), plain)
    finally:
        other.controller.close()
    assert len(np.unique(expected[-1])) > 2
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert np.array_equal(ours, theirs), f"after step {number}"
    assert np.array_equal(labels.array[90:110, 470:560, 470:590], expected[-1])
    assert bench.reported == []


def test_what_is_shown_of_labels_on_disk_follows_edits_and_undo(bench, tmp_path):
    image = on_disk(tmp_path / "i", "u1", (16, 128, 128))
    labels = on_disk(tmp_path / "l", "u4", (32, 128, 128))
    discs(image)
    layer = bench.open(image, labels)
    bench.viewer.dims.set_point(0, 100)
    bench.tool(Tool.OBJECT)
    labels.largest = 0
    bench.draw((100, 512, 500), (100, 512, 508))
    bench.press("commit")
    # The plane was not read again, only what lies around the object.
    assert 0 < labels.largest < 2**18
    for act in ("undo", "redo"):
        shown = np.asarray(labels.array[100])
        assert np.array_equal(layer._slice.image.raw, shown)
        assert shown.any() == (act == "undo")
        assert np.array_equal(layer._slice.image.view > 0, shown > 0)
        labels.largest = 0
        bench.press(act)
        assert labels.largest <= 2**16


def test_ids_of_napari_s_brush_are_not_given_again(bench, tmp_path):
    image = on_disk(tmp_path / "i", "u1", (16, 128, 128))
    labels = on_disk(tmp_path / "l", "u4", (32, 128, 128))
    labels[5, 5, 5] = 40
    layer = bench.open(image, labels)
    assert bench.controller.desk.object_id == 41
    layer.selected_label = 77
    layer.paint((3.0, 20.0, 20.0), 77)
    bench.press("next_free_id")
    assert bench.controller.desk.object_id == 78


def test_a_viewer_without_a_panel_shows_labels_on_disk_lazily(tmp_path):
    labels = on_disk(tmp_path / "l", "u4", (32, 128, 128))
    viewer = ViewerModel()
    viewer.add_labels(labels)
    assert labels.largest <= 2**20


def pyramid(path: Path, labels: np.ndarray) -> list[zarr.Array]:
    """Write labels and two coarser levels of them."""
    levels = [labels, labels[:, 1::2, 1::2], labels[:, 3::4, 3::4]]
    return [
        zarr.create_array(path / str(i), data=level, chunks=(2, 32, 32))
        for i, level in enumerate(levels)
    ]


@pytest.mark.parametrize("kind", ["zarr", "dask"])
def test_multiscale_labels_are_corrected_and_their_levels_follow(tmp_path, kind):
    labels = np.zeros((4, 96, 128), np.uint32)
    labels[:, 20:60, 20:60] = 5
    levels = pyramid(tmp_path / "l", labels)
    given = levels
    if kind == "dask":
        # As a reader opens them: not for writing.
        opened = [zarr.open_array(tmp_path / "l" / str(i), mode="r") for i in range(3)]
        given = [da.from_zarr(array) for array in opened]
    bench = Bench(tmp_path)
    bench.viewer.add_image(np.zeros(labels.shape, np.uint8), name="cells")
    whole = bench.viewer.add_labels(given, multiscale=True, name="ids")
    bench.rest()
    assert "Multiscale" in bench.panel.shown["problem"][0]
    names, current = bench.panel.shown["labels_layers"]
    assert (names, current) == (["ids", "ids: full resolution"], "ids")
    bench.press("labels", "ids: full resolution")
    assert bench.panel.shown["problem"] == ("",)
    layer = bench.controller.desk.target.layer
    assert layer.name == "ids: full resolution"
    assert not whole.visible
    bench.controller.desk.pick(5, (1, 30, 30))
    bench.press("delete")
    assert not any(np.asarray(level).any() for level in levels)
    bench.press("undo")
    for level, step in zip(levels, (1, 2, 4), strict=True):
        expected = labels[:, step - 1 :: step, step - 1 :: step]
        assert np.array_equal(np.asarray(level), expected)
    layer.data_setitem((np.array([2]), np.array([71]), np.array([71])), 9)
    bench.viewer.layers.remove(layer)
    bench.rest()
    assert whole.visible
    assert [
        int(x[2, 71 // s, 71 // s]) for x, s in zip(levels, (1, 2, 4), strict=True)
    ] == [9] * 3
    bench.controller.close()


def test_levels_that_are_computed_are_refused_in_plain_words(tmp_path):
    labels = da.from_array(np.zeros((4, 64, 64), np.uint32)) + 0
    bench = Bench(tmp_path)
    bench.viewer.add_image(np.zeros(labels.shape, np.uint8), name="cells")
    bench.viewer.add_labels([labels, labels[:, ::2, ::2]], multiscale=True, name="ids")
    bench.press("labels", "ids: full resolution")
    assert "cannot be written" in bench.said
    assert len(bench.viewer.layers) == 2
    bench.controller.close()


def test_corrections_on_disk_are_not_called_unsaved(tmp_path):
    viewer = ViewerModel()
    disk = zarr.create_array(tmp_path / "l", shape=(8, 8), dtype="u4", chunks=(4, 4))
    for data in (disk, np.zeros((8, 8), np.uint32)):
        viewer.add_labels(data)
    edits = UnsavedEdits(viewer, lambda *_: None)
    for layer in viewer.layers:
        layer.data_setitem((np.array([2]), np.array([3])), 9)
    assert list(edits.unsaved()) == [viewer.layers[1]]
    edits.close()


def test_new_labels_that_no_memory_holds_are_refused_in_plain_words(tmp_path):
    bench = Bench(tmp_path)
    image = da.zeros((2000, 400_096, 400_096), np.uint8, chunks=(1, 400_096, 400_096))
    bench.viewer.add_image(image[:, :64, :64], name="small")
    layer = bench.viewer.layers["small"]
    layer._data = image  # shown, it would be read
    bench.press("new_labels")
    assert "Memory would not hold" in bench.said
    assert len(bench.viewer.layers) == 1
    bench.controller.close()


def test_an_id_that_comes_back_by_undo_during_the_look_is_known(tmp_path):
    array = zarr.create_array(
        tmp_path / "l.zarr", shape=(32, 32), chunks=(16, 16), dtype="u4"
    )
    array[2:6, 2:6] = 50
    labels, layer = StoredLabels(array), Labels(np.zeros((32, 32), np.uint32))
    watched = FreeIds(
        SimpleNamespace(labels=labels, layer=layer),
        Jobs(),
        lambda _: None,
        lambda _: None,
        lambda _: None,
    )
    rows, columns = np.mgrid[2:6, 2:6].reshape(2, -1)
    array[2:6, 2:6] = 1
    atom = (rows, columns), np.full(16, 50, np.uint32), 1
    layer.events.paint(value=[atom])
    list(labels.iter_look())
    array[2:6, 2:6] = 50  # Ctrl+Z, of which nobody tells
    assert labels.highest() == 50
    assert list(labels.where((slice(0, 32), slice(0, 32)), [50]))
    watched.close()
