"""Weights of edited labels: pieces must add up to what the whole would be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.imaging import live_weights, weight_memory, weight_tiles
from napari_seg.imaging.live_weights import LiveWeights
from napari_seg.imaging.weightmap import BorderWeights
from napari_seg.training.targets import LOSS_WEIGHTS


def blobs(shape, count, seed, radius=4):
    """Boxes of random sizes with ids 1 to `count`, some touching, some covered."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for index in range(1, count + 1):
        low = [int(rng.integers(0, n)) for n in shape]
        box = tuple(slice(a, a + int(rng.integers(1, radius + 2))) for a in low)
        labels[box] = index
    return labels


def drained(live, canvas):
    """Let the work be done, and write its pieces as a window would."""
    boxes = []
    for step in live.steps():
        if step.weights is not None and step.params == live.params:
            canvas[step.box] = step.weights
            boxes.append(step.box)
    assert live.is_idle
    return boxes


def whole(labels, spatial, params):
    """Weigh each frame by itself."""
    result = np.empty(labels.shape, np.float32)
    others = [a for a in range(labels.ndim) if a not in spatial]
    for index in np.ndindex(*[labels.shape[a] for a in others]):
        key = [slice(None)] * labels.ndim
        for axis, i in zip(others, index, strict=True):
            key[axis] = i
        result[tuple(key)] = params.weigh(labels[tuple(key)])
    return result


CASES = {
    "a plane": ((60, 70), (0, 1), None),
    "planes of a stack": ((3, 40, 50), (1, 2), None),
    "frames and channels between": ((2, 30, 2, 40), (1, 3), (1.0, 0.7)),
    "a volume with spacing": ((12, 26, 24), (0, 1, 2), (2.5, 1.0, 1.3)),
    "volumes in time": ((2, 9, 22, 20), (1, 2, 3), (2.0, 1.0, 1.0)),
}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(weight_tiles, "_SIDES_PX", {2: (20, 16), 3: (5, 9, 8)})


@pytest.mark.parametrize("case", ["a plane", "a volume with spacing"])
@pytest.mark.parametrize("seed", range(6))
def test_an_edit_under_a_smaller_sigma_is_not_forgotten_by_the_larger(case, seed):
    shape, spatial, spacing = CASES[case]
    rng = np.random.default_rng(seed)
    wide = BorderWeights(w0=1.0, sigma=3.0, spacing=spacing, balance_classes=False)
    labels = blobs(shape, 25, seed)
    live, canvas = LiveWeights(labels, spatial, wide), np.zeros(shape, np.float32)
    drained(live, canvas)
    for narrow in (replace(wide, sigma=0.5), replace(wide, sigma=2.9)):
        live.set_params(narrow)
        low = [int(rng.integers(n)) for n in shape]
        box = tuple(slice(a, a + 4) for a in low)
        labels[box] = int(rng.integers(30))
        live.mark(box)
        live.set_params(wide)
        drained(live, canvas)
        assert np.abs(canvas - whole(labels, spatial, wide)).max() < 1e-4


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_after_any_edits_the_pieces_equal_the_whole(case, data):
    shape, spatial, spacing = CASES[case]
    params = BorderWeights(
        w0=data.draw(st.floats(0.5, 30)),
        sigma=data.draw(st.floats(0.4, 3.0)),
        spacing=spacing,
        balance_classes=data.draw(st.booleans()),
        part_touching=data.draw(st.booleans()),
    )
    labels = blobs(shape, 25, data.draw(st.integers(0, 10**6)))
    live, canvas = LiveWeights(labels, spatial, params), np.zeros(shape, np.float32)
    drained(live, canvas)
    for _ in range(data.draw(st.integers(1, 4))):
        low = [data.draw(st.integers(0, n - 1)) for n in shape]
        box = tuple(slice(a, a + data.draw(st.integers(1, 9))) for a in low)
        labels[box] = data.draw(st.integers(0, 30))
        live.mark(box)
        if data.draw(st.booleans()):
            for step in live.mend(data.draw(st.sampled_from([300, 10**6]))):
                canvas[step.box] = step.weights
        if data.draw(st.booleans()):
            drained(live, canvas)
        if data.draw(st.booleans()):
            params = replace(params, sigma=data.draw(st.floats(0.4, 4.0)))
            live.set_params(params)
    drained(live, canvas)
    expected = whole(labels, spatial, params)
    off = np.abs(canvas - expected)
    # The border term is exact; the class weights may be a thousandth off.
    share = 1.2e-3 if params.balance_classes else 0.0
    assert (off <= share * expected + 1e-4 * params.w0).all()


def test_labels_a_pixel_beyond_the_reach_do_not_matter_and_those_within_do():
    params = BorderWeights(sigma=2.0, balance_classes=False)
    margin = int(np.ceil(params.reach))
    labels = np.zeros((5, 4 * margin), np.int32)
    labels[2, 0], labels[2, margin - 1] = 1, 2
    before = params.weigh(labels)
    labels[2, 3 * margin :] = 3
    assert np.array_equal(
        params.weigh(labels)[:, : 2 * margin], before[:, : 2 * margin]
    )
    labels[2, 4] = 3
    assert not np.array_equal(params.weigh(labels)[:, 5:margin], before[:, 5:margin])


def test_an_edit_computes_its_box_and_the_reach_and_no_more():
    labels = blobs((200, 200), 120, 0)
    params = replace(LOSS_WEIGHTS, sigma=2.0)
    live, canvas = LiveWeights(labels, (0, 1), params), np.zeros((200, 200), np.float32)
    drained(live, canvas)
    labels[100:110, 100:120] = 7
    live.mark((slice(100, 110), slice(100, 120)))
    (box,) = drained(live, canvas)
    reach = int(np.ceil(params.reach)) + 1
    assert box == (
        slice(100 - reach, 110 + reach),
        slice(100 - reach, 120 + reach),
    )


def test_dabs_of_one_stroke_are_computed_together():
    labels = blobs((200, 200), 120, 0)
    live = LiveWeights(labels, (0, 1), replace(LOSS_WEIGHTS, sigma=2.0))
    drained(live, np.zeros((200, 200), np.float32))
    for x in range(40, 60, 2):
        labels[50:56, x : x + 6] = 3
        live.mark((slice(50, 56), slice(x, x + 6)))
    assert len(drained(live, np.zeros((200, 200), np.float32))) == 1


def test_what_is_looked_at_comes_first():
    live = LiveWeights(np.zeros((5, 64, 64), np.int32), (1, 2), LOSS_WEIGHTS)
    live.look_at((slice(3, 4), slice(40, 60), slice(40, 60)))
    boxes = [step.box for step in live.steps()]
    starts = [box[0].start for box in boxes]
    tiles = len(live.tiles.of_frame((0,)))
    assert starts[:tiles] == [3] * tiles
    assert set(starts[tiles : 3 * tiles]) == {2, 4}
    middle = boxes[0]
    assert middle[1].start <= 50 < middle[1].stop
    assert middle[2].start <= 50 < middle[2].stop


def test_of_a_huge_stack_only_frames_around_the_one_seen_are_computed(monkeypatch):
    monkeypatch.setattr(live_weights, "EAGER_PIXELS", 1000)
    live = LiveWeights(np.zeros((9, 32, 32), np.int32), (1, 2), LOSS_WEIGHTS)
    view = (slice(0, 32), slice(0, 32))
    live.look_at((slice(4, 5), *view))
    assert {step.box[0].start for step in live.steps()} == {3, 4, 5}
    live.look_at((slice(8, 9), *view))
    assert not live.is_idle
    assert {step.box[0].start for step in live.steps()} == {7, 8}


def test_another_w0_or_sigma_needs_no_distances(monkeypatch):
    labels = blobs((60, 70), 25, 1)
    params = replace(LOSS_WEIGHTS, sigma=2.0)
    live, canvas = LiveWeights(labels, (0, 1), params), np.zeros((60, 70), np.float32)
    drained(live, canvas)
    asked = []
    monkeypatch.setattr(
        live._pieces, "find", lambda *args: asked.append(args) or pytest.fail("asked")
    )
    for change in ({"w0": 3.0}, {"sigma": 1.0}, {"sigma": 2.5}):
        params = replace(params, **change)
        live.set_params(params)
        drained(live, canvas)
        assert np.array_equal(canvas, params.weigh(labels))


def test_a_change_nobody_told_of_is_found_by_looking():
    labels = blobs((60, 70), 25, 1)
    params = replace(LOSS_WEIGHTS, sigma=2.0)
    live, canvas = LiveWeights(labels, (0, 1), params), np.zeros((60, 70), np.float32)
    drained(live, canvas)
    everywhere = (slice(0, 60), slice(0, 70))
    live.check(everywhere)
    assert drained(live, canvas) == []
    labels[30:40, 30:40] = 9
    live.check(everywhere)
    assert drained(live, canvas)
    assert np.array_equal(canvas, params.weigh(labels))


def test_an_edit_in_mid_work_is_not_lost():
    labels = blobs((60, 70), 25, 1)
    params = replace(LOSS_WEIGHTS, sigma=2.0)
    live, canvas = LiveWeights(labels, (0, 1), params), np.zeros((60, 70), np.float32)
    for number, step in enumerate(live.steps()):
        canvas[step.box] = step.weights
        if number == 3:
            labels[5:50, 10:14] = 40
            live.mark((slice(5, 50), slice(10, 14)))
    assert np.array_equal(canvas, params.weigh(labels))
    live.set_params(replace(params, w0=4.0))
    drained(live, canvas)
    assert np.array_equal(canvas, live.params.weigh(labels))


def test_a_frame_is_shown_anew_only_when_its_classes_have_drifted(monkeypatch):
    monkeypatch.setattr(weight_memory, "DRIFT", 0.02)
    labels = blobs((100, 100), 80, 2)
    params = BorderWeights(sigma=1.0, part_touching=True)
    live, canvas = LiveWeights(labels, (0, 1), params), np.zeros((100, 100), np.float32)
    drained(live, canvas)
    y, x = np.argwhere(labels == 0)[0]
    labels[y, x] = 99
    live.mark((slice(y, y + 1), slice(x, x + 1)))
    assert len(drained(live, canvas)) == 1
    labels[20:80, 20:80] = 99
    live.mark((slice(20, 80), slice(20, 80)))
    assert len(drained(live, canvas)) == 1 + len(live.tiles)
    np.testing.assert_allclose(canvas, params.weigh(labels), rtol=weight_memory.DRIFT)


def test_counts_are_right_when_balance_is_turned_on_after_edits():
    labels = blobs((100, 100), 80, 2)
    params = BorderWeights(sigma=1.0, balance_classes=False)
    live, canvas = LiveWeights(labels, (0, 1), params), np.zeros((100, 100), np.float32)
    drained(live, canvas)
    labels[20:80, 20:80] = 99
    live.mark((slice(20, 80), slice(20, 80)))
    drained(live, canvas)
    params = replace(params, balance_classes=True)
    live.set_params(params)
    drained(live, canvas)
    np.testing.assert_allclose(canvas, params.weigh(labels), rtol=1e-6)


def test_unknown_pixels_weigh_nothing_as_in_the_loss():
    labels = blobs((60, 70), 25, 1)
    labels[:, 40:] = -1
    live, canvas = LiveWeights(labels, (0, 1), LOSS_WEIGHTS), np.ones((60, 70), "f4")
    drained(live, canvas)
    assert (canvas[:, 40:] == 0).all()
    expected = LOSS_WEIGHTS.weigh(np.maximum(labels, 0))
    assert np.array_equal(canvas[:, :40], expected[:, :40])


def test_memory_for_borders_is_bounded():
    labels = blobs((100, 100), 80, 2)
    live = LiveWeights(labels, (0, 1), replace(LOSS_WEIGHTS, sigma=2.0))
    live._cache = weight_memory.BorderCache(max_bytes=3000)
    canvas = np.zeros((100, 100), np.float32)
    drained(live, canvas)
    assert live._cache._nbytes <= 3000
    assert np.array_equal(canvas, live.params.weigh(labels))


def test_other_distances_are_refused():
    live = LiveWeights(np.zeros((9, 9), np.int32), (0, 1), LOSS_WEIGHTS)
    with pytest.raises(ValueError, match="another LiveWeights"):
        live.set_params(replace(LOSS_WEIGHTS, spacing=(1.0, 2.0)))


@pytest.mark.parametrize("target", ["foreground", "interior-border"])
def test_overlay_and_loss_weigh_alike(target):
    from napari_seg.training.objectives import DenseObjective
    from napari_seg.training.params import TrainParams

    labels = blobs((64, 64), 40, 3)
    train = TrainParams(w0=7.0, sigma_px=3.0, target=target)
    _, in_loss = DenseObjective(train).targets(labels)
    params = replace(LOSS_WEIGHTS, w0=7.0, sigma=3.0)
    live, canvas = LiveWeights(labels, (0, 1), params), np.zeros((64, 64), np.float32)
    drained(live, canvas)
    assert np.array_equal(canvas, in_loss)
    assert canvas.max() > 5
