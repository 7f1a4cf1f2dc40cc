from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_seg.refine.graphcut import core_reader, graph_cut, network_reader
from napari_seg.refine.instance_hint import believed, find_instance, instance_at
from napari_seg.refine.lobes import lobe_at
from napari_seg.refine.scene import CutParams, Known
from napari_seg.refine.session import CorrectionSession
from napari_seg.refine.strokes import Stroke, disc
from napari_seg.refine.volume import Volume

SHAPE = (60, 80)
FLAT = np.zeros(SHAPE, np.float32)
LEFT, RIGHT = (30, 25), (30, 50)


def ball(centre: tuple[int, ...], radius: float, shape: tuple[int, ...] = SHAPE):
    steps = np.indices(shape) - np.reshape(centre, (-1, *(1,) * len(shape)))
    return (steps**2).sum(axis=0) < radius**2


def classes(objects: NDArray[np.bool_], core: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Background, interior and border, sure to 95 %."""
    object_ = np.where(objects, 0.95, 0.05)
    interior = object_ * np.where(core, 0.95, 0.05)
    return np.stack([1 - object_, interior, object_ - interior]).astype(np.float32)


def two_touching() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return probabilities of two touching discs, and the left one's half."""
    both = ball(LEFT, 13) | ball(RIGHT, 13)
    core = ball(LEFT, 10) | ball(RIGHT, 10)
    return classes(both, core), ball(LEFT, 13)


def known_by(probabilities: NDArray[np.float32], shape: tuple[int, ...]) -> Known:
    nothing = np.zeros(shape, bool)
    return Known(
        lambda box: nothing[box],
        lambda box: nothing[box],
        network_reader(probabilities, shape),
        core_reader(probabilities, shape),
    )


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def found(probabilities, image, centre, shape, radius=2.0, positive=True):
    limits = tuple(slice(0, n) for n in shape)
    strokes = [Stroke(disc(centre, radius), positive)]
    known = known_by(probabilities, shape)
    spacing = (1.0,) * len(shape)
    volume = Volume(image, len(shape))
    instance = find_instance(volume, strokes, known, spacing, CutParams(), limits)
    return None if instance is None else instance.read(limits)


def test_the_instance_is_the_object_clicked_and_not_the_one_it_touches() -> None:
    probabilities, left = two_touching()
    mask = found(probabilities, FLAT, LEFT, SHAPE)
    assert iou(mask, left) > 0.95
    assert not mask[RIGHT]


def test_an_object_larger_than_the_first_window_is_found_whole() -> None:
    shape = (300, 300)
    large = ball((150, 150), 90, shape)
    probabilities = classes(large, large)
    image = np.zeros(shape, np.float32)
    assert np.array_equal(found(probabilities, image, (150, 150), shape), large)


@pytest.mark.parametrize("form", ["plain", "two classes", "five classes"])
def test_probabilities_of_any_number_of_classes_give_the_foreground(form: str) -> None:
    disc_ = ball(LEFT, 13)
    object_ = np.where(disc_, 0.9, 0.05).astype(np.float32)
    parts = {"two classes": 1, "five classes": 4}.get(form, 0)
    stack = np.stack([1 - object_] + [object_ / max(parts, 1)] * parts)
    probabilities = stack if parts else object_
    assert np.array_equal(found(probabilities, FLAT, LEFT, SHAPE), disc_)


def test_in_a_volume_the_instance_is_a_volume() -> None:
    shape = (20, 40, 40)
    body = ball((10, 20, 20), 8, shape)
    image = np.zeros(shape, np.float32)
    probabilities = classes(body, body)
    mask = found(probabilities, image, (10, 20, 20), shape)
    assert np.array_equal(mask, body)


def test_a_faint_object_is_found_by_its_own_probability() -> None:
    disc_ = ball(LEFT, 13)
    object_ = np.where(disc_, 0.05 + 0.12, 0.01).astype(np.float32)
    network, core = np.log(object_ / (1 - object_)), object_
    mask = instance_at(network, core, np.ones(SHAPE, bool), disc(LEFT, 2))
    assert np.array_equal(mask, disc_)


def test_ground_of_other_objects_is_not_part_of_it() -> None:
    disc_ = ball(LEFT, 13)
    object_ = np.where(disc_, 0.95, 0.05).astype(np.float32)
    allowed = np.ones(SHAPE, bool)
    allowed[:, :20] = False
    mask = instance_at(np.log(object_ / (1 - object_)), object_, allowed, disc(LEFT, 2))
    assert np.array_equal(mask, disc_ & allowed)


def test_a_click_beside_the_object_asks_for_no_instance() -> None:
    probabilities, _ = two_touching()
    assert found(probabilities, FLAT, LEFT, SHAPE, positive=False) is None


def test_an_undecided_network_is_not_believed() -> None:
    object_ = np.where(ball(LEFT, 13), 0.55, 0.05).astype(np.float32)
    assert found(object_, FLAT, LEFT, SHAPE) is None


def test_a_click_where_the_network_sees_nothing_silences_it() -> None:
    probabilities, _ = two_touching()
    known = known_by(probabilities, SHAPE)
    box = tuple(slice(0, n) for n in SHAPE)
    far = [Stroke(disc((5, 5), 2), True)]
    assert believed(known, far).network(box) is None
    own = [Stroke(disc(LEFT, 2), True), *far]
    assert believed(known, own) is known
    assert believed(known, [Stroke(disc((5, 5), 2), False)]) is known


def test_with_a_network_that_sees_nothing_the_cut_is_that_without_one() -> None:
    rng = np.random.default_rng(0)
    image = ball(LEFT, 12) + 0.1 * rng.standard_normal(SHAPE).astype(np.float32)
    nothing = np.full((2, *SHAPE), 0.02, np.float32)
    nothing[0] = 0.98
    marks = disc(LEFT, 2)
    alone = graph_cut(image, marks)
    assert iou(alone, ball(LEFT, 12)) > 0.9
    assert np.array_equal(graph_cut(image, marks, probabilities=nothing), alone)


def test_one_click_on_a_flat_image_gives_the_instance() -> None:
    probabilities, left = two_touching()
    mask = graph_cut(FLAT, disc(LEFT, 2), probabilities=probabilities)
    assert iou(mask, left) > 0.95


def test_a_small_object_taken_for_part_of_a_large_one_is_parted_from_it() -> None:
    small, large = ball((30, 15), 6), ball((30, 40), 20)
    image = np.where(small, 1.0, np.where(large, 2.0, 0.0)).astype(np.float32)[None]
    part = lobe_at(small | large, disc((30, 14), 2), image, (1.0, 1.0))
    assert iou(part, small & ~large) > 0.85


def test_of_equal_objects_joined_by_a_neck_the_one_clicked_is_meant() -> None:
    a, b = ball((30, 20), 12), ball((30, 42), 12)
    image = np.zeros((1, *SHAPE), np.float32)
    part = lobe_at(a | b, disc((30, 20), 2), image, (1.0, 1.0))
    assert iou(part, a) > 0.85


def test_a_round_object_has_no_lobes() -> None:
    mask = ball(LEFT, 13)
    image = np.zeros((1, *SHAPE), np.float32)
    part = lobe_at(mask, disc(LEFT, 2), image, (1.0, 1.0))
    assert np.array_equal(part, mask)


def test_a_click_beside_takes_the_second_object_from_a_merged_label() -> None:
    a, b = ball((30, 20), 12), ball((30, 42), 12)
    probabilities = classes(a | b, a | b)
    labels = (a | b).astype(np.int32)
    session = CorrectionSession(FLAT, labels, probabilities)
    session.select(1)
    session.stroke(disc((30, 42), 2), positive=False)
    session.commit()
    assert iou(labels == 1, a) > 0.85


def test_a_click_on_adds_what_the_network_sees_there() -> None:
    probabilities, left = two_touching()
    labels = left.astype(np.int32)
    session = CorrectionSession(FLAT, labels, probabilities)
    session.select(1)
    session.stroke(disc(RIGHT, 2), positive=True)
    session.commit()
    assert iou(labels == 1, left | ball(RIGHT, 13)) > 0.93


def test_a_large_object_seen_in_blocks_keeps_the_outline_of_each_voxel() -> None:
    shape = (24, 120, 120)
    body = ball((12, 60, 40), 11, shape) | ball((12, 70, 50), 11, shape)
    beside = ball((12, 60, 90), 11, shape)
    probabilities = classes(body | beside, body | beside)
    image = np.zeros(shape, np.float32)
    mask = found(probabilities, image, (12, 65, 45), shape)
    assert np.array_equal(mask, body)
