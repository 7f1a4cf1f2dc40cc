"""The robot user of the benchmarks: figures are only as good as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.draw import disk

from benchmarks import clicks
from benchmarks.click_errors import KINDS, kind_of_error, overlaps
from benchmarks.click_fix import mend, spurious
from benchmarks.click_pieces import Segmented, View, around, cut_piece, sample
from benchmarks.click_tools import TOOLS
from benchmarks.robot import MOST_CLICKS, Click, Rule, Trial, iou, next_click, play

Mask = NDArray[np.bool_]
FLAT = (1.0, 1.0)


def disc_at(shape: tuple[int, int], centre: tuple[int, int], radius: float) -> Mask:
    mask = np.zeros(shape, bool)
    mask[disk(centre, radius, shape=shape)] = True
    return mask


def nothing(mask: Mask) -> Mask:
    return np.zeros_like(mask)


def test_the_first_click_is_at_the_centre_of_a_disc() -> None:
    truth = disc_at((40, 60), (17, 33), 9)
    click = next_click(nothing(truth), truth, nothing(truth), FLAT)
    assert click is not None
    assert click.positive
    assert click.centre.tolist() == [17, 33]
    assert len(click.points) == 13  # a disc of 2 px


def test_the_largest_error_comes_first_whichever_side_it_is_on() -> None:
    truth = disc_at((60, 60), (15, 15), 6)
    mask = disc_at((60, 60), (42, 42), 9)
    click = next_click(mask, truth, nothing(truth), FLAT)
    assert click is not None
    assert (click.positive, click.centre.tolist()) == (False, [42, 42])
    click = next_click(mask & nothing(truth), truth, nothing(truth), FLAT)
    assert click is not None
    assert (click.positive, click.centre.tolist()) == (True, [15, 15])


def test_a_large_region_counts_more_than_a_deep_one() -> None:
    truth = np.zeros((40, 80), bool)
    truth[5:8, :] = True  # 240 pixels, 2 deep
    truth[20:32, 30:42] = True  # 144 pixels, 6 deep
    click = next_click(nothing(truth), truth, nothing(truth), FLAT)
    assert click is not None
    assert click.centre[0] == 6


def test_depth_is_measured_in_units_of_the_voxel_size() -> None:
    truth = np.zeros((7, 21, 21), bool)
    truth[1:6, 5:16, 5:16] = True
    spacing = (5.0, 1.0, 1.0)
    click = next_click(nothing(truth), truth, nothing(truth), spacing)
    assert click is not None
    assert click.depth == pytest.approx(6)
    assert click.centre.tolist()[1:] == [10, 10]
    # A click is made in one plane.
    assert set(click.points[:, 0]) == {click.centre[0]}


def test_no_pixel_is_clicked_twice_and_a_tool_that_does_nothing_takes_20() -> None:
    truth = disc_at((30, 30), (14, 14), 5)
    seen: list[tuple[int, ...]] = []

    def useless(click: Click) -> Mask:
        seen.append(tuple(click.centre.tolist()))
        return nothing(truth)

    trial = play(useless, truth, nothing(truth), FLAT)
    assert len(seen) == len(set(seen)) == MOST_CLICKS
    assert trial.clicks(0.85) == trial.clicks(0.9) == MOST_CLICKS
    assert trial.failed(0.9)


def test_a_perfect_tool_takes_one_click_and_a_right_object_none() -> None:
    truth = disc_at((30, 30), (14, 14), 5)
    trial = play(lambda _: truth, truth, nothing(truth), FLAT)
    assert trial.clicks(0.9) == 1
    assert trial.scores == (0.0, 1.0)
    assert not trial.failed(0.9)
    assert play(lambda _: truth, truth, truth, FLAT).clicks(0.9) == 0


def test_the_robot_gives_up_where_nothing_is_left_to_click() -> None:
    truth = np.zeros((5, 5), bool)
    truth[2, 2] = True
    trial = play(lambda _: nothing(truth), truth, nothing(truth), FLAT)
    assert len(trial.seconds) == 1
    assert trial.clicks(0.9) == MOST_CLICKS


def test_clicks_are_counted_to_the_first_mask_that_is_good_enough() -> None:
    trial = Trial((0.0, 0.5, 0.86, 0.84, 0.91), (0.1,) * 4, np.ones((1, 1), bool))
    assert (trial.clicks(0.85), trial.clicks(0.9)) == (2, 4)
    assert trial.clicks(0.95) == MOST_CLICKS
    assert trial.failed(0.95)


def test_figures_are_means_over_objects_with_failures_as_20() -> None:
    mask = np.ones((1, 1), bool)
    good = Trial((0.0, 0.87, 0.95), (0.002, 0.004), mask)
    bad = Trial((0.0, *[0.3] * 20), (0.006,) * 20, mask)
    row = clicks.summary([good, bad])
    assert row["objects"] == 2
    assert row["noc85"] == pytest.approx((1 + 20) / 2)
    assert row["noc90"] == pytest.approx((2 + 20) / 2)
    assert row["fail90"] == 1
    assert row["first_iou"] == pytest.approx((0.87 + 0.3) / 2)
    assert row["ms"] == pytest.approx((2 + 4 + 20 * 6) / 22)


def test_iou_is_common_over_all() -> None:
    a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    a[0], b[:, :2] = True, True
    assert iou(a, b) == pytest.approx(2 / 6)


masks = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).random((2, 9, 9)) > [[[0.4]], [[0.6]]]
)


@given(masks, st.sampled_from([(1.0, 1.0), (2.5, 1.0)]))
@settings(deadline=None)
def test_a_fitted_disc_never_leaves_the_clicked_error(
    pair: NDArray[np.bool_], spacing: tuple[float, float]
) -> None:
    truth, mask = pair
    click = next_click(mask, truth, nothing(mask), spacing, Rule.FITTED)
    wrong = truth != mask
    if click is None:
        assert not wrong.any()
        return
    index = tuple(click.points.T)
    assert wrong[index].all()
    assert (truth[index] == click.positive).all()
    assert click.centre.tolist() in click.points.tolist()


@given(masks)
@settings(deadline=None)
def test_a_fitted_disc_depends_on_nothing_but_centre_and_depth(
    pair: NDArray[np.bool_],
) -> None:
    truth, mask = pair
    click = next_click(mask, truth, nothing(mask), FLAT, Rule.FITTED)
    if click is None:
        return
    offsets = np.linalg.norm(click.points - click.centre, axis=1)
    reach = offsets.max()
    assert reach <= 2
    grid = np.indices(truth.shape).reshape(2, -1).T
    near = np.linalg.norm(grid - click.centre, axis=1) <= reach
    assert near.sum() == len(click.points)


def test_only_the_rule_that_says_so_follows_the_outline() -> None:
    truth = np.zeros((20, 20), bool)
    truth[8:11, 2:18] = True  # three pixels thin
    count = {}
    for rule in Rule:
        click = next_click(nothing(truth), truth, nothing(truth), FLAT, rule)
        assert click is not None
        count[rule] = len(click.points), bool(truth[tuple(click.points.T)].all())
    assert count[Rule.PLAIN] == (13, False)
    assert count[Rule.CLIPPED] == (10, True)  # the end of the bar is near
    assert count[Rule.FITTED] == (9, True)
    assert count[Rule.POINT] == (1, True)


def spots(shape: tuple[int, ...], centres: list[tuple[int, ...]]) -> NDArray[np.int32]:
    grid = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for number, centre in enumerate(centres, 1):
        steps = grid - np.reshape(centre, (-1, *(1,) * len(shape)))
        labels[(steps**2).sum(axis=0) <= 49] = number
    return labels


def picture(labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 4, labels.shape)
    return np.clip(40 + 120 * (labels > 0) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_makes_an_easy_object(name: str) -> None:
    labels = spots((80, 100), [(30, 40), (60, 80)])
    truth = labels == 1
    empty = np.zeros_like(labels)
    piece = cut_piece("easy", picture(labels), truth, empty, FLAT)
    tool = TOOLS[name](piece.view)
    trial = play(tool, piece.truth, piece.view.start(), FLAT)
    assert not trial.failed(0.9)
    assert len(trial.seconds) == trial.clicks(0.9)


@pytest.mark.parametrize("name", [n for n in TOOLS if n not in ("GrabCut",)])
def test_tools_work_in_volumes_with_the_voxel_size(name: str) -> None:
    labels = spots((17, 30, 30), [(8, 15, 15)])
    truth = labels == 1
    piece = cut_piece(
        "ball", picture(labels), truth, np.zeros_like(labels), (1.5, 1.0, 1.0)
    )
    assert piece.view.spacing == (1.5, 1.0, 1.0)
    tool = TOOLS[name](piece.view)
    trial = play(tool, piece.truth, piece.view.start(), piece.view.spacing)
    assert max(trial.scores) > 0.5


def test_a_piece_is_twice_the_objects_box_and_a_border() -> None:
    mask = np.zeros((300, 300), bool)
    mask[100:120, 200:230] = True
    box = around(mask)
    assert box == (slice(50, 170), slice(145, 285))
    piece = cut_piece("x", mask.astype(float), mask, np.zeros(mask.shape, int), FLAT)
    assert piece.view.cut_faces == ((True, True), (True, True))
    mask[:30, :] = True
    piece = cut_piece("y", mask.astype(float), mask, np.zeros(mask.shape, int), FLAT)
    assert piece.view.cut_faces == ((False, True), (False, False))


def test_a_tool_is_not_given_the_truth() -> None:
    assert "truth" not in View.__dataclass_fields__


def wrongly_segmented() -> Segmented:
    """One right object, one outline, two merged, one in halves, one missed."""
    centres = [(15, 15), (15, 45), (50, 15), (50, 30), (50, 65), (15, 80)]
    truth = spots((70, 100), centres)
    found = truth.copy()
    found[truth == 2] = 0
    found[9:20, 41:50] = 2
    found[truth == 4] = 3
    found[:, 65:][truth[:, 65:] == 5] = 7
    found[truth == 6] = 0
    found[60:64, 90:95] = 8
    object_ = np.where(truth > 0, 0.97, 0.03).astype(np.float32)
    probabilities = np.stack([1 - object_, object_])
    return Segmented("made", picture(truth), truth, found, probabilities, FLAT)


def test_errors_of_a_network_are_told_apart() -> None:
    data = wrongly_segmented()
    over = overlaps(data.labels, data.truth)
    kinds = [kind_of_error(over, i) for i in range(1, 7)]
    assert kinds == [None, "outline", "merged", "merged", "split", "missed"]
    assert spurious(data) == 1


@pytest.mark.parametrize("name", ["graph cut", "disc brush"])
def test_a_networks_errors_are_mended_one_by_one(name: str) -> None:
    data = wrongly_segmented()
    before = data.labels.copy()
    found = mend(data, TOOLS[name])
    assert sorted(m.kind for m in found) == [
        "merged",
        "merged",
        "missed",
        "outline",
        "split",
    ]
    least = 0.9 if name == "graph cut" else 0.8
    assert all(max(m.trial.scores) >= least for m in found if m.kind != "split")
    np.testing.assert_array_equal(data.labels, before)


def test_split_and_join_are_used_before_strokes_and_counted() -> None:
    data = wrongly_segmented()
    before = data.labels.copy()
    found = mend(data, TOOLS["graph cut"], with_edits=True)
    taken = {kind: [m.trial for m in found if m.kind == kind] for kind in KINDS}
    assert all(t.clicks(0.9) == 1 for t in (*taken["merged"], *taken["split"]))
    assert {len(t) for t in taken.values()} == {1, 2}
    assert all(t.scores[0] < 0.9 for t in taken["merged"])
    np.testing.assert_array_equal(data.labels, before)


def test_clicks_of_other_tools_come_before_the_strokes() -> None:
    mask = np.ones((1, 1), bool)
    trial = Trial((0.6, 0.95), (0.5,), mask).after(2, 0.2, 0.3)
    assert trial.scores == (0.3, 0.3, 0.6, 0.95)
    assert trial.clicks(0.9) == 3
    assert trial.seconds == (0.1, 0.1, 0.5)
    late = Trial((0.0, *[0.5] * 19, 0.95), (0.1,) * 20, mask).after(1, 0.1, 0.0)
    assert late.clicks(0.9) == MOST_CLICKS
    assert late.failed(0.9)


def write_set(folder: Path) -> None:
    labels = spots((60, 90), [(20, 20), (35, 60)])
    for kind, array in (("images", picture(labels)), ("masks", labels)):
        (folder / "val" / kind).mkdir(parents=True)
        tifffile.imwrite(folder / "val" / kind / "a.tif", array.astype(np.uint16))


def test_sampling_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    write_set(tmp_path)
    first = sample(tmp_path / "val", 2, 0)
    again = sample(tmp_path / "val", 2, 0)
    assert [p.name for p in first] == [p.name for p in again] == ["a.tif:1", "a.tif:2"]
    np.testing.assert_array_equal(first[1].truth, again[1].truth)
    seen: list[tuple[int, ...]] = []

    def network(image: NDArray[np.uint16]) -> NDArray[np.float32]:
        seen.append(image.shape)
        return np.zeros((2, *image.shape), np.float32)

    pieces = sample(tmp_path / "val", 2, 0, network=network)
    assert seen == [(60, 90)]  # one image, run once
    assert pieces[0].view.probabilities is not None
    assert pieces[0].view.probabilities.shape == (2, *pieces[0].truth.shape)


def test_the_program_prints_a_table_and_a_line_of_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path / "made")
    wanted = ["--tools", "graph cut", "watershed", "--objects", "2"]
    clicks.main([str(tmp_path), "--sets", "made", *wanted])
    lines = capsys.readouterr().out.splitlines()
    printed = json.loads(lines[-1])
    assert printed["benchmark"] == "clicks"
    assert printed["rule"] == "fitted"
    assert [row["tool"] for row in printed["table"]] == ["graph cut", "watershed"]
    assert all(row["objects"] == 2 for row in printed["table"])
    assert printed["ratio_to_best_peer"]["made"] > 0
    assert lines[0].split()[:2] == ["set", "tool"]


def test_mending_needs_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        clicks.parsed(["data", "--fix"])
    assert "--network" in capsys.readouterr().err
