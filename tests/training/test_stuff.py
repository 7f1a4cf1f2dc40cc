"""Classes beside the objects: from files through training to the result."""

import numpy as np
import pytest
import tifffile
import torch
from tiny import losses, params

from napari_seg.errors import DatasetError
from napari_seg.inference.segment import segment
from napari_seg.models.card import Card, read_card
from napari_seg.models.checkpoint import Checkpoint, load_model
from napari_seg.training.folders import pair_files
from napari_seg.training.objectives import DenseObjective
from napari_seg.training.pairs import Spots, dense_ids
from napari_seg.training.params import TrainParams
from napari_seg.training.sources import ArraySource, Reading, iter_read
from napari_seg.training.stuff import (
    StuffClass,
    put_stuff,
    stuff_numbers,
    without_stuff,
)
from napari_seg.training.trainer import iter_train
from napari_seg.types import run

MYELIN, GLIA = StuffClass("myelin", 1), StuffClass("glia", 7)


def test_stuff_fills_background_only():
    ids = np.array([[3, 0, 0, -1, 0]], np.int32)
    semantic = np.array([[1, 1, 7, 1, 2]])
    put_stuff(ids, semantic, [MYELIN, GLIA])
    assert ids.tolist() == [[3, -2, -3, -1, 0]]
    assert stuff_numbers(ids).tolist() == [[0, 1, 2, 0, 0]]
    assert without_stuff(ids).tolist() == [[3, 0, 0, -1, 0]]
    assert dense_ids(ids).tolist() == [[1, -2, -3, -1, 0]]
    assert Spots.of(ids).background.tolist() == [[0, 1], [0, 2], [0, 4]]


@pytest.mark.parametrize("text", ["myelin", "myelin=", "=1", "myelin=x", "myelin=-1"])
def test_a_class_is_a_name_and_a_value(text):
    assert StuffClass.parse(" myelin = 1 ") == MYELIN
    with pytest.raises(DatasetError, match="myelin=1"):
        StuffClass.parse(text)


@pytest.mark.parametrize(
    ("target", "first"), [("interior-border", 3), ("foreground", 2)]
)
def test_stuff_is_learnt_after_the_classes_of_objects(target, first):
    labels = np.zeros((9, 9), np.int32)
    labels[1:6, 1:6] = 1
    labels[7], labels[8], labels[0, 0] = -2, -3, -1
    learnt = TrainParams(target=target, stuff=(MYELIN, GLIA))
    classes, weights = DenseObjective(learnt).targets(labels)
    assert set(classes[7]) == {first}
    assert set(classes[8]) == {first + 1}
    assert classes[3, 3] == 1
    assert weights[0, 0] == 0
    assert (weights[7:] > 0).all()
    plain, _ = DenseObjective(TrainParams(target=target)).targets(labels)
    assert set(plain[7]) == {0}


def rings(folder, count=2, *, with_semantic=True):
    """Bright discs in dark rings on grey, as files."""
    y, x = np.indices((64, 64))
    for name in range(count):
        ids = np.zeros((64, 64), np.uint16)
        semantic = np.zeros((64, 64), np.uint8)
        for number, centre in enumerate([(16, 16), (16, 46), (46, 30)], start=1):
            distance = np.hypot(y - centre[0], x - centre[1] - name)
            semantic[distance < 10] = 1
            semantic[distance < 7] = 2
            ids[distance < 7] = number
        image = np.choose(semantic, [120, 20, 230]).astype(np.uint8)
        parts = {"images": image, "labels": ids}
        if with_semantic:
            parts["semantic"] = semantic
        for part, array in parts.items():
            (folder / part).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / part / f"{name}.tif", array)
    return folder


def test_files_of_semantic_are_found_and_needed_only_if_asked_for(tmp_path):
    sources = pair_files(rings(tmp_path / "with"))
    planes = run(iter_read(sources, Reading(stuff=(MYELIN,))))
    assert (planes[0].labels == -2).any()
    assert not (run(iter_read(sources, Reading()))[0].labels < 0).any()
    bare = pair_files(rings(tmp_path / "without", with_semantic=False))
    with pytest.raises(DatasetError, match="semantic/"):
        run(iter_read(bare, Reading(stuff=(MYELIN,))))


def test_classes_of_another_shape_are_named():
    source = ArraySource(
        np.zeros((8, 8)), np.ones((8, 8), int), semantic=np.zeros((4, 8), int)
    )
    with pytest.raises(DatasetError, match=r"\(4, 8\)"):
        run(iter_read([source], Reading(stuff=(MYELIN,))))


def test_a_detector_has_no_classes_beside_its_objects(tmp_path):
    made = params(architecture="maskrcnn", arguments=None, stuff=(MYELIN,))
    with pytest.raises(DatasetError, match="myelin"):
        run(iter_train(rings(tmp_path / "set"), tmp_path / "a.safetensors", made))


class Shades(torch.nn.Module):
    """Bright is interior, dark is myelin, grey is background."""

    divisor, margin = 4, 0

    def forward(self, x):
        value = x[:, :1]
        stacked = [0 * value, 20 * (value - 0.75), 0 * value - 9, 20 * (0.25 - value)]
        return {"out": torch.cat(stacked, dim=1)}


def test_objects_and_classes_come_out_of_one_run(tmp_path):
    folder = rings(tmp_path / "set", 1)
    image = tifffile.imread(folder / "images" / "0.tif")
    semantic = tifffile.imread(folder / "semantic" / "0.tif")
    ids = tifffile.imread(folder / "labels" / "0.tif")
    names = ("background", "interior", "border", "myelin")
    card = Card("shades", "none", {}, 1, names, ("myelin",), object_diameter_px=14.0)
    found = segment(image, Checkpoint(Shades(), card), diameter_px=14, device="cpu")
    assert found.classes == names[:3]
    assert found.class_names == ("background", "object", "myelin")
    np.testing.assert_array_equal(found.semantic, np.array([0, 2, 1])[semantic])
    np.testing.assert_array_equal(found.labels > 0, ids > 0)
    np.testing.assert_allclose(found.probabilities.sum(axis=0), 1, atol=1e-5)
    panoptic = found.panoptic()
    np.testing.assert_array_equal(panoptic.classes, found.semantic)
    assert set(np.unique(panoptic.ids)) == {0, 1, 2, 3}


def test_a_model_without_stuff_tells_objects_from_background(brightness):
    image = np.zeros((32, 32), np.float32)
    image[8:20, 8:20] = 1
    found = segment(image, brightness, diameter_px=12, device="cpu")
    assert found.class_names == ("background", "object")
    np.testing.assert_array_equal(found.semantic == 1, image > 0)


@pytest.fixture
def brightness():
    class Brightness(torch.nn.Module):
        divisor, margin = 4, 0

        def forward(self, x):
            interior = 20 * (x - 0.5)
            return {"out": torch.cat([0 * x, interior, 0 * x - 9], dim=1)}

    names = ("background", "interior", "border")
    return Checkpoint(Brightness(), Card("b", "none", {}, 1, names))


def test_training_with_stuff_is_saved_and_fine_tuned(tmp_path):
    folder = rings(tmp_path / "set")
    out = tmp_path / "rings.safetensors"
    found = losses(iter_train(folder, out, params(stuff=(MYELIN,))))
    assert np.isfinite(found).all()
    card = read_card(out)
    assert card.classes == ("background", "interior", "border", "myelin")
    assert (card.stuff, card.object_classes) == (("myelin",), card.classes[:3])
    tuned = tmp_path / "plain.safetensors"
    run(iter_train(folder, tuned, params(init=out, steps=2)))
    assert load_model(tuned).card.classes == card.object_classes
    image = tifffile.imread(folder / "images" / "0.tif")
    assert segment(image, out, device="cpu").class_names[-1] == "myelin"
