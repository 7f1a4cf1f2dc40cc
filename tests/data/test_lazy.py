"""Labels and images on disk are exported and weighed without being read whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.formats.pairs import write_pairs
from napari_seg.data.formats.registry import FORMATS
from napari_seg.data.io import open_labels, read_labels
from napari_seg.data.journal import Journal
from napari_seg.data.journal_about import About
from napari_seg.data.recovery import recover
from napari_seg.errors import LabelsError
from napari_seg.gui.training.exporter import ExportPart, Writing, iter_export
from napari_seg.imaging import slabs, weight_tiles
from napari_seg.imaging.weight_blocks import iter_border_weights
from napari_seg.imaging.weightmap import BorderWeights
from napari_seg.training.sources import ArraySource
from napari_seg.types import run

SHAPE = (10, 40, 48)
SHARE = 0.2
"""Of the volume that may be read at once: two planes of ten."""

SIDES = {2: (16, 16), 3: (2, 8, 8)}
"""Of the tiles that weights are computed in."""


class Guarded:
    """An array on disk that refuses to be read whole."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim
        self.chunks = (1, *data.shape[1:])

    def __getitem__(self, index: Any) -> np.ndarray:
        part = np.asarray(self.data[index])
        share = part.size / self.data.size
        assert share <= SHARE, f"{share:.0%} were read at once"
        return part.copy()

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise AssertionError("all of it was read")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make pieces as small to these arrays as they are to large ones; guard dask."""
    monkeypatch.setattr(slabs, "STORED_VOXELS", 2**12)
    compute = da.Array.compute

    def checked(self: da.Array, **options: Any) -> Any:
        # What is counted while it is computed has no size yet.
        is_large = self.size > SHARE * np.prod(SHAPE)
        assert not is_large, f"{self.shape} were computed"
        return compute(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(da.Array, "compute", checked)
        yield


def cells() -> np.ndarray:
    """Boxes that touch, go through planes, and leave some planes empty."""
    labels = np.zeros(SHAPE, np.uint32)
    labels[1:6, 4:14, 4:14] = 1
    labels[1:6, 4:14, 14:24] = 2
    labels[4:8, 20:30, 6:16] = 70_000
    labels[7, 30:38, 30:40] = 4
    return labels


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)


def lazy_item(**fields: Any) -> AnnotatedImage:
    labels: Any = Guarded(cells())
    return AnnotatedImage("a", labels, "ZYX", Guarded(image()), **fields)


def test_what_is_known_of_lazy_labels_is_that_of_labels_in_memory():
    plain = AnnotatedImage("a", cells(), "ZYX", image(), ignored=frozenset([2]))
    lazy = lazy_item(ignored=frozenset([2]))
    assert lazy.ids == plain.ids
    assert lazy.labels.dtype == np.int32
    for ours, theirs in zip(lazy.planes(), plain.planes(), strict=True):
        assert ours.name == theirs.name
        assert np.array_equal(ours.labels, theirs.labels)
        assert np.array_equal(ours.kept, theirs.kept)
    rows = [np.asarray(lazy.kept[z]) for z in range(SHAPE[0])]
    assert np.array_equal(rows, plain.kept)


@pytest.mark.parametrize(
    "name",
    ["ome-zarr", "tiff-pairs", "imagej-roi", "coco", "coco-panoptic", "yolo-seg"],
)
def test_export_reads_labels_on_disk_plane_by_plane(name: str, tmp_path: Path):
    part = ExportPart(ArraySource(Guarded(image()), Guarded(cells()), "a", "ZYX"))
    counts = run(iter_export([part], name, tmp_path / "lazy", Writing()))
    whole = ExportPart(ArraySource(image(), cells(), "a", "ZYX"))
    expected = run(iter_export([whole], name, tmp_path / "whole", Writing()))
    assert counts == expected
    files = _files(tmp_path / "whole")
    assert files == _files(tmp_path / "lazy")
    for file in files:
        if file.suffix in (".png", ".txt", ".roi", ".tif"):
            ours, theirs = tmp_path / "lazy" / file, tmp_path / "whole" / file
            assert ours.read_bytes() == theirs.read_bytes(), file


def _files(folder: Path) -> list[Path]:
    found = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
    return sorted(p for p in found if "zarr" not in str(p))


def test_ome_zarr_of_labels_on_disk_holds_them(tmp_path: Path):
    FORMATS["ome-zarr"].write([lazy_item()], tmp_path / "o")
    group = zarr.open_group(tmp_path / "o" / "a.ome.zarr" / "labels" / "objects")
    assert np.array_equal(group["s0"][...], cells())


def test_a_data_set_of_labels_on_disk_has_their_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(weight_tiles, "_SIDES_PX", SIDES)
    params = BorderWeights(sigma=0.5)
    write_pairs([lazy_item()], tmp_path / "d", weights=params)
    found = tifffile.imread(next((tmp_path / "d" / "weights").glob("*.tif")))
    np.testing.assert_allclose(found, params.weigh(cells()), rtol=1e-6)


@pytest.mark.parametrize("spatial", [(1, 2), (0, 1, 2)])
@pytest.mark.parametrize("balance", [True, False])
def test_weights_by_blocks_are_those_of_the_whole(
    spatial: tuple[int, ...], balance: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(weight_tiles, "_SIDES_PX", SIDES)
    params = BorderWeights(sigma=0.5, balance_classes=balance)
    labels = cells()
    made = np.zeros(SHAPE, np.float32)
    for box, weights in iter_border_weights(Guarded(labels), spatial, params):
        made[box] = weights
    whole = (
        params.weigh(labels)
        if len(spatial) == 3
        else np.stack([params.weigh(plane) for plane in labels])
    )
    assert np.array_equal(made, whole)


def test_labels_in_a_zarr_folder_are_opened_and_not_read(tmp_path: Path):
    zarr.create_array(tmp_path / "l.zarr", data=cells(), chunks=(1, 20, 48))
    opened = open_labels(tmp_path / "l.zarr")
    assert isinstance(opened.array, da.Array)
    assert opened.array.dtype == np.int32
    planes = [np.asarray(opened.array[z]) for z in range(SHAPE[0])]
    assert np.array_equal(planes, cells())


def test_labels_that_are_none_are_refused_when_they_are_opened(tmp_path: Path):
    labels = cells().astype(np.int64)
    labels[9, 0, 0] = -5
    zarr.create_array(tmp_path / "l.zarr", data=labels, chunks=(1, 20, 48))
    with pytest.raises(LabelsError, match="instance ids"):
        open_labels(tmp_path / "l.zarr")


def test_small_files_are_read_as_ever(tmp_path: Path):
    tifffile.imwrite(tmp_path / "l.tif", cells()[0].astype(np.uint16))
    assert np.array_equal(
        open_labels(tmp_path / "l.tif").array, read_labels(tmp_path / "l.tif").array
    )


def test_the_journal_of_labels_on_disk_is_written_slab_by_slab(tmp_path: Path):
    labels = Guarded(cells())
    journal = Journal(tmp_path / "j", About.of(labels, "cells"))
    journal.begin(labels)
    labels.data[3, 0:4, 0:4] = 5
    journal.append((slice(3, 4), slice(0, 4), slice(0, 4)), labels)
    journal.flush()
    assert np.array_equal(recover(tmp_path / "j").labels, labels.data)
