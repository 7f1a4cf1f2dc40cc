from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.refine.depth import signed_depth
from napari_seg.refine.hints import shifted, suggest
from napari_seg.refine.scene import CutParams, Scene, Weights
from napari_seg.refine.solver import solve_scene
from napari_seg.refine.strokes import Stroke

SPACING = (1.0, 1.0)


def disc_scene(strokes: list[Stroke]) -> Scene:
    y, x = np.indices((60, 60)) - 30
    return Scene(
        image=np.zeros((1, 60, 60), np.float32),
        states=np.zeros((60, 60), np.int8),
        strokes=strokes,
        previous=y**2 + x**2 < 14**2,
        network=None,
        spacing=SPACING,
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 6))
def test_the_moved_outline_passes_every_stroke_on_its_side(
    seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    # Strokes of either side, far enough apart for one outline to satisfy all.
    turns = (np.arange(count) + rng.uniform(0, 0.3)) * 2 * np.pi / count
    signs = rng.random(count) < 0.5
    radii = 14 + np.where(signs, 2, -2)
    points = np.stack([30 + radii * np.sin(turns), 30 + radii * np.cos(turns)], 1)
    points = np.round(points).astype(np.intp)
    strokes = [Stroke(p[None], bool(s)) for p, s in zip(points, signs, strict=True)]
    scene = disc_scene(strokes)
    moved = shifted(signed_depth(scene.previous, SPACING), scene, Weights())
    for stroke in strokes:
        assert (moved[tuple(stroke.points[0])] > 0) == stroke.positive


def test_the_first_correction_moves_the_whole_outline() -> None:
    strokes = [Stroke(np.array([[30, 45]]), True)]
    scene = disc_scene(strokes)
    depth = signed_depth(scene.previous, SPACING)
    moved = shifted(depth, scene, Weights()) - depth
    assert moved[30, 45] > 1.5
    assert moved[30, 15] > 0.5 * moved[30, 45]


def test_a_deep_error_is_not_taken_for_a_habit_of_all_outlines() -> None:
    strokes = [Stroke(np.array([[30, 52]]), True)]
    scene = disc_scene(strokes)
    depth = signed_depth(scene.previous, SPACING)
    moved = shifted(depth, scene, Weights()) - depth
    assert moved[30, 52] > 8
    assert moved[30, 8] < 0.25 * moved[30, 52]


def test_a_late_correction_leaves_what_is_far_from_it_alone() -> None:
    turns = np.arange(5) * 2 * np.pi / 5 + np.pi / 2
    inside = np.stack([30 + 8 * np.sin(turns), 30 + 8 * np.cos(turns)], 1).astype(int)
    strokes = [Stroke(p[None], True) for p in inside]

    def moved(count: int) -> np.ndarray:
        last = Stroke(np.array([[30, 46]]), True)
        scene = disc_scene([*strokes[:count], last])
        depth = signed_depth(scene.previous, SPACING)
        return shifted(depth, scene, Weights()) - depth

    early, late = moved(3), moved(5)
    assert early[30, 14] > 0.2
    assert late[30, 14] < 0.01
    assert late[30, 46] > 2


def test_near_a_mended_error_the_outline_is_less_sure_than_far_away() -> None:
    scene = disc_scene([Stroke(np.array([[30, 46]]), True)])
    softness = suggest(scene, Weights()).softness
    assert isinstance(softness, np.ndarray)
    assert softness[30, 46] > 2 * softness[30, 10]
    assert softness.min() > 0


def test_a_missing_part_is_not_many_times_what_the_click_is_away() -> None:
    y, x = np.indices((200, 200)) - 100
    ground = y**2 + x**2 < 90**2  # its outline is the clearest there is
    scene = replace(
        disc_scene([Stroke(np.array([[100, 128]]), True)]),
        image=ground[None].astype(np.float32),
        states=np.zeros((200, 200), np.int8),
        previous=y**2 + x**2 < 14**2,
    )
    free = replace(Weights(), part_reach=100.0)
    largest = np.pi * (2.5 * (28 - 14)) ** 2
    assert suggest(scene, free).mask.sum() > 3 * largest
    added = suggest(scene, Weights()).mask & ~scene.previous
    assert added[100, 128]
    assert 100 < added.sum() < largest


def test_a_long_stroke_brings_all_of_a_long_part() -> None:
    y, x = np.indices((100, 260)) - np.array([50, 130])[:, None, None]
    ellipse = (y / 15) ** 2 + (x / 100) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 0.3, ellipse.shape)
    line = np.stack([np.full(150, 50), np.arange(60, 210)], axis=1)
    scene = replace(
        disc_scene([Stroke(line, True)]),
        image=(4 * ellipse + noise)[None].astype(np.float32),
        states=np.zeros(ellipse.shape, np.int8),
        previous=y**2 + (x + 85) ** 2 < 8**2,
    )
    found = suggest(scene, Weights()).mask
    assert (found & ellipse).sum() > 0.8 * (found | ellipse).sum()


def test_an_object_lost_in_coarse_voxels_is_found_anew_by_a_click() -> None:
    z, y, x = np.indices((44, 44, 44)) - 22
    ball = z**2 + y**2 + x**2 < 14**2
    noise = np.random.default_rng(0).normal(0, 0.2, ball.shape)
    image = 3 * ball + noise
    previous = np.zeros(ball.shape, bool)
    previous[22, 22, 11] = True
    scene = Scene(
        image=(image / image.std())[None].astype(np.float32),
        states=np.zeros(ball.shape, np.int8),
        strokes=[Stroke(np.array([[22, 22, 22]]), True)],
        previous=previous,
        network=None,
        spacing=(1.0, 1.0, 1.0),
    )
    found = solve_scene(scene, CutParams())
    assert (found & ball).sum() > 0.8 * (found | ball).sum()


def test_what_was_sought_is_suggested_as_it_is() -> None:
    scene = disc_scene([Stroke(np.array([[30, 30]]), True)])
    sought = np.zeros_like(scene.previous)
    sought[20:40, 25:35] = True
    hint = suggest(replace(scene, sought=sought), Weights())
    assert np.array_equal(hint.mask, sought)


def test_an_outline_that_agrees_stays() -> None:
    strokes = [Stroke(np.array([[30, 30]]), True)]
    scene = disc_scene(strokes)
    depth = signed_depth(scene.previous, SPACING)
    assert np.array_equal(shifted(depth, scene, Weights()), depth)
