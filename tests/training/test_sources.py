"""Training data of all kinds, and what of it counts."""

import json

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from tiny import losses, params

from napari_seg.errors import DatasetError
from napari_seg.training.checked import Checked
from napari_seg.training.folders import folder_sources
from napari_seg.training.lazy import LazyPlane
from napari_seg.training.pairs import TrainingPair, dense_ids, memory_report
from napari_seg.training.params import TrainParams
from napari_seg.training.sampling import PatchDataset
from napari_seg.training.sources import (
    ArraySource,
    FileSource,
    Reading,
    iter_read,
    marked_sides,
)
from napari_seg.training.split import split_planes
from napari_seg.training.trainer import iter_train, train
from napari_seg.training.validation import validate, without_ignored
from napari_seg.types import run


def read(*sources, **fields):
    return run(iter_read(sources, Reading(**fields)))


def test_layers_folders_and_stacks_train_together(dataset, layers, tmp_path):
    stack = ArraySource(
        np.stack([layers[0][0], layers[1][0]]),
        np.stack([layers[0][1], layers[1][1]]).astype(np.uint64),
        "stack",
        "ZYX",
    )
    plane = ArraySource(*layers[2], "plane")
    steps = list(
        iter_train([dataset, stack, plane], tmp_path / "m.safetensors", params())
    )
    assert len(losses(steps)) == 4
    messages = [step.message for step in steps]
    assert any("7 planes in memory (0 MB)" in message for message in messages)


def test_an_exported_data_set_says_which_planes_and_objects_are_correct(
    layers, tmp_path
):
    pairs = []
    for number, (image, labels) in enumerate(layers[:3]):
        tifffile.imwrite(tmp_path / f"i{number}.tif", image)
        tifffile.imwrite(tmp_path / f"l{number}.tif", labels)
        pairs.append({"image": f"i{number}.tif", "labels": f"l{number}.tif"})
    pairs[0] |= {"split": "val"}
    pairs[1] |= {"split": "train", "group": "dish 1", "correct_ids": [2, 5]}
    (tmp_path / "dataset.json").write_text(json.dumps({"pairs": pairs}))
    sources = folder_sources(tmp_path)
    assert [source.for_validation for source in sources] == [True, False, None]
    planes = read(*sources)
    assert planes[1].source == "dish 1"
    assert set(np.unique(planes[1].labels)) == {-1, 0, 1, 2}
    assert (planes[2].labels >= 0).all()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"pairs": [{}]}', '{"pairs": 3}', '{"pairs": []}']
)
def test_a_broken_index_says_so(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        folder_sources(tmp_path)


def test_an_index_that_names_missing_files_says_which(tmp_path):
    pairs = [{"image": "gone.tif", "labels": "l.tif"}]
    (tmp_path / "dataset.json").write_text(json.dumps({"pairs": pairs}))
    with pytest.raises(DatasetError, match=r"gone\.tif"):
        folder_sources(tmp_path)


def test_only_correct_objects_and_their_rim_count(layers):
    image, labels = layers[0]
    (plane,) = read(
        ArraySource(image, labels, checked=Checked(ids=frozenset({4}), rim_px=3))
    )
    ids = plane.labels
    assert (ids[labels == 4] == 1).all()
    assert (ids[(labels > 0) & (labels != 4)] == -1).all()
    rim = ids == 0
    assert rim.any()
    y, x = np.nonzero(labels == 4)
    inside = np.zeros_like(rim)
    inside[y.min() - 3 : y.max() + 4, x.min() - 3 : x.max() + 4] = True
    assert not rim[~inside].any()


def test_only_correct_planes_count(layers):
    images, labels = (np.stack(parts) for parts in zip(*layers, strict=True))
    checked = Checked(planes=frozenset({1, 3}))
    planes = read(ArraySource(images, labels, "s", "ZYX", checked))
    assert [plane.name for plane in planes] == ["s-0001", "s-0003"]
    assert all((plane.labels >= 0).all() for plane in planes)


def test_a_mask_of_what_was_looked_at_is_obeyed(layers):
    image, labels = layers[0]
    mask = np.zeros(labels.shape, bool)
    mask[:, :30] = True
    (plane,) = read(ArraySource(image, labels, checked=Checked(mask=mask)))
    assert ((plane.labels == -1) == ~mask).all()


def test_minus_one_in_the_labels_does_not_count(layers):
    image, labels = layers[0]
    known = labels.astype(np.int16)
    known[:20] = -1
    (plane,) = read(ArraySource(image, known))
    assert ((plane.labels == -1) == (known == -1)).all()
    assert dense_ids(np.array([[-1, 0, 9, 4]])).tolist() == [[-1, 0, 2, 1]]


def test_patches_weigh_nothing_where_nobody_looked(layers):
    image, labels = layers[0]
    known = labels.astype(np.int32)
    known[:, 32:] = -1
    pair = TrainingPair("a", image[None] / 200, dense_ids(known), 12.0)
    patches = PatchDataset([pair], TrainParams(patch_px=48), 12, 20)
    weights = np.stack([patches[i][2].numpy() for i in range(20)])
    assert (weights == 0).any()
    assert (weights >= 1).any()
    assert set(np.unique(weights > 0)) == {False, True}


def test_scores_leave_out_what_nobody_looked_at():
    truth = np.array([[1, 1, 1, 0, -1, -1, -1, 0, 2]], np.int32)
    found = np.array([[5, 5, 5, 5, 7, 7, 7, 7, 0]], np.int32)
    kept, known = without_ignored(found, truth)
    assert kept.tolist() == [[5, 5, 5, 5, 0, 0, 0, 0, 0]]
    assert known.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0, 2]]


def lazies(layers, kind, tmp_path):
    images, labels = (np.stack(parts) for parts in zip(*layers, strict=True))
    if kind == "dask":
        chunks = (1, 32, 32)
        return da.from_array(images, chunks=chunks), da.from_array(labels, chunks)
    if kind == "zarr":
        arrays = []
        for name, array in (("i", images), ("l", labels)):
            made = zarr.create_array(
                tmp_path / name,
                shape=array.shape,
                chunks=(1, 32, 32),
                dtype=array.dtype,
            )
            made[:] = array
            arrays.append(made)
        return tuple(arrays)
    for name, array in (("i", images), ("l", labels)):
        tifffile.imwrite(tmp_path / f"{name}.tif", array)
    return tuple(tifffile.memmap(tmp_path / f"{n}.tif", mode="r") for n in "il")


@pytest.mark.parametrize("kind", ["dask", "zarr", "tiff"])
def test_a_large_stack_gives_the_patches_that_memory_would_give(layers, tmp_path, kind):
    images, labels = lazies(layers, kind, tmp_path)
    lazy = read(ArraySource(images, labels, "s", "ZYX"), in_memory_bytes=1)
    held = read(ArraySource(np.asarray(images), np.asarray(labels), "s", "ZYX"))
    assert all(isinstance(plane, LazyPlane) for plane in lazy)
    assert all(isinstance(plane, TrainingPair) for plane in held)
    assert [p.diameter_px for p in lazy] == [p.diameter_px for p in held]
    settings = TrainParams(patch_px=40)
    for one, two in zip(
        (
            PatchDataset(planes, settings, 12, 9)[i]
            for planes in (lazy,)
            for i in range(9)
        ),
        (
            PatchDataset(planes, settings, 12, 9)[i]
            for planes in (held,)
            for i in range(9)
        ),
        strict=True,
    ):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)


class Watched:
    """An array that remembers how much was read of it at most."""

    def __init__(self, array):
        self.array, self.largest = array, 0
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, index):
        part = self.array[index]
        self.largest = max(self.largest, part.size)
        return part


def test_a_large_stack_is_read_in_pieces_and_trains(layers, tmp_path):
    image, labels = (np.tile(part, (12, 12)) for part in layers[0])
    tile = np.kron(np.arange(144).reshape(12, 12), np.ones((64, 64), int))
    labels = np.where(labels > 0, labels + 9 * tile, 0).astype(np.int32)
    watched = [Watched(np.stack([part] * 4)) for part in (image, labels)]
    planes = read(ArraySource(*watched, "big", "ZYX"), in_memory_bytes=1000)
    assert "4 planes read patch by patch" in memory_report(planes)
    watched[0].largest = watched[1].largest = 0
    patches = PatchDataset(planes, TrainParams(patch_px=32), 12, 30)
    for index in range(30):
        patches[index]
    assert 0 < max(w.largest for w in watched) < image.size / 10
    assert 0 <= validate_quickly(planes[:1], tmp_path) <= 1


def validate_quickly(planes, tmp_path):
    from napari_seg.training.trainer import iter_train_pairs

    job = iter_train_pairs(planes, planes, tmp_path / "m.safetensors", params(steps=2))
    return validate(run(job), planes).mean_ap


def test_far_too_fine_lazy_planes_are_shrunk_as_they_are_read(layers):
    image, labels = (np.kron(part, np.ones((4, 4), part.dtype)) for part in layers[0])
    (lazy,) = read(ArraySource(image, labels), in_memory_bytes=1)
    assert lazy.diameter_px == pytest.approx(48, rel=0.1)
    patches = PatchDataset([lazy], TrainParams(patch_px=64), 12, 10)
    for index in range(10):
        picture, classes, _ = patches[index]
        assert picture.shape == (1, 64, 64)
        assert set(classes.unique().tolist()) <= {0, 1, 2}


def test_wrong_pairs_are_named(layers):
    image, labels = layers[0]
    with pytest.raises(DatasetError, match=r"dish 3.*\(63, 64\)"):
        read(ArraySource(image, labels[1:], "dish 3"))
    with pytest.raises(DatasetError, match=r"dish 3.*float32"):
        read(ArraySource(image, image, "dish 3"))
    with pytest.raises(DatasetError, match=r"dish 3.*complex64"):
        read(ArraySource(image.astype(np.complex64), labels, "dish 3"))


def test_colour_is_turned_to_grey_for_a_network_of_one_channel(layers):
    image, labels = layers[0]
    colour = np.stack([image, image * 0.5, image * 0], -1)
    (grey,) = read(ArraySource(colour, labels, axes="YXC"), in_channels=1)
    (own,) = read(ArraySource(colour, labels, axes="YXC"))
    assert (grey.channels, own.channels) == (1, 3)


def test_too_little_is_said_clearly(layers, tmp_path):
    image, labels = layers[0]
    out = tmp_path / "m.safetensors"
    empty = ArraySource(image, labels * 0, "empty")
    with pytest.raises(DatasetError, match="no objects"):
        train(empty, out=out)
    nothing = ArraySource(image, labels, "a", checked=Checked(planes=frozenset()))
    with pytest.raises(DatasetError, match="nothing to learn"):
        train(nothing, out=out)
    judged = ArraySource(image, labels, "a", for_validation=True)
    with pytest.raises(DatasetError, match="for validation"):
        train([judged, empty], out=out)
    sides = [
        ArraySource(image, labels, name, group="stack", for_validation=side)
        for name, side in (("a", True), ("b", False))
    ]
    with pytest.raises(DatasetError, match=r"stack is in the training and"):
        train(sides, out=out)


def test_few_images_are_all_trained_on_and_the_note_says_so(layers):
    sources = [ArraySource(*layer, f"l{i}") for i, layer in enumerate(layers)]
    few, enough = read(*sources[:3]), read(*sources)
    split = split_planes(few)
    assert split.train == split.val == few
    assert "3 labelled images" in split.note
    split = split_planes(enough)
    assert (len(split.train), len(split.val), split.note) == (4, 1, "")


def test_images_marked_for_validation_are_the_judges(layers):
    sources = [
        ArraySource(*layer, f"l{i}", for_validation=i == 1 or None)
        for i, layer in enumerate(layers[:3])
    ]
    split = split_planes(read(*sources), marked_sides(sources))
    assert [plane.name for plane in split.val] == ["l1"]
    assert [plane.name for plane in split.train] == ["l0", "l2"]


def test_files_are_opened_when_their_turn_comes(dataset):
    gone = FileSource(dataset / "images" / "gone.tif", dataset / "labels" / "0.tif")
    job = iter_read([*folder_sources(dataset), gone], Reading())
    assert next(job).stage == "load"
    job.close()
