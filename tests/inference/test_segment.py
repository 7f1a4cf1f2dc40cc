"""The whole way from an image to labels."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_seg.errors import AxesError, ImageError
from napari_seg.imaging.instances import InstanceParams
from napari_seg.inference.segment import (
    Segmentation,
    SegmentParams,
    iter_derive,
    iter_segment,
    segment,
)
from napari_seg.models.checkpoint import Checkpoint
from napari_seg.types import Progress, run

Draw = Callable[..., NDArray[np.float32]]


def count(labels: NDArray[np.int32]) -> int:
    ids = np.unique(labels[labels > 0])
    assert ids.tolist() == list(range(1, len(ids) + 1)), "ids are not dense"
    return len(ids)


def drain(
    image: object, model: Checkpoint, params: SegmentParams
) -> tuple[list[Progress], Segmentation]:
    steps: list[Progress] = []
    generator = iter_segment(image, model, params)
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as stop:
            return steps, stop.value


def test_bright_spots_are_found_pixel_by_pixel(
    brightness: Checkpoint, spots: Draw
) -> None:
    image = spots()
    result = segment(image, brightness, diameter_px=12)
    assert result.labels.dtype == np.int32
    assert count(result.labels) == 5 * 6
    np.testing.assert_array_equal(result.labels > 0, image > 0.5)


@pytest.mark.parametrize("tile_px", [1, 37, 64, 100, 4096])
@pytest.mark.parametrize("batch", [0, 3])
def test_any_tile_size_gives_the_same_labels(
    brightness: Checkpoint, spots: Draw, tile_px: int, batch: int
) -> None:
    image = spots((230, 400))
    whole = segment(image, brightness, diameter_px=12, tile_px=4096)
    tiled = segment(image, brightness, diameter_px=12, tile_px=tile_px, batch=batch)
    np.testing.assert_array_equal(tiled.labels, whole.labels)


@pytest.mark.parametrize("factor", [5.0, 2.0, 1 / 3])
def test_objects_of_another_size_come_back_at_full_resolution(
    brightness: Checkpoint, spots: Draw, factor: float
) -> None:
    image = spots((240, 300), 12 * factor)
    result = segment(image, brightness, diameter_px=12 * factor)
    assert result.zoom == pytest.approx(1 / factor)
    assert result.labels.shape == image.shape
    truth = image > 0.5
    assert np.count_nonzero((result.labels > 0) != truth) < 0.2 * truth.sum()
    area = np.bincount(result.labels.ravel())[1:]
    assert np.median(area) == pytest.approx(math.pi * (6 * factor) ** 2, rel=0.2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (100, 1), (3, 2)])
@pytest.mark.parametrize("diameter", [1.0, 12.0, 400.0])
def test_tiny_images_come_through(
    brightness: Checkpoint, shape: tuple[int, int], diameter: float
) -> None:
    image = np.random.default_rng(0).random(shape)
    assert segment(image, brightness, diameter_px=diameter).labels.shape == shape


@pytest.mark.parametrize("value", [0, 5, np.nan])
def test_constant_images_hold_no_object(brightness: Checkpoint, value: float) -> None:
    result = segment(np.full((40, 40), value), brightness, diameter_px=12)
    assert not result.labels.any()


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("ZYX", (3, 60, 90)), ("TZYX", (2, 3, 60, 90)), ("YXZ", (60, 90, 3)),
     ("XYT", (90, 60, 2)), ("CYX", (2, 60, 90)), ("TCYX", (2, 2, 60, 90)),
     ("ZCYX", (2, 2, 60, 90))],
)  # fmt: skip
@pytest.mark.parametrize("keep", [True, False])
def test_labels_have_the_axes_of_the_image(
    brightness: Checkpoint, spots: Draw, axes: str, shape: tuple[int, ...], keep: bool
) -> None:
    plane = spots((60, 90))
    image = np.zeros(shape, np.float32)
    order = [axes.index(a) for a in axes if a not in "YX"]
    order += [axes.index("Y"), axes.index("X")]
    image.transpose(order)[...] = plane
    params = SegmentParams(axes=axes, diameter_px=12, keep_probabilities=keep)
    shown = np.zeros([n for a, n in zip(axes, shape, strict=True) if a != "C"], "i4")
    steps, result = drain(image, brightness, params)
    for step in steps:
        if step.region is not None:
            assert shown[step.region.index].shape == step.region.labels.shape
            shown[step.region.index] = step.region.labels
    assert result.axes == axes.replace("C", "")
    order = [result.axes.index(a) for a in result.axes if a not in "YX"]
    order += [result.axes.index("Y"), result.axes.index("X")]
    planes = result.labels.transpose(order).reshape(-1, 60, 90)
    for found in planes:
        np.testing.assert_array_equal(found > 0, plane > 0.5)
    np.testing.assert_array_equal(shown, result.labels)
    frames = dict(zip(axes, shape, strict=True)).get("T", 1)
    assert count(result.labels) == frames * 12
    if keep:
        assert result.probabilities.shape == (3, *result.labels.shape)
        np.testing.assert_array_equal(result.probabilities[0] < 0.5, result.labels > 0)


def test_planes_are_linked_only_on_request(brightness: Checkpoint, spots: Draw) -> None:
    image = np.stack([spots((60, 90))] * 4)
    linked = segment(image, brightness, diameter_px=12)
    assert count(linked.labels) == 12
    assert (linked.labels == linked.labels[0]).all()
    apart = segment(image, brightness, diameter_px=12, link_z=False)
    assert count(apart.labels) == 48


def test_frames_are_not_linked(brightness: Checkpoint, spots: Draw) -> None:
    image = np.stack([spots((60, 90))] * 4)
    assert count(segment(image, brightness, axes="TYX", diameter_px=12).labels) == 48


@pytest.mark.parametrize("diameter", [12.0, 30.0, 5.0])
def test_the_pieces_add_up_to_the_result(
    brightness: Checkpoint, spots: Draw, diameter: float
) -> None:
    image = np.stack([spots((500, 700), diameter)] * 2)
    params = SegmentParams(diameter_px=diameter, link_z=True, focus=(1, 450, 650))
    steps, result = drain(image, brightness, params)
    shown = np.zeros_like(result.labels)
    for step in steps:
        if step.region is not None:
            shown[step.region.index] = step.region.labels
    np.testing.assert_array_equal(shown, result.labels)


def test_progress_moves_forward_through_known_stages(
    brightness: Checkpoint, spots: Draw
) -> None:
    image = np.stack([spots((300, 300))] * 2)
    steps, _ = drain(image, brightness, SegmentParams(diameter_px=12))
    stages = list(dict.fromkeys(s.stage for s in steps))
    assert stages == ["load", "size", "predict", "instances", "link"]
    for stage in stages:
        own = [s for s in steps if s.stage == stage]
        assert all(a.done <= b.done for a, b in pairwise(own))
        assert len({s.total for s in own}) == 1
        assert own[-1].done == own[-1].total
    assert any("CPU" in s.message for s in steps)


def test_the_focus_is_computed_first(brightness: Checkpoint, spots: Draw) -> None:
    image = np.stack([spots((1000, 1000))] * 3)
    params = SegmentParams(diameter_px=12, focus=(2, 900, 80))
    for step in iter_segment(image, brightness, params):
        if step.region is not None:
            index = step.region.index
            break
    assert index[0] == 2
    assert index[1].start <= 900 < index[1].stop
    assert index[2].start <= 80 < index[2].stop
    done = next(
        s.done for s in iter_segment(image, brightness, params) if s.region is not None
    )
    assert done == 1


def test_closing_stops_within_one_tile(brightness: Checkpoint, spots: Draw) -> None:
    sizes = brightness.network.sizes
    generator = iter_segment(
        spots((600, 600)), brightness, SegmentParams(diameter_px=12, tile_px=64)
    )
    for step in generator:
        if step.stage == "predict" and step.done == 2:
            break
    kept = step
    before = len(sizes)
    generator.close()
    assert len(sizes) == before
    assert kept.total > 50


def test_yielded_pieces_stay_valid_after_cancelling(
    brightness: Checkpoint, spots: Draw
) -> None:
    image = spots((700, 700))
    generator = iter_segment(image, brightness, SegmentParams(diameter_px=12))
    region = next(s.region for s in generator if s.region is not None)
    copy = region.labels.copy()
    for _ in zip(range(20), generator, strict=False):
        pass
    generator.close()
    np.testing.assert_array_equal(region.labels, copy)
    assert copy.any()


def test_probabilities_can_be_decoded_again_without_the_network(
    brightness: Checkpoint, spots: Draw
) -> None:
    image = np.stack([spots((200, 300))] * 2)
    result = segment(image, brightness, diameter_px=12)
    calls = len(brightness.network.sizes)
    same = run(iter_derive(result, InstanceParams()))
    np.testing.assert_array_equal(same, result.labels)
    params = result.instance_params(
        threshold=0.5, seed_threshold=0.5, min_size_px=10_000
    )
    assert not run(iter_derive(result, params)).any()
    assert len(brightness.network.sizes) == calls


def test_the_smallest_size_is_meant_in_image_pixels(
    brightness: Checkpoint, spots: Draw
) -> None:
    image = spots((240, 300), 36)
    area = math.pi * 18**2
    for size, expected in ((0.7 * area, True), (1.4 * area, False)):
        result = segment(image, brightness, diameter_px=36, min_size_px=size)
        full = result.labels[20:220, 20:270]
        assert full.any() is np.bool_(expected)


def test_probabilities_may_be_dropped(brightness: Checkpoint, spots: Draw) -> None:
    result = segment(spots(), brightness, diameter_px=12, keep_probabilities=False)
    assert result.network_probabilities is None
    with pytest.raises(ImageError, match="not kept"):
        _ = result.probabilities


def test_many_probabilities_go_to_disk(
    brightness: Checkpoint, spots: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_seg.inference.room._SPILL_BYTES", 1000)
    spilled = segment(spots(), brightness, diameter_px=12)
    assert isinstance(spilled.network_probabilities, np.memmap)
    monkeypatch.undo()
    kept = segment(spots(), brightness, diameter_px=12)
    np.testing.assert_array_equal(spilled.probabilities, kept.probabilities)


def test_the_provenance_is_complete_and_can_be_written(
    brightness: Checkpoint, spots: Draw
) -> None:
    params = SegmentParams(diameter_px=24, spacing=(0.5, 0.5), device="cpu")
    _, result = drain(spots(), brightness, params)
    record = json.loads(json.dumps(result.provenance))
    assert record["model"] == "brightness"
    assert record["zoom"] == 0.5
    assert record["parameters"]["spacing"] == [0.5, 0.5]
    assert record["diameter_origin"] == "given"
    assert record["device"] == "cpu"
    assert record["software"].startswith("napari-seg ")
    assert {"sha256", "checkpoint", "seconds", "notes", "tile_px"} <= set(record)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"diameter_px": -3.0}, ImageError, "positive"),
        ({"diameter_px": math.nan}, ImageError, "positive"),
        ({"threshold": 1.5}, ImageError, "threshold"),
        ({"spacing": (0.0, 1.0)}, ImageError, "spacing"),
        ({"spacing": (1.0,)}, AxesError, "spacing"),
        ({"focus": (1.0, 2.0, 3.0)}, AxesError, "focus"),
        ({"tile_px": 0}, ImageError, "tile"),
        ({"axes": "ZYX"}, AxesError, "do not fit"),
    ],
)
def test_senseless_parameters_are_refused_before_any_work(
    brightness: Checkpoint, fields: dict[str, object], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        segment(np.zeros((20, 20)), brightness, **fields)
    assert brightness.network.sizes == []


def test_memory_does_not_grow_with_the_number_of_planes(
    brightness: Checkpoint, spots: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_seg.inference.reader._SAMPLES", 20_000)
    plane = spots((256, 256))
    peaks = []
    for depth in (2, 12):
        image = np.broadcast_to(plane, (depth, 256, 256))
        params = SegmentParams(diameter_px=12, keep_probabilities=False)
        tracemalloc.start()
        result = run(iter_segment(image, brightness, params))
        peaks.append(tracemalloc.get_traced_memory()[1] - result.labels.nbytes)
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + plane.nbytes


def test_segmenting_leaves_the_random_state_and_the_network_alone(
    brightness: Checkpoint, spots: Draw
) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    segment(spots(), brightness, diameter_px=12)
    assert torch.equal(torch.rand(1), expected)


def test_two_channels_reach_a_model_that_wants_two(
    brightness: Checkpoint, spots: Draw
) -> None:
    model = replace(brightness, card=replace(brightness.card, in_channels=2))
    image = np.stack([spots(), spots()])
    result = segment(image, model, axes="CYX", diameter_px=12)
    assert count(result.labels) == 30
    assert {s[1] for s in brightness.network.sizes} == {2}


def test_finds_that_are_dirt_to_the_model_are_dropped(
    brightness: Checkpoint, spots: Draw
) -> None:
    image = spots((96, 96), 24)
    image[2:5, 2:5] = image.max()
    size = brightness.card.object_diameter_px
    strict = replace(brightness, card=replace(brightness.card, smallest_px=30.0))
    lenient = segment(image, brightness, diameter_px=size)
    tidy = segment(image, strict, diameter_px=size)
    assert tidy.labels.max() == lenient.labels.max() - 1
    assert not tidy.labels[2:5, 2:5].any()
    params = tidy.instance_params(threshold=0.5, seed_threshold=0.5)
    assert (run(iter_derive(tidy, params)) == tidy.labels).all()


@pytest.mark.parametrize("tta", ["flips", "all"])
def test_several_views_of_each_tile_give_the_same_where_orientation_tells_nothing(
    brightness: Checkpoint, spots: Draw, tta: str
) -> None:
    image = spots()
    plain = segment(image, brightness, diameter_px=12, tile_px=64)
    found = segment(image, brightness, diameter_px=12, tile_px=64, tta=tta)
    np.testing.assert_array_equal(found.labels, plain.labels)
    np.testing.assert_allclose(found.probabilities, plain.probabilities, atol=1e-6)
    assert found.provenance["parameters"]["tta"] == tta


def test_the_size_is_estimated_from_one_view(
    brightness: Checkpoint, spots: Draw
) -> None:
    image = spots()
    params = SegmentParams(tile_px=64)
    steps, plain = drain(image, brightness, params)
    once = len(brightness.network.sizes)
    _, found = drain(image, brightness, replace(params, tta="all"))
    assert found.diameter_px == plain.diameter_px
    tiles = max(step.done for step in steps if step.stage == "predict")
    # Seven views more of each tile, and none of what the size is estimated from.
    assert len(brightness.network.sizes) - once == once + 7 * tiles


def test_several_models_are_one_average(brightness: Checkpoint, spots: Draw) -> None:
    other = replace(brightness, card=replace(brightness.card, name="twin"))
    found = segment(spots(), [brightness, other], diameter_px=12)
    assert found.provenance["model"] == "brightness + twin"
    assert count(found.labels) == 5 * 6


def test_an_unknown_augmentation_is_named(brightness: Checkpoint, spots: Draw) -> None:
    with pytest.raises(ImageError, match="'mirrors'"):
        segment(spots(), brightness, tta="mirrors")
