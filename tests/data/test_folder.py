"""A folder of images worked through: names, states, and labels on disk."""

import json
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from pylibCZIrw import czi

from napari_seg.data.dataset_check import check_dataset
from napari_seg.data.dataset_reading import read_items
from napari_seg.data.folder import (
    ImageFolder,
    ImageState,
    Work,
    changed_ids,
    list_images,
    name_images,
)
from napari_seg.data.image_data import ImageData
from napari_seg.data.provenance import Provenance
from napari_seg.errors import DatasetError, FormatError
from napari_seg.training.folders import folder_sources
from napari_seg.training.sources import Reading, iter_read
from napari_seg.types import run


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "cells"
    made.mkdir()
    image = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    for number in (10, 2, 1):
        tifffile.imwrite(made / f"c{number}.tif", image)
    Image.fromarray(image.astype(np.uint8)).save(made / "other.png")
    (made / "notes.txt").write_text("no image")
    (made / "._c1.tif").write_bytes(b"left by macOS")
    return made


def squares(*ids):
    labels = np.zeros((20, 30), np.int32)
    for place, number in enumerate(ids):
        labels[2:8, 2 + 8 * place : 8 + 8 * place] = number
    return labels


def save(work, name, labels, **kwargs):
    opened = work.open(name)
    return work.save(name, opened.data, Work(labels, **kwargs))


def test_images_come_in_the_order_of_their_numbers(folder):
    assert list(name_images(list_images(folder))) == ["c1", "c2", "c10", "other"]
    (folder / "c1.png").write_bytes(b"")
    (folder / "d.ome.tif").write_bytes(b"")
    assert list(name_images(list_images(folder))) == [
        "c1.png", "c1.tif", "c2", "c10", "d", "other",
    ]  # fmt: skip


def test_nothing_is_written_by_looking(folder):
    work = ImageFolder(folder)
    assert {image.state for image in work.images} == {ImageState.UNTOUCHED}
    assert work.open("c1").labels is None
    assert not work.out.exists()
    assert work.out == folder.with_name("cells-labels")


def test_an_image_goes_through_its_states(folder):
    work = ImageFolder(folder)
    assert save(work, "c2", squares(1, 2)).state is ImageState.PREDICTED
    moved = squares(1, 3)
    entry = save(work, "c2", moved, verified=frozenset({1}), edited=frozenset({3}))
    assert (entry.state, entry.objects, entry.verified) == (
        ImageState.CORRECTING, 2, 1,
    )  # fmt: skip
    (item,) = read_items(work.out)
    assert item.states == {1: "verified", 3: "edited"}
    assert item.ignored == {3}
    assert save(work, "c2", moved, is_verified=True).state is ImageState.VERIFIED
    assert next(iter(read_items(work.out))).ignored == frozenset()
    assert check_dataset(work.out) == []


def test_an_empty_prediction_is_not_a_verified_image(folder):
    work = ImageFolder(folder)
    assert save(work, "c1", squares()).state is ImageState.PREDICTED
    erased = Provenance(edits={"steps": 1})
    entry = save(work, "c1", squares(), provenance=erased)
    assert entry.state is ImageState.CORRECTING
    assert save(work, "c1", squares(), is_verified=True).state is ImageState.VERIFIED


def test_another_start_finds_labels_and_states_again(folder):
    save(ImageFolder(folder), "c10", squares(5, 70_000), is_verified=True)
    again = ImageFolder(folder)
    assert [image.state.value for image in again.images] == [
        "untouched", "untouched", "verified", "untouched",
    ]  # fmt: skip
    opened = again.open("c10")
    np.testing.assert_array_equal(opened.labels, squares(5, 70_000))


def test_a_training_learns_from_what_was_verified_alone(folder):
    work = ImageFolder(folder)
    save(work, "c1", squares(1, 2), is_verified=True)
    save(work, "c2", squares(1, 2))
    save(work, "c10", squares(1, 2), verified=frozenset({2}))
    sources = folder_sources(work.out)
    found = {source.image.stem: source.checked for source in sources}
    assert found["c1"] is None
    assert found["c2"].ids == frozenset()
    assert found["c10"].ids == {2}
    planes = run(iter_read(sources, Reading()))
    assert {plane.name for plane in planes} == {"c1", "c10"}


def test_a_volume_keeps_its_axes_and_voxels(tmp_path):
    data = np.zeros((4, 2, 20, 30), np.uint8)
    tifffile.imwrite(
        tmp_path / "v.ome.tif", data, metadata={
            "axes": "ZCYX", "PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.5,
            "PhysicalSizeX": 0.5,
        },
    )  # fmt: skip
    work = ImageFolder(tmp_path, tmp_path / "out")
    labels = np.zeros((4, 20, 30), np.int32)
    labels[1:3, 2:9, 4:9] = 7
    save(work, "v", labels)
    opened = ImageFolder(tmp_path, tmp_path / "out").open("v")
    np.testing.assert_array_equal(opened.labels, labels)
    (item,) = read_items(tmp_path / "out")
    assert item.spacing == (2.0, 0.5, 0.5)


def test_labels_of_another_image_are_refused_with_both_shapes(folder):
    work = ImageFolder(folder)
    save(work, "c1", squares(1))
    tifffile.imwrite(folder / "c1.tif", np.zeros((9, 9), np.uint8))
    with pytest.raises(DatasetError, match=r"labels \(20, 30\), image \(9, 9\)"):
        work.open("c1")
    opened = ImageFolder(folder, work.out)
    small = np.zeros((9, 9), np.int32)
    with pytest.raises(DatasetError, match=r"there \(20, 30\)"):
        opened.save("c1", ImageData(small, "YX", None), Work(small))


def test_a_full_disk_leaves_the_labels_before(folder, monkeypatch):
    work = ImageFolder(folder)
    save(work, "c1", squares(1))
    data = work.open("c1").data

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_seg.data.io.write_tiff", full)
    with pytest.raises(OSError, match="No space"):
        work.save("c1", data, Work(squares(1, 2)))
    monkeypatch.undo()
    np.testing.assert_array_equal(work.open("c1").labels, squares(1))
    assert check_dataset(work.out) == []


def test_other_items_of_the_data_set_stay(folder, tmp_path):
    work = ImageFolder(folder)
    for name in ("c1", "c2"):
        save(work, name, squares(1))
    before = json.loads((work.out / "dataset.json").read_text())["pairs"][1]
    save(work, "c1", squares(1, 2), is_verified=True)
    stored = json.loads((work.out / "dataset.json").read_text())["pairs"]
    assert stored[1] == before
    assert [entry["name"] for entry in stored] == ["c1", "c2"]


def test_changed_objects_are_those_that_lost_or_won_pixels():
    assert changed_ids(squares(1, 2, 3), squares(1, 4, 3)) == {2, 4}


def test_no_image_and_no_folder_are_told_apart(tmp_path):
    with pytest.raises(DatasetError, match="no image"):
        ImageFolder(tmp_path)
    with pytest.raises(DatasetError, match="not a folder"):
        ImageFolder(tmp_path / "missing")


def test_a_makers_format_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioio", None)
    (folder / "stack.nd2").write_bytes(b"")
    work = ImageFolder(folder)
    with pytest.raises(FormatError, match="pip install bioio bioio-nd2"):
        work.open("stack")


def test_a_file_of_a_microscope_is_read_with_its_axes(folder):
    expected = np.random.default_rng(0).integers(0, 60_000, (2, 3, 20, 30), np.uint16)
    with czi.create_czi(str(folder / "stack.czi")) as file:
        for c, z in np.ndindex(2, 3):
            file.write(expected[c, z][..., None], plane={"C": c, "Z": z, "T": 0})
        file.write_metadata("stack", scale_x=2e-7, scale_y=2e-7, scale_z=1.5e-6)
    data = ImageFolder(folder).open("stack").data
    assert data.axes == "CZYX"
    assert data.spacing == pytest.approx((1.5, 0.2, 0.2))
    np.testing.assert_array_equal(data.array, expected)
    assert not isinstance(data.array, np.ndarray)  # planes are read as they are needed


def test_a_damaged_file_of_a_microscope_is_told(folder):
    (folder / "stack.czi").write_bytes(b"not an image at all")
    with pytest.raises(FormatError, match="cannot be read by bioio-czi"):
        ImageFolder(folder).open("stack")
