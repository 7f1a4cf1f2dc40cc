"""What a block leaves on disk so that its objects can be joined with others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.inference.block_queue import DECODE, MATCH
from napari_seg.inference.seams import (
    Objects,
    Pairs,
    join_pairs,
    number_objects,
    pair_faces,
    pair_planes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.inference.cell_decoder import CellObjects
    from napari_seg.inference.grid import Index
    from napari_seg.inference.volume_plan import VolumePlan

Arrays = Mapping[str, "NDArray[Any]"]


def seam_arrays(
    plan: VolumePlan, number: int, found: CellObjects
) -> dict[str, NDArray[Any]]:
    """Return the arrays that are kept of one cell of a block.

    Parameters
    ----------
    plan : VolumePlan
    number : int
        Of the cell in the block.
    found : CellObjects
    """
    arrays: dict[str, NDArray[Any]] = {
        "size": found.sizes,
        "cut": found.is_cut,
        "rim": found.is_at_face,
        **found.faces,
    }
    if links(plan):
        inner = pair_planes(found.labels)
        arrays["link"] = np.stack([inner.first, inner.second, inner.shared])
        arrays["z0"], arrays["z1"] = found.labels[0], found.labels[-1]
    return {f"{number}_{name}": array for name, array in arrays.items()}


def links(plan: VolumePlan) -> bool:
    """Whether objects of neighbouring planes become one afterwards."""
    return plan.ndim == 2 and plan.params.link_z and plan.grid.z.size > 1


def match_block(plan: VolumePlan, block: int) -> None:
    """Compare the cells of a block with those behind them, and keep the pairs."""
    with _Seams(plan) as seams:
        faces, planes, is_whole = _compare(plan, block, seams)
    save = plan.run.save if is_whole else plan.run.save_partial
    save(MATCH, block, faces=_table(faces), planes=_table(planes))


_Found = list[tuple[list[int], Pairs]]


def _compare(
    plan: VolumePlan, block: int, seams: _Seams
) -> tuple[_Found, _Found, bool]:
    """Return the pairs at faces and across planes, and whether none is missing."""
    faces: _Found = []
    planes: _Found = []
    is_whole = True
    for cell in plan.grid.cells_of(block):
        for axis, name in enumerate("zyx", start=1):
            other = _next(cell, axis, plan.grid.cells)
            if other is None:
                continue
            mine, theirs = seams.of(cell), seams.of(other)
            if theirs is None or mine is None:
                is_whole = False
                continue
            numbers = [plan.grid.cell_number(c) for c in (cell, other)]
            if name == "z" and plan.ndim == 2:
                if links(plan):
                    stack = np.stack([mine["z1"], theirs["z0"]])
                    planes.append((numbers, pair_planes(stack)))
                continue
            cut = [np.concatenate([[False], s["cut"]]) for s in (mine, theirs)]
            pairs = pair_faces(mine[f"{name}1"], theirs[f"{name}0"], *cut)
            faces.append((numbers, pairs))
    return faces, planes, is_whole


def _table(found: Iterable[tuple[list[int], Pairs]]) -> NDArray[np.int64]:
    """Return rows of two cells, two ids in them, and the voxels they share."""
    rows = [
        np.stack(
            [
                np.full(len(pairs.first), cells[0]),
                np.full(len(pairs.first), cells[1]),
                pairs.first,
                pairs.second,
                pairs.shared,
            ],
            axis=1,
        )
        for cells, pairs in found
    ]
    return np.concatenate(rows) if rows else np.zeros((0, 5), np.int64)


def _next(cell: Index, axis: int, cells: Index) -> Index | None:
    place = list(cell)
    place[axis] += 1
    if place[axis] >= cells[axis]:
        return None
    t, z, y, x = place
    return t, z, y, x


class _Seams:
    """Reads what blocks left, no more of it than is asked for."""

    def __init__(self, plan: VolumePlan) -> None:
        self._plan = plan
        self._open: dict[int, Arrays | None] = {}
        self._files = ExitStack()

    def __enter__(self) -> _Seams:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def of(self, cell: Index) -> _CellArrays | None:
        """Return the arrays of a cell, None if its block is not done."""
        grid = self._plan.grid
        place = [i // a.group for i, a in zip(cell[1:], grid.axes, strict=True)]
        block = int(np.ravel_multi_index((cell[0], *place), grid.blocks))
        if block not in self._open:
            opened = self._plan.run.opened(DECODE, block)
            self._open[block] = self._files.enter_context(opened)
        held = self._open[block]
        if held is None:
            return None
        return _CellArrays(held, grid.cells_of(block).index(cell))


@dataclass(frozen=True)
class _CellArrays:
    """The arrays of one cell in the file of its block, by name."""

    block: Arrays
    number: int

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.block[f"{self.number}_{name}"]

    def __contains__(self, name: str) -> bool:
        return f"{self.number}_{name}" in self.block


def number_volume(plan: VolumePlan) -> int:
    """Join the objects of all finished blocks, and write their final numbers.

    Returns
    -------
    int
        How many objects there are.
    """
    grid, run = plan.grid, plan.run
    cells = int(np.prod(grid.cells, dtype=np.int64))
    sizes: dict[int, NDArray[np.int64]] = {}
    rims: dict[int, NDArray[np.bool_]] = {}
    inner: list[tuple[int, NDArray[np.int64]]] = []
    faces, planes = [], []
    for block in range(grid.count):
        with run.opened(DECODE, block) as held:
            if held is None:
                continue
            for number, cell in enumerate(grid.cells_of(block)):
                own, name = _CellArrays(held, number), grid.cell_number(cell)
                sizes[name], rims[name] = own["size"], own["rim"]
                if "link" in own:
                    inner.append((name, own["link"]))
        with run.opened(MATCH, block) as pairs:
            if pairs is not None:
                faces.append(pairs["faces"])
                planes.append(pairs["planes"])
    empty = np.zeros(0, np.int64)
    counts = [len(sizes.get(cell, empty)) for cell in range(cells)]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    ordered = sorted(sizes)
    objects = Objects(
        np.concatenate([empty, *(sizes[c] for c in ordered)]),
        np.concatenate([empty, *(rims[c] for c in ordered)]).astype(bool),
    )
    linked = None
    if links(plan):
        within = [
            Pairs(*link).moved(offsets[c] - 1, offsets[c] - 1) for c, link in inner
        ]
        linked = join_pairs([*within, *(_global(table, offsets) for table in planes)])
    joined = join_pairs([_global(table, offsets) for table in faces])
    smallest = plan.instances.min_size_px / plan.zoom**2
    numbers, count = number_objects(objects, joined, linked, smallest)
    run.save_numbers(numbers, offsets)
    return count


def _global(table: NDArray[np.int64], offsets: NDArray[np.int64]) -> Pairs:
    """Turn the ids of cells into numbers over the whole volume, from 0."""
    first, second, a, b, shared = table.T
    return Pairs(offsets[first] + a - 1, offsets[second] + b - 1, shared)
