"""Learning from whole stacks."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from tiny import losses, params

from napari_seg.errors import DatasetError
from napari_seg.inference.segment import segment
from napari_seg.models.checkpoint import load_model
from napari_seg.training.augmentation import Augmentation
from napari_seg.training.checked import Checked
from napari_seg.training.describe import make_card
from napari_seg.training.folders import folder_sources
from napari_seg.training.objectives import DenseObjective
from napari_seg.training.pairs import dense_ids
from napari_seg.training.sampling import PatchDataset
from napari_seg.training.sources import ArraySource, Reading, iter_read
from napari_seg.training.targets import interior_border_map
from napari_seg.training.trainer import iter_train
from napari_seg.types import run


def stack(depth=9, side=48, seed=0):
    """Draw an image of balls that are as many planes high as rows, and their ids."""
    z, y, x = np.indices((depth, side, side))
    labels = np.zeros((depth, side, side), np.uint16)
    places = [(3, 12, 12), (5, 12, 36), (4, 36, 14), (5, 35, 35)]
    for index, (cz, cy, cx) in enumerate(places, start=1):
        inside = (2 * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < 49
        labels[inside] = 10 * index
    noise = np.random.default_rng(seed).normal(20, 10, labels.shape)
    return ((labels > 0) * 200.0 + noise).astype(np.float32), labels


def volumes(*sources, **options):
    return run(iter_read(sources, Reading(volumes=True, **options)))


def source(**fields):
    image, labels = stack()
    defaults = {"name": "stack", "axes": "ZYX", "spacing": (2.0, 1.0, 1.0)}
    return ArraySource(image, labels, **(defaults | fields))


def test_a_stack_is_one_volume_with_ids_that_go_through_its_planes():
    (volume,) = volumes(source())
    assert volume.shape == (9, 48, 48)
    assert volume.image.shape == (1, 9, 48, 48)
    assert sorted(np.unique(volume.labels)) == [0, 1, 2, 3, 4]
    assert volume.z_aspect == 2.0
    assert volume.spots.objects.shape[1] == 3
    assert all(volume.labels[tuple(place)] > 0 for place in volume.spots.objects)


def test_volumes_read_patch_by_patch_are_those_in_memory():
    (held,) = volumes(source())
    (lazy,) = volumes(source(), in_memory_bytes=0)
    window = (slice(2, 7), slice(5, 40), slice(0, 30))
    (image, ids), (again, others) = held.read(window), lazy.read(window)
    assert np.allclose(image, again)
    assert np.array_equal(dense_ids(ids), others)
    assert lazy.diameter_px == pytest.approx(held.diameter_px, rel=0.1)
    assert {tuple(p) for p in lazy.spots.objects} <= {
        tuple(p) for p in held.spots.objects
    }


def test_frames_are_volumes_of_one_group():
    image, labels = stack()
    both = np.stack([image, image]), np.stack([labels, labels])
    found = volumes(ArraySource(*both, "movie", "TZYX"))
    assert [volume.name for volume in found] == ["movie-0000", "movie-0001"]
    assert {volume.source for volume in found} == {"movie"}


def test_planes_nobody_looked_at_do_not_count():
    (volume,) = volumes(source(checked=Checked(planes=frozenset({3, 4, 5}))))
    assert (volume.labels[:3] == -1).all()
    assert (volume.labels[4] >= 0).all()
    assert set(volume.spots.objects[:, 0]) <= {3, 4, 5}


def test_a_single_plane_is_no_volume():
    image, labels = stack()
    with pytest.raises(DatasetError, match="no stack"):
        volumes(ArraySource(image[0], labels[0], "flat", "YX"))


@pytest.mark.parametrize("depth", [4, 6, 16])
def test_patches_of_volumes_are_neighbouring_planes(depth):
    (volume,) = volumes(source())
    # Brightness tells the plane, whatever the warp does within it.
    image = np.broadcast_to(np.arange(9.0)[:, None, None], (1, 9, 48, 48))
    plain = replace(volume, image=image.astype(np.float32))
    still = Augmentation(intensity=False, blur_px=0, noise=0, invert=0)
    told = params(ndim=3, patch_planes=depth, augmentation=still)
    patches = PatchDataset([plain], told, plain.diameter_px, 12)
    for index in range(12):
        image, classes, weights = patches[index]
        assert image.shape == (1, depth, 32, 32)
        assert classes.shape == weights.shape == (depth, 32, 32)
        planes = image[0, :, 16, 16].numpy()
        assert set(np.abs(np.diff(planes)).round(3)) == {1.0}
        assert np.allclose(planes.round(), planes, atol=1e-4)


def test_rims_lie_across_planes_only_where_these_are_near():
    labels = np.zeros((7, 9, 9), np.int32)
    labels[1:6, 1:8, 1:8] = 1
    near = interior_border_map(labels, border_px=1.0)
    far = interior_border_map(labels, border_px=1.0, spacing=(5.0, 1.0, 1.0))
    assert near[1, 4, 4] == 2
    assert near[3, 4, 4] == 1
    assert far[1, 4, 4] == 1
    assert (far[3] == near[3]).all()


def test_border_weights_of_volumes_know_the_distance_of_planes():
    labels = np.zeros((5, 8, 8), np.int32)
    labels[0], labels[4] = 1, 2
    told = params(w0=10.0, sigma_px=3.0)
    near = DenseObjective(told, z_step_px=1.0).targets(labels)[1]
    far = DenseObjective(told, z_step_px=4.0).targets(labels)[1]
    assert near[2, 4, 4] == pytest.approx(1 + 10 * np.exp(-16 / 18), rel=1e-4)
    assert far[2, 4, 4] == pytest.approx(1.0, abs=1e-3)


def test_a_network_of_volumes_is_trained_and_segments(tmp_path):
    image, labels = stack()
    out = tmp_path / "volumes.safetensors"
    told = params(
        ndim=3,
        arguments={**params().arguments, "flat_levels": 1},
        patch_planes=6,
        steps=30,
        validate_every=15,
        learning_rate=2e-2,
    )
    steps = []
    job = iter_train([source()], out, told)
    while True:
        try:
            steps.append(next(job))
        except StopIteration:
            break
    curve = losses(steps)
    assert np.mean(curve[-5:]) < 0.6 * np.mean(curve[:5])
    card = load_model(out).card
    assert card.ndim == 3
    assert card.z_step_px == pytest.approx(2.0)
    found = segment(image, out, spacing=(2.0, 1.0, 1.0), diameter_px=13.0)
    assert found.labels.shape == labels.shape
    truth, guess = labels > 0, found.labels > 0
    assert (truth & guess).sum() / (truth | guess).sum() > 0.6


@pytest.mark.parametrize(("step", "flat"), [(1.0, 0), (4.2, 2), (1000.0, 3)])
def test_usual_arguments_follow_the_distance_of_planes(tmp_path, step, flat):
    pairs = volumes(source(spacing=(step, 1.0, 1.0)))
    card = make_card(pairs, params(ndim=3, arguments=None), tmp_path / "a.safetensors")
    assert card.arguments["flat_levels"] == flat


def test_architectures_without_volumes_say_so(tmp_path):
    told = params(ndim=3, architecture="dpt", arguments=None)
    with pytest.raises(DatasetError, match="does not learn from volumes"):
        run(iter_train([source()], tmp_path / "a.safetensors", told))


def test_pairs_of_files_bring_their_voxel_size(tmp_path):
    image, labels = stack()
    for name, array in (("images", image), ("labels", labels)):
        (tmp_path / name).mkdir()
        tifffile.imwrite(
            tmp_path / name / "a.tif",
            array,
            imagej=True,
            resolution=(2.0, 2.0),
            metadata={"axes": "ZYX", "spacing": 1.5, "unit": "um"},
        )
    (volume,) = volumes(*folder_sources(tmp_path))
    assert volume.z_aspect == pytest.approx(3.0)
