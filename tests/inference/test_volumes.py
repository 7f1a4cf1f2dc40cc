"""Networks in three dimensions, from a stack to labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_seg.errors import AxesError
from napari_seg.imaging.instances import InstanceParams
from napari_seg.inference import assembly, volume_job
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.reader import open_image
from napari_seg.inference.segment import iter_segment, segment
from napari_seg.inference.view import view_frame
from napari_seg.models.checkpoint import Checkpoint
from napari_seg.types import run

CENTRES = ((6, 20, 20), (10, 60, 24), (14, 24, 66), (8, 62, 70))
"""Middles of four balls."""


def balls(
    shape: tuple[int, int, int] = (22, 84, 90),
    centres: tuple[tuple[int, ...], ...] = CENTRES,
    diameter: float = 12.0,
    z_step: float = 1.0,
) -> NDArray[np.float32]:
    """Draw bright balls with soft edges; planes are `z_step` pixels apart."""
    z, y, x = np.indices(shape)
    image = np.zeros(shape, np.float32)
    for cz, cy, cx in centres:
        distance = np.sqrt((z_step * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
        np.maximum(image, np.clip(diameter / 2 + 0.55 - distance, 0, 1), out=image)
    return image


@pytest.fixture
def model(brightness: Checkpoint) -> Checkpoint:
    """Return a model of volumes that finds what is bright."""
    return replace(brightness, card=replace(brightness.card, ndim=3))


def same_partition(a: NDArray[np.int32], b: NDArray[np.int32]) -> bool:
    """Whether two labellings differ in names only."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()], 1), axis=0)
    return len(pairs) == len(np.unique(a)) == len(np.unique(b))


def test_balls_become_one_object_each(model: Checkpoint) -> None:
    image = balls()
    found = segment(image, model, diameter_px=12.0)
    assert found.labels.shape == image.shape
    assert sorted(np.unique(found.labels)) == [0, 1, 2, 3, 4]
    assert np.array_equal(found.labels > 0, image > 0.5)
    for centre in CENTRES:
        assert found.labels[centre] > 0
    assert found.ndim == 3
    assert model.network.sizes[-1][2] >= 22


def test_balls_above_one_another_stay_apart(model: Checkpoint) -> None:
    # Seen plane by plane and linked by overlap they would be one object.
    image = balls((30, 40, 40), ((7, 20, 20), (21, 21, 20)))
    found = segment(image, model, diameter_px=12.0)
    assert found.labels[7, 20, 20] != found.labels[21, 21, 20]


def test_blocks_give_what_the_whole_gives(
    model: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid([8, 24, 40], [16, 46, 76], [16, 46, 76]), -1)
    centres = grid.reshape(-1, 3) + rng.integers(-1, 2, (27, 3))
    image = balls((48, 92, 92), tuple(map(tuple, centres.tolist())))
    whole = segment(image, model, diameter_px=12.0)
    monkeypatch.setattr(assembly, "VOLUME_CORE", (12, 32, 32))
    monkeypatch.setattr(assembly, "VOLUME_HALO", 8)
    parts = segment(image, model, diameter_px=12.0, tile_px=48)
    assert whole.labels.max() == 27
    assert same_partition(whole.labels, parts.labels)
    assert len(parts.provenance["tile_px"]) == 3


def test_frames_are_segmented_one_by_one(model: Checkpoint) -> None:
    image = np.stack([balls(), np.zeros((22, 84, 90), np.float32), balls()])
    image[1, 10, 40:52, 40:52] = 1  # or its intensity range would be empty
    found = segment(image, model, axes="TZYX", diameter_px=12.0)
    first, second, third = (set(np.unique(frame)) - {0} for frame in found.labels)
    assert len(first) == len(third) == 4
    assert not first & third
    assert not first & second


def test_axes_may_come_in_any_order(model: Checkpoint) -> None:
    plain = segment(balls(), model, axes="ZYX", diameter_px=12.0).labels
    turned = segment(balls().transpose(2, 0, 1), model, axes="XZY", diameter_px=12.0)
    assert same_partition(turned.labels.transpose(1, 2, 0), plain)


def test_planes_are_brought_to_the_distance_of_the_training(
    model: Checkpoint,
) -> None:
    model = replace(model, card=replace(model.card, z_step_px=1.0))
    centres = ((3, 20, 20), (5, 60, 24), (7, 24, 66))
    image = balls((11, 84, 90), centres, z_step=2.0)
    found = segment(image, model, diameter_px=12.0, spacing=(2.0, 1.0, 1.0))
    assert model.network.sizes[-1][2] >= 22  # twice the planes
    assert found.labels.shape == image.shape
    assert found.labels.max() == 3
    agree = (found.labels > 0) == (image > 0.5)
    assert agree.mean() > 0.995
    assert found.kept().shape[1:] == image.shape
    alike = segment(image, model, diameter_px=12.0, spacing=(1.2, 1.0, 1.0))
    assert np.array_equal(alike.labels > 0, image > 0.5)  # near enough: not resampled


@pytest.mark.parametrize("keep", [True, False])
def test_focus_and_memory_change_nothing(model: Checkpoint, *, keep: bool) -> None:
    plain = segment(balls(), model, diameter_px=12.0).labels
    params = SegmentParams(
        diameter_px=12.0, keep_probabilities=keep, focus=(14.0, 24.0, 66.0), tile_px=48
    )
    steps = list(iter_segment(balls(), model, params))
    first = next(step.region for step in steps if step.region is not None)
    assert first.labels[14 - (first.index[0].start or 0)].any()
    found = run(iter_segment(balls(), model, params))
    assert same_partition(found.labels, plain)
    assert (found.network_probabilities is not None) == keep


def test_labels_are_made_again_without_the_network(model: Checkpoint) -> None:
    found = segment(balls(), model, diameter_px=12.0)
    params = InstanceParams(**found.provenance["instances"])
    again = run(derived(found, params))
    assert np.array_equal(again, found.labels)
    assert not run(derived(found, replace(params, min_size_px=1e6))).any()


def derived(found, params):
    """Derive labels, with links that volumes have no use for."""
    from napari_seg.inference.result import iter_derive

    return iter_derive(found, params, link_z=True)


def test_object_size_is_estimated_from_planes(model: Checkpoint) -> None:
    image = balls((22, 168, 180), tuple((z, 2 * y, 2 * x) for z, y, x in CENTRES), 24)
    found = segment(image, model)
    assert found.diameter_px == pytest.approx(24, rel=0.25)
    assert found.labels.max() == 4


def test_an_image_without_planes_is_refused(model: Checkpoint) -> None:
    with pytest.raises(AxesError, match="volumes"):
        segment(np.zeros((20, 20)), model)


def test_no_room_for_a_frame_is_said(
    model: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_job, "make_room", lambda shape: None)
    with pytest.raises(Exception, match="no room on disk"):
        segment(balls(), model, diameter_px=12.0, keep_probabilities=False)


def test_of_a_lazy_stack_only_windows_are_read(model: Checkpoint) -> None:
    sizes = []

    class Lazy:
        """Notes how many pixels are asked for at once."""

        shape, dtype, ndim = (22, 168, 180), np.dtype(np.float32), 3
        pixels = np.kron(balls(), np.ones((1, 2, 2), np.float32))

        def __getitem__(self, key):
            part = self.pixels[key]
            sizes.append(part.size)
            return part

    reader = open_image(Lazy(), "ZYX")
    reader.range_of(0)  # samples every plane once
    sizes.clear()
    view = view_frame(reader, 0, 1.0, 1.0)
    found = view.read((slice(2, 6), slice(10, 40), slice(0, 50)))
    assert found.shape == (1, 4, 30, 50)
    assert sizes == [30 * 50] * 4
