from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from volume_scenes import PARAMS, SHAPE, balls, read, same_partition, segmented, store

from napari_seg.data.io import read_image
from napari_seg.errors import FormatError, ImageError
from napari_seg.imaging.levels import Levels
from napari_seg.inference.block_worker import BlockWorker
from napari_seg.inference.segment import segment
from napari_seg.inference.volumes import VolumeOptions, iter_segment_volume
from napari_seg.models.checkpoint import Checkpoint

BALLS = balls()


@pytest.fixture(params=[2, 3], ids=["planes", "boxes"])
def model(request: pytest.FixtureRequest, brightness: Checkpoint) -> Checkpoint:
    return replace(brightness, card=replace(brightness.card, ndim=request.param))


def in_memory(image: Any, model: Checkpoint, **fields: Any) -> NDArray[np.int32]:
    return segment(image, model, axes="ZYX", diameter_px=12.0, **fields).labels


@pytest.mark.parametrize("cell", [(16, 64, 64), (32, 64, 128), (64, 128, 192)])
def test_objects_are_those_of_memory_however_the_volume_is_cut(
    cell: tuple[int, int, int], model: Checkpoint, tmp_path: Path
) -> None:
    labels, result = segmented(BALLS, tmp_path / "o.zarr", model, cell=cell)
    assert same_partition(labels, in_memory(BALLS, model))
    assert labels.max() == result.objects == len(np.unique(labels)) - 1
    assert not result.errors
    rod = labels[15, 36, 10]
    assert rod > 0
    assert (labels[15, 36, 5:-5] == rod).all()


def test_the_labels_do_not_depend_on_the_blocks_in_any_voxel(
    model: Checkpoint, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).random((20, 100, 130)).astype(np.float32)
    noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 3
    found = [
        segmented(noise, tmp_path / f"{i}.zarr", model, block=block)[0]
        for i, block in enumerate([(16, 64, 64), (32, 64, 128), (32, 128, 192)])
    ]
    assert found[0].max() > 50
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize("diameter", [24.0, 8.0])
def test_labels_come_back_at_the_resolution_of_the_volume(
    diameter: float, model: Checkpoint, tmp_path: Path
) -> None:
    params = replace(PARAMS, diameter_px=diameter)
    labels, _ = segmented(BALLS, tmp_path / "o.zarr", model, params)
    expected = segment(BALLS, model, axes="ZYX", diameter_px=diameter).labels
    assert labels.shape == SHAPE
    assert same_partition(labels, expected)


def as_dask(path: Path) -> Any:
    return da.from_array(BALLS, chunks=(20, 50, 100))


def as_zarr(path: Path) -> Any:
    return store(path / "v.zarr", BALLS, (16, 64, 64))


def as_levels(path: Path) -> Any:
    return Levels([BALLS, BALLS[:, ::2, ::2]])


def as_tiff(path: Path) -> Any:
    tifffile.imwrite(path / "v.tif", BALLS, metadata={"axes": "ZYX"})
    return path / "v.tif"


def as_packed_tiff(path: Path) -> Any:
    file = path / "v.tif"
    tifffile.imwrite(file, BALLS, metadata={"axes": "ZYX"}, compression="zlib")
    return file


class Unreadable:
    """Refuses to be read whole."""

    shape = SHAPE
    dtype = BALLS.dtype

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        part = BALLS[index]
        assert part.size < BALLS.size, "read whole"
        return part

    def __array__(self, *_: Any, **__: Any) -> NDArray[np.float32]:
        raise AssertionError("read whole")


def as_unreadable(path: Path) -> Any:
    return Unreadable()


@pytest.mark.parametrize(
    "volume",
    [as_dask, as_zarr, as_levels, as_tiff, as_packed_tiff, as_unreadable],
    ids=lambda f: f.__name__,
)
def test_any_volume_on_disk_is_read_part_by_part(
    volume: Callable[[Path], Any], brightness: Checkpoint, tmp_path: Path
) -> None:
    labels, _ = segmented(volume(tmp_path), tmp_path / "o.zarr", brightness)
    expected, _ = segmented(BALLS, tmp_path / "p.zarr", brightness)
    np.testing.assert_array_equal(labels, expected)


def test_frames_are_segmented_one_by_one_with_ids_of_their_own(
    model: Checkpoint, tmp_path: Path
) -> None:
    film = np.stack([BALLS[:8], 3 * BALLS[8:16] + 7]).transpose(1, 0, 2, 3)
    params = replace(PARAMS, axes="ZTYX")
    labels, result = segmented(film, tmp_path / "o.zarr", model, params)
    assert result.axes == "TZYX"
    assert labels.shape == (2, 8, *SHAPE[1:])
    for t, frame in enumerate((BALLS[:8], BALLS[8:16])):
        assert same_partition(labels[t], in_memory(frame, model))
    assert not set(np.unique(labels[0])) & set(np.unique(labels[1])) - {0}


def test_one_plane_is_a_volume_too(brightness: Checkpoint, tmp_path: Path) -> None:
    params = replace(PARAMS, axes="YX")
    labels, _ = segmented(BALLS[15], tmp_path / "o.zarr", brightness, params)
    expected = segment(BALLS[15], brightness, axes="YX", diameter_px=12.0).labels
    assert same_partition(labels, expected)


def test_the_labels_are_an_ome_zarr_image_with_levels_and_units(
    brightness: Checkpoint, tmp_path: Path
) -> None:
    image = np.pad(BALLS[:8], ((0, 0), (0, 60), (0, 0)))
    params = replace(PARAMS, spacing=(0.5, 0.2, 0.2))
    out = tmp_path / "o.zarr"
    labels, _ = segmented(image, out, brightness, params)
    found = read_image(out)
    assert (found.axes, found.spacing) == ("ZYX", (0.5, 0.2, 0.2))
    np.testing.assert_array_equal(found.array, labels)
    np.testing.assert_array_equal(read(out, 1), labels[:, 1::2, 1::2])
    about = zarr.open_group(out, mode="r").attrs.asdict()
    assert about["napari_seg"]["state"] == "done"
    assert "image-label" in about["ome"]
    sizes = [
        level["coordinateTransformations"][0]["scale"]
        for level in about["ome"]["multiscales"][0]["datasets"]
    ]
    assert sizes == [[0.5, 0.2, 0.2], [0.5, 0.4, 0.4]]
    assert not (tmp_path / "o.zarr.run").exists()


def test_probabilities_are_those_of_memory(model: Checkpoint, tmp_path: Path) -> None:
    kept = tmp_path / "p.zarr"
    segmented(BALLS, tmp_path / "o.zarr", model, probabilities=kept)
    expected = segment(BALLS, model, axes="ZYX", diameter_px=12.0).probabilities
    np.testing.assert_allclose(read(kept), expected, atol=1e-3)


def test_what_cannot_be_done_in_blocks_is_refused(
    brightness: Checkpoint, tmp_path: Path
) -> None:
    from napari_seg.refine.crf import CRF_PRESETS

    params = replace(PARAMS, crf=next(iter(CRF_PRESETS.values())))
    with pytest.raises(ImageError, match="CRF"):
        segmented(BALLS, tmp_path / "o.zarr", brightness, params)


def stop_after(steps: Any, blocks: int) -> None:
    for step in steps:
        if step.stage == "blocks" and step.message.startswith(f"{blocks} of"):
            break
    steps.close()


def test_a_stopped_run_goes_on_only_if_it_is_the_same(
    brightness: Checkpoint, tmp_path: Path
) -> None:
    out, cell = tmp_path / "o.zarr", (16, 64, 64)
    options = VolumeOptions(cell=cell)
    stop_after(iter_segment_volume(BALLS, out, brightness, PARAMS, options), 5)
    with pytest.raises(FormatError, match="not finished"):
        segmented(BALLS, out, brightness)
    other = replace(PARAMS, diameter_px=20.0)
    with pytest.raises(FormatError, match=r"another run.*diameter_px|parameters"):
        segmented(BALLS, out, brightness, other, mode="resume")
    labels, _ = segmented(BALLS, out, brightness, mode="resume")
    expected, _ = segmented(BALLS, tmp_path / "p.zarr", brightness)
    np.testing.assert_array_equal(labels, expected)
    with pytest.raises(FormatError, match="there already"):
        segmented(BALLS, out, brightness)
    segmented(BALLS, out, brightness, mode="restart")


def test_with_very_many_chunks_those_of_a_cell_share_a_file(
    brightness: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_seg.data import volume_store

    monkeypatch.setattr(volume_store, "MOST_FILES", 1)
    monkeypatch.setattr("napari_seg.inference.volume_begin.CHUNK", SMALL_CHUNK)
    out = tmp_path / "o.zarr"
    labels, result = segmented(BALLS, out, brightness)
    stored = zarr.open_array(out / "0", mode="r")
    assert (stored.shards, stored.chunks) == ((16, 64, 64), (8, 32, 32))
    assert not result.errors
    expected, _ = segmented(BALLS, tmp_path / "p.zarr", brightness)
    np.testing.assert_array_equal(labels, expected)


SMALL_CHUNK = {"T": 1, "Z": 8, "Y": 32, "X": 32}


def test_a_block_that_fails_half_way_is_background_until_it_is_done(
    brightness: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, options = tmp_path / "o.zarr", {"block": (32, 64, 128)}
    decode = BlockWorker._decode_cell

    def fail(self: BlockWorker, cell: tuple[int, ...]) -> object:
        if cell == (0, 1, 0, 1):
            raise ValueError("no luck")
        return decode(self, cell)

    with monkeypatch.context() as patch:
        patch.setattr(BlockWorker, "_decode_cell", fail)
        labels, result = segmented(BALLS, out, brightness, **options)
    assert (result.failed, len(result.errors)) == (1, 1)
    assert not labels[:, :64, :128].any()
    assert len(np.unique(labels)) - 1 == labels.max() == result.objects > 0
    labels, result = segmented(BALLS, out, brightness, mode="resume", **options)
    expected, _ = segmented(BALLS, tmp_path / "p.zarr", brightness, **options)
    assert not result.errors
    np.testing.assert_array_equal(labels, expected)


def test_labels_that_another_run_writes_are_left_alone(
    brightness: Checkpoint, tmp_path: Path
) -> None:
    out = tmp_path / "o.zarr"
    steps = iter_segment_volume(BALLS, out, brightness, PARAMS)
    for step in steps:
        if step.stage == "blocks":
            break
    for mode in ("new", "resume", "restart"):
        with pytest.raises(FormatError, match="another run"):
            segmented(BALLS, out, brightness, mode=mode)
    steps.close()
    segmented(BALLS, out, brightness, mode="restart")
    assert [p.name for p in tmp_path.iterdir()] == ["o.zarr"]


def test_a_run_that_ended_before_its_arrays_were_made_is_not_gone_on_with(
    brightness: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_seg.data import volume_store

    out = tmp_path / "o.zarr"

    def full(*_: object) -> None:
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(volume_store, "create_local", full)
        with pytest.raises(OSError, match="no room"):
            segmented(BALLS, out, brightness)
    with pytest.raises(FormatError, match="there already"):
        segmented(BALLS, out, brightness, mode="resume")
    _, result = segmented(BALLS, out, brightness, mode="restart")
    assert not result.errors


def test_a_file_that_changed_is_another_volume(
    brightness: Checkpoint, tmp_path: Path
) -> None:
    path, out = tmp_path / "v.tif", tmp_path / "o.zarr"
    tifffile.imwrite(path, BALLS)
    options = VolumeOptions(cell=(16, 64, 64))
    stop_after(iter_segment_volume(path, out, brightness, PARAMS, options), 3)
    tifffile.imwrite(path, BALLS[::-1].copy())
    with pytest.raises(FormatError, match=r"another run.*stamp"):
        segmented(path, out, brightness, mode="resume")


def test_no_chunk_belongs_to_two_cells(brightness: Checkpoint, tmp_path: Path) -> None:
    out, kept = tmp_path / "o.zarr", tmp_path / "p.zarr"
    segmented(BALLS, out, brightness, cell=(8, 48, 96), probabilities=kept)
    for path in (out, kept):
        assert zarr.open_array(path / "0", mode="r").chunks[-3:] == (8, 16, 32)
