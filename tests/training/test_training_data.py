from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage

from napari_seg.errors import DatasetError
from napari_seg.training.augmentation import Augmentation, fold
from napari_seg.training.folders import folder_sources, read_pairs
from napari_seg.training.pairs import TrainingPair, dense_ids, median_diameter
from napari_seg.training.params import TrainParams
from napari_seg.training.sampling import PatchDataset, median_frequency_weights
from napari_seg.training.split import split_planes


def discs(shape=(60, 60), radius=6):
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for index, (cy, cx) in enumerate(((15, 15), (15, 29), (42, 40)), start=1):
        labels[((y - cy) ** 2 + (x - cx) ** 2 < radius**2) & (labels == 0)] = index
    return labels


def write(folder, stem, image, labels, into="labels"):
    for name, array in (("images", image), (into, labels)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / name / f"{stem}.tif", array, photometric="minisblack")


@pytest.fixture
def pair():
    labels = discs()
    image = (labels > 0)[None].astype(np.float32)
    return TrainingPair("discs", image, labels, median_diameter(labels))


@pytest.mark.parametrize("folder", ["labels", "masks"])
def test_pairs_are_read_by_stem_and_normalised(tmp_path, folder):
    labels = discs().astype(np.uint16) * 100
    write(tmp_path, "a", (labels > 0) * np.uint16(4000) + 7, labels, folder)
    (only,) = read_pairs(tmp_path)
    assert only.name == "a"
    assert only.image.shape == (1, 60, 60)
    assert (only.image.min(), only.image.max()) == (0, 1)
    assert set(np.unique(only.labels)) == {0, 1, 2, 3}
    assert only.diameter_px == pytest.approx(12, rel=0.1)


def test_planes_of_a_stack_stay_on_one_side_of_the_split(tmp_path):
    stack = np.stack([discs().astype(np.uint16)] * 4)
    for stem in "abcde":
        write(tmp_path, stem, stack, stack)
    pairs = read_pairs(tmp_path)
    assert len(pairs) == 20
    split = split_planes(pairs, seed=3)
    assert len(split.train) + len(split.val) == 20
    assert {p.source for p in split.train} & {p.source for p in split.val} == set()
    assert split_planes(pairs, seed=3).val == split.val


def test_train_and_val_folders_are_found(tmp_path):
    labels = discs().astype(np.uint8)
    write(tmp_path, "a", labels, labels)
    assert [s.for_validation for s in folder_sources(tmp_path)] == [None]
    for side, marked in (("train", [None]), ("val", [False, True])):
        write(tmp_path / side, "a", labels, labels)
        assert [s.for_validation for s in folder_sources(tmp_path)] == marked
    with pytest.raises(DatasetError, match="no data set folder"):
        folder_sources(tmp_path / "nowhere")


def test_incomplete_sets_name_what_is_wrong(tmp_path):
    with pytest.raises(DatasetError, match="images/"):
        read_pairs(tmp_path)
    labels = discs().astype(np.uint8)
    write(tmp_path, "a", labels, labels)
    tifffile.imwrite(tmp_path / "images" / "lonely.tif", labels)
    with pytest.raises(DatasetError, match="lonely"):
        read_pairs(tmp_path)
    (tmp_path / "images" / "lonely.tif").unlink()
    write(tmp_path, "b", labels, labels[:-1])
    with pytest.raises(DatasetError, match=r"b\.tif.*\(59, 60\)"):
        read_pairs(tmp_path)


def test_ids_are_packed_in_order():
    assert dense_ids(np.array([[0, 7, 7, 900]])).tolist() == [[0, 1, 1, 2]]
    assert dense_ids(np.array([[5, 5]])).tolist() == [[1, 1]]


def test_a_patch_depends_on_seed_and_index_alone(pair):
    params = TrainParams(patch_px=32)
    one, two = (PatchDataset([pair], params, 12, 10) for _ in range(2))
    one[3], one[7]
    for a, b in zip(one[5], two[5], strict=True):
        assert a.equal(b)
    other = PatchDataset([pair], TrainParams(patch_px=32, seed=1), 12, 10)
    assert not one[5][0].equal(other[5][0])


def test_patches_bring_objects_to_the_wanted_diameter(pair):
    still = Augmentation(scale=(1, 1), elastic_px=0)
    for wanted in (6.0, 24.0):
        params = TrainParams(patch_px=64, augmentation=still)
        patches = PatchDataset([pair], params, wanted, 40)
        foreground = np.mean([(patches[i][1] > 0).float().mean() for i in range(40)])
        share = (pair.labels > 0).mean()
        if wanted == 6:
            # mirrored surroundings keep the density of the image
            assert foreground == pytest.approx(share, rel=0.5)
        else:
            areas = [int((patches[i][1] > 0).sum()) for i in range(40)]
            assert max(areas) > 24**2 * np.pi / 4


def test_targets_follow_the_chosen_classes(pair):
    for target, classes in (("interior-border", {0, 1, 2}), ("foreground", {0, 1})):
        params = TrainParams(patch_px=48, target=target)
        patches = PatchDataset([pair], params, 12, 8)
        seen = {int(v) for i in range(8) for v in patches[i][1].unique()}
        assert seen == classes
        assert all(float(patches[i][2].min()) >= 1 for i in range(8))


def test_rare_classes_weigh_more_by_median_frequency(pair):
    classes = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2]])
    weights = torch.tensor([[1.0] * 10 + [0.0]])
    patch = (torch.zeros(1, 1, 11), classes, weights)
    # 6, 3 and 1 pixels count; their median is 3
    assert median_frequency_weights([patch]).tolist() == [0.5, 1.0, 3.0]
    patches = [
        PatchDataset([pair], TrainParams(patch_px=32, balance_classes=on), 12, 4)
        for on in (False, True)
    ]
    plain, balanced = (p[0][2] for p in patches)
    factor = torch.from_numpy(patches[1].class_weights)[patches[1][0][1]]
    torch.testing.assert_close(balanced, plain * factor)


def test_hard_images_are_drawn_twice_as_often(pair):
    pairs = [replace(pair, name=name) for name in "abc"]
    params = TrainParams(patch_px=16, hard_images=("b",))
    assert PatchDataset(pairs, params, 12, 4).chances.tolist() == [0.25, 0.5, 0.25]


def test_larger_images_are_drawn_more_often_by_the_root_of_their_area(pair):
    large = replace(
        pair, image=np.tile(pair.image, (1, 3, 3)), labels=np.tile(pair.labels, (3, 3))
    )
    chances = PatchDataset([pair, large], TrainParams(), 12, 4).chances
    assert chances.tolist() == pytest.approx([0.25, 0.75])


def test_positions_outside_are_mirrored_as_scipy_does():
    image = np.random.default_rng(0).random((5, 7), np.float32)
    grid = np.random.default_rng(1).uniform(-30, 30, (2, 9, 9)).astype(np.float32)
    expected = ndimage.map_coordinates(image, grid, order=1, mode="mirror")
    folded = fold(grid, (5, 7))
    assert folded.min() >= 0
    assert (folded.max(axis=(1, 2)) <= (4, 6)).all()
    found = ndimage.map_coordinates(image, folded, order=1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_set_without_objects_is_refused():
    empty = TrainingPair(
        "empty", np.zeros((1, 9, 9), np.float32), np.zeros((9, 9), np.int32), 0.0
    )
    with pytest.raises(DatasetError, match="no objects"):
        PatchDataset([empty], TrainParams(), 20, 1)
