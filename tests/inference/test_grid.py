from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_seg.imaging.tiling import choose_geometry
from napari_seg.inference.block_queue import DECODE, MATCH, PREDICT, BlockQueue, Task
from napari_seg.inference.grid import AxisGrid, Grid


@st.composite
def axis_grids(draw: st.DrawFn) -> AxisGrid:
    size = draw(st.integers(1, 700))
    seen = max(1, round(size * draw(st.sampled_from([0.3, 0.5, 1.0, 2.0]))))
    geometry = choose_geometry(
        seen, 96, divisor=16, margin=0, overlap=8, phase=0, smallest=16, rim=8
    )
    cell = draw(st.sampled_from([16, 64, 128]))
    halo = draw(st.integers(0, 90))
    by_voxel = draw(st.booleans())
    return AxisGrid(size, seen, cell, draw(st.integers(1, 4)), halo, geometry, by_voxel)


@given(axis_grids())
def test_cells_and_tiles_are_divided_among_the_blocks(axis: AxisGrid) -> None:
    cells = [c for b in range(axis.blocks) for c in axis.cells_of(b)]
    assert cells == list(range(axis.cells))
    voxels = [v for c in cells for v in range(axis.core(c).start, axis.core(c).stop)]
    assert voxels == list(range(axis.size))
    tiles = [t for b in range(axis.blocks) for t in axis.own_tiles(b)]
    assert tiles == list(range(len(axis.tiles)))
    predicted = [axis.predicted(b) for b in range(axis.blocks)]
    pixels = [p for part in predicted for p in range(part.start, part.stop)]
    assert pixels == list(range(axis.seen))


@given(axis_grids())
def test_what_a_block_needs_is_predicted_by_its_sources(axis: AxisGrid) -> None:
    for block in range(axis.blocks):
        got = [axis.predicted(s) for s in axis.sources(block)]
        pixels = {p for part in got for p in range(part.start, part.stop)}
        for cell in axis.cells_of(block):
            part = axis.wanted(cell)
            assert set(range(part.start, part.stop)) <= pixels
            core = axis.axis.source_span(axis.core(cell).start, axis.core(cell).stop)
            seen = axis.decoded(cell)
            assert axis.by_voxel or (seen.start <= core[0] and core[1] <= seen.stop)
    for one, other in product(range(axis.blocks), repeat=2):
        assert (one in axis.sources(other)) == (other in axis.users(one))


@given(axis_grids(), st.integers(1, 5))
def test_tiles_and_cells_do_not_depend_on_the_blocks(
    axis: AxisGrid, group: int
) -> None:
    other = AxisGrid(
        axis.size, axis.seen, axis.cell, group, axis.halo, axis.geometry, axis.by_voxel
    )
    assert other.tiles == axis.tiles
    assert [other.decoded(c) for c in range(other.cells)] == [
        axis.decoded(c) for c in range(axis.cells)
    ]


def grid(frames: int = 1) -> Grid:
    geometry = choose_geometry(
        200, 96, divisor=16, margin=0, overlap=8, phase=0, smallest=16
    )
    side = AxisGrid(200, 200, 32, 2, 20, geometry)
    return Grid(frames, AxisGrid(40, 40, 16, 1, 0, None, True, 0), side, side)


def drain(queue: BlockQueue, fails: frozenset[Task] = frozenset()) -> list[Task]:
    done = []
    while (task := queue.take()) is not None:
        if task in fails:
            queue.fail(task)
        else:
            queue.finish(task)
            done.append(task)
    return done


def nothing(count: int) -> dict[str, np.ndarray]:
    return {stage: np.zeros(count, bool) for stage in (PREDICT, DECODE, MATCH)}


def test_every_stage_of_every_block_is_handed_out_once_and_in_order() -> None:
    made = grid(2)
    done = drain(BlockQueue(made, nothing(made.count), predicts=True))
    used = [b for b in range(made.count) if list(made.users(b))]
    assert len(done) == len(set(done)) == 2 * made.count + len(used)
    place = {task: number for number, task in enumerate(done)}
    for block in range(made.count):
        now = place[Task(DECODE, block)]
        assert all(place[Task(PREDICT, s)] < now for s in made.sources(block))
        now = place[Task(MATCH, block)]
        assert all(place[Task(DECODE, o)] < now for o in made.following(block))


def test_predictions_are_let_go_once_all_around_are_decoded() -> None:
    made = grid()
    queue = BlockQueue(made, nothing(made.count), predicts=True)
    let_go: list[int] = []
    held = most = 0
    while (task := queue.take()) is not None:
        free = queue.finish(task)
        held += (task.stage == PREDICT) - len(free)
        most = max(most, held)
        let_go += free
    assert sorted(let_go) == [b for b in range(made.count) if list(made.users(b))]
    assert most < made.count / 2  # a front runs through the volume


def test_what_is_done_is_not_handed_out_again() -> None:
    made = grid()
    done = nothing(made.count)
    done[DECODE][:20] = True
    done[MATCH][:10] = True
    again = drain(BlockQueue(made, done, predicts=True))
    assert {t.block for t in again if t.stage == DECODE} == set(range(20, made.count))
    assert {t.block for t in again if t.stage == MATCH} == set(range(10, made.count))
    needed = {s for b in range(20, made.count) for s in made.sources(b)}
    assert {t.block for t in again if t.stage == PREDICT} == needed


def test_a_block_that_fails_stops_only_those_around_it() -> None:
    made = grid()
    bad = Task(PREDICT, 21)  # in the last plane of blocks: others are before it
    queue = BlockQueue(made, nothing(made.count), predicts=True)
    done = drain(queue, frozenset([bad]))
    stopped = set(range(made.count)) - {t.block for t in done if t.stage == DECODE}
    assert stopped == set(made.users(21))
    left = {task.block for task in queue.left()}
    matched = {t.block for t in done if t.stage == MATCH}
    waiting = {b for s in stopped for b in made.following(s, -1)} - stopped
    assert left == waiting
    assert left
    assert matched == set(range(made.count)) - stopped - left


@pytest.mark.parametrize("predicts", [True, False])
def test_without_a_network_of_tiles_nothing_is_predicted(predicts: bool) -> None:
    made = grid()
    done = drain(BlockQueue(made, nothing(made.count), predicts=predicts))
    assert any(task.stage == PREDICT for task in done) == predicts
