"""Ids over time: films with known answers, and what must hold for every film."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from napari_seg.errors import AxesError, LabelsError
from napari_seg.imaging.link_costs import Pairs
from napari_seg.inference.assignment import _LONE, assign
from napari_seg.inference.segment import segment
from napari_seg.inference.tracking import (
    TrackParams,
    iter_track,
    lazily_renamed,
    track,
)
from napari_seg.types import run as drain

Disc = tuple[int, int, int, int]
"""Row, column, radius, id."""


def film(*frames: list[Disc], shape: tuple[int, int] = (50, 70)) -> np.ndarray:
    labels = np.zeros((len(frames), *shape), np.int32)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for frame, discs in zip(labels, frames, strict=True):
        for row, column, radius, label in discs:
            frame[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = label
    return labels


def at(labels: np.ndarray, *spots: tuple[int, int, int]) -> list[int]:
    return [int(labels[spot]) for spot in spots]


def test_object_that_moves_keeps_its_id_whatever_it_was_called() -> None:
    labels = film(*([(20, 10 + 6 * t, 5, 40 - 7 * t)] for t in range(5)))
    found, tracks = track(labels)
    assert at(found, *((t, 20, 10 + 6 * t) for t in range(5))) == [1] * 5
    assert (tracks.count, tracks.parents) == (1, {})
    assert tracks.points().tolist() == [[1, t, 20, 10 + 6 * t] for t in range(5)]


def test_objects_that_pass_each_other_are_not_exchanged() -> None:
    # each moves by 4 of 11 pixels a frame, so that its own mask is always nearest
    frames = [[(18, 10 + 4 * t, 5, 1), (32, 46 - 4 * t, 5, 2)] for t in range(10)]
    shuffled = [[(r, c, s, 3 - i if t % 2 else i) for r, c, s, i in discs]
                for t, discs in enumerate(frames)]  # fmt: skip
    found, _ = track(film(*shuffled))
    np.testing.assert_array_equal(found, film(*frames))


def test_all_links_together_count_not_the_best_one_alone() -> None:
    # a row of discs moves by more than half their distance: the nearest disc of the
    # next frame is the neighbour, but then the last one would be left over
    frames = [[(20, 10 + 16 * n + 9 * t, 7, 1 + n) for n in range(3)] for t in range(2)]
    found, _ = track(film(*frames))
    assert at(found, (1, 20, 19), (1, 20, 35), (1, 20, 51)) == [1, 2, 3]


def test_ids_of_what_vanishes_are_not_given_to_what_appears() -> None:
    stays = (10, 10, 5, 1)
    labels = film([stays, (40, 60, 5, 2)], [stays], [stays, (40, 20, 5, 2)])
    found, tracks = track(labels)
    assert at(found, (0, 40, 60), (2, 40, 20), (2, 10, 10)) == [2, 3, 1]
    assert tracks.count == 3


@pytest.mark.parametrize(("gap", "later"), [(0, 2), (1, 1), (2, 1)])
def test_gap_is_closed_if_it_is_short_enough(gap: int, later: int) -> None:
    labels = film([(20, 20, 6, 1)], [], [(22, 24, 6, 9)], [(22, 24, 6, 9)])
    found, _ = track(labels, gap=gap)
    assert at(found, (0, 20, 20), (2, 22, 24), (3, 22, 24)) == [1, later, later]


def test_gap_is_not_closed_with_an_object_far_away() -> None:
    found, tracks = track(film([(20, 20, 6, 1)], [], [(20, 60, 6, 1)]))
    assert (found[2].max(), tracks.count) == (2, 2)


def dividing() -> np.ndarray:
    mother, other = (20, 20, 7, 1), (40, 50, 5, 2)
    return film(
        [mother, other],
        [mother, other],
        [(20, 15, 5, 1), (20, 26, 5, 3), other],
        [(20, 12, 5, 1), (20, 29, 5, 3), other],
    )


def test_daughters_get_ids_of_their_own_and_a_parent() -> None:
    found, tracks = track(dividing(), divisions=True)
    assert at(found, (1, 20, 20), (2, 20, 15), (3, 20, 12)) == [1, 3, 3]
    assert at(found, (2, 20, 26), (3, 20, 29), (3, 40, 50)) == [4, 4, 2]
    assert tracks.graph() == {3: [1], 4: [1]}


def test_without_divisions_one_daughter_goes_on() -> None:
    found, tracks = track(dividing())
    assert tracks.graph() == {}
    assert sorted(np.unique(found[3]).tolist()) == [0, 1, 2, 3]


def test_what_appears_beside_an_object_is_no_daughter() -> None:
    stays = (20, 20, 6, 1)
    labels = film([stays], [stays, (20, 33, 6, 2)], [stays, (20, 33, 6, 2)])
    _, tracks = track(labels, divisions=True)
    assert (tracks.count, tracks.parents) == (2, {})


def test_volumes_are_followed_by_their_voxels_and_spacing() -> None:
    labels = np.zeros((3, 4, 30, 30), np.uint16)  # T Z Y X
    for t in range(3):
        labels[t, :2, 5:12, 5 + t : 12 + t] = 5 - t
        labels[t, 2:, 5:12, 5 + t : 12 + t] = 9 + t
    found, tracks = track(labels, spacing=(2.0, 0.5, 0.5))
    assert [np.unique(f).tolist() for f in found] == [[0, 1, 2]] * 3
    assert found[2, 0, 8, 9] == 1
    assert tracks.points()[0].tolist() == [1, 0, 0.5, 8, 8]


def test_time_need_not_come_first() -> None:
    labels = film(*([(20, 10 + 6 * t, 5, 4 - t)] for t in range(3)))
    found, _ = track(np.moveaxis(labels, 0, 1), axes="YTX")
    np.testing.assert_array_equal(np.moveaxis(found, 1, 0), track(labels)[0])


def test_tracks_of_tracked_labels_have_the_same_ids() -> None:
    found, _ = track(dividing(), divisions=True)
    again, tracks = track(found, divisions=True)
    np.testing.assert_array_equal(again, found)
    assert not tracks.is_renaming


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.int16, st.tuples(st.integers(1, 5), *[st.integers(1, 9)] * 2),
        elements=st.integers(-1, 6),
    ),
    st.booleans(),
)  # fmt: skip
def test_only_ids_change_and_no_two_objects_of_a_frame_become_one(
    labels: np.ndarray, divisions: bool
) -> None:
    found, tracks = track(labels, axes="TYX", divisions=divisions)
    np.testing.assert_array_equal(found > 0, labels > 0)
    np.testing.assert_array_equal(found == -1, labels == -1)
    for before, after in zip(labels, found, strict=True):
        pairs = {(int(a), int(b)) for a, b in zip(before.flat, after.flat, strict=True)}
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert set(np.unique(found[found > 0])) == set(range(1, tracks.count + 1))
    assert all(parent < child for child, parent in tracks.parents.items())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_assignment_is_the_best_of_all(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = np.where(rng.random((rows, columns)) < 0.5, rng.random((rows, columns)), 2)
    a, b = np.nonzero(costs < 1)
    chosen = assign(Pairs(a, b, costs[a, b]), rows, columns)
    # Two objects without a partner cost a little more than the worst possible link.
    best = np.where(costs < 1, costs, 2 * _LONE)
    least = best[linear_sum_assignment(best)].sum()
    assert len(set(chosen[:, 0])) == len(set(chosen[:, 1])) == len(chosen)
    lone = min(rows, columns) - len(chosen)
    found = costs[tuple(chosen.T)].sum() + 2 * _LONE * lone
    assert found == pytest.approx(least, rel=1e-3)


class Frames:
    """Labels that can be read one frame at a time and not otherwise."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.shape, self.dtype = labels, labels.shape, labels.dtype
        self.read: list[int] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        self.read.append(index[0])
        return self.labels[int(index[0])]

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("read whole")


def test_labels_are_read_frame_by_frame_and_can_be_left() -> None:
    labels = Frames(dividing())
    steps = iter_track(labels, "TYX", TrackParams())
    assert next(steps).fraction == 0
    next(steps)
    steps.close()
    assert labels.read == [0]
    tracks = drain(iter_track(labels, "TYX", TrackParams()))
    assert tracks.count == 3


def test_lazy_labels_are_renamed_when_they_are_read() -> None:
    labels = dividing()
    found, tracks = track(labels)
    lazy = lazily_renamed(da.from_array(labels, chunks=(3, 20, 70)), tracks)
    assert lazy.dtype == np.int32
    np.testing.assert_array_equal(np.asarray(lazy[2, 5:30]), found[2, 5:30])
    np.testing.assert_array_equal(np.asarray(lazy), found)


@pytest.mark.parametrize(
    ("axes", "fields", "problem"),
    [
        ("ZYX", {}, "axes ZYX"),
        ("TYX", {"gap": -1}, "gap -1"),
        ("TYX", {"reach": 0.0}, "reach 0.0"),
    ],
)
def test_what_cannot_be_tracked_is_named(
    axes: str, fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises((AxesError, LabelsError), match=problem):
        track(dividing(), axes=axes, **fields)


def test_without_the_tracker_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LabelsError, match=r'pip install "napari-seg\[track\]"'):
        track(dividing())


def bright(labels: np.ndarray) -> np.ndarray:
    return np.where(labels > 0, 200, 10).astype(np.uint8)


def test_segmented_film_comes_with_tracks(model: Path) -> None:
    labels = film(*([(20, 14 + 4 * t, 8, 1), (40, 50, 8, 2)] for t in range(3)))
    found = segment(
        bright(labels), str(model), axes="TYX", diameter_px=16, track=TrackParams()
    )
    assert found.tracks is not None
    assert found.tracks.count == 2
    assert [np.unique(f).tolist() for f in found.labels] == [[0, 1, 2]] * 3
    assert found.provenance["parameters"]["track"]["gap"] == 1


Run = Callable[..., Any]


def test_command_line_writes_labels_and_tracks_in_micrometres(
    run: Run, model: Path, tmp_path: Path
) -> None:
    labels = film(*([(20, 14 + 4 * t, 8, 1)] for t in range(3)), [])
    path = tmp_path / "film.tif"
    about = {"axes": "TYX", "unit": "um"}
    tifffile.imwrite(
        path, bright(labels), imagej=True, metadata=about, resolution=(2, 2)
    )
    options = "--model", model, "--diameter", 16, "--out", tmp_path / "out"
    done = run("segment", path, *options, "--track", "--divisions", "--json")
    assert (done.code, done.err) == (0, "")
    rows = (tmp_path / "out/film_tracks.csv").read_text().splitlines()
    assert rows[0] == "track,parent,frame,centroid_y_um,centroid_x_um,area_um2"
    assert [row.split(",")[:5] for row in rows[1:]] == [
        ["1", "", str(t), "10", f"{7 + 2 * t}"] for t in range(3)
    ]
    stored = tifffile.imread(tmp_path / "out/film.tif")
    assert [int(frame.max()) for frame in stored] == [1, 1, 1, 0]


def test_corrected_labels_are_linked_and_bad_files_named(
    run: Run, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.tif", tmp_path / "bad.tif"
    for path, axes in ((good, "TYX"), (bad, "ZYX")):
        labels = dividing().astype(np.uint16)
        tifffile.imwrite(path, labels, imagej=True, metadata={"axes": axes})
    out = tmp_path / "out"
    done = run("track", good, bad, "--divisions", "--out", out)
    assert done.code == 2
    assert done.out.endswith("good.tif: 4 tracks of 10 objects in 4 frames\n")
    assert "bad.tif: Only frames of labels can be linked over time" in done.err
    assert not (out / "bad.tif").exists()
    found, _ = track(dividing(), divisions=True)
    np.testing.assert_array_equal(tifffile.imread(out / "good.tif"), found)
    table = (out / "good_tracks.csv").read_text().splitlines()
    assert "3,1,2,20,15,81" in table


def test_divisions_alone_are_refused(run: Run, tmp_path: Path) -> None:
    done = run("segment", "x.tif", "--out", tmp_path, "--divisions")
    assert done.code == 2
    assert "--track" in done.err
