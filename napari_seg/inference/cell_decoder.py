"""The objects of one cell, from the probabilities around it to voxels of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.rescale import resample, resample_first, resample_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_seg.inference.grid import Grid, Index

FACE = 2
"""Voxels at a face that both cells see: one on each side."""


@dataclass(frozen=True)
class CellObjects:
    """What a cell found."""

    labels: NDArray[np.int32]
    """Ids 1..N of the voxels it owns: planes, rows, columns."""
    sizes: NDArray[np.int64]
    """Voxels of each, shape (N,)."""
    is_cut: NDArray[np.bool_]
    """Whether an object goes on where the cell cannot see, shape (N,)."""
    is_at_face: NDArray[np.bool_]
    """Whether it reaches a neighbour, shape (N,)."""
    faces: dict[str, NDArray[np.int32]]
    """``"x0"`` and ``"x1"``, and so on: ids of the voxels on both sides of the face
    before and behind the cell, the axis itself of length `FACE`."""


def own_objects(
    grown: NDArray[np.int32],
    is_cut: NDArray[np.bool_],
    grid: Grid,
    cell: Index,
    matched: str,
) -> CellObjects:
    """Keep the objects that have voxels in a cell, and what is seen at its faces.

    Parameters
    ----------
    grown : ndarray of int32
        Ids of the voxels of ``AxisGrid.grown`` along each axis.
    is_cut : ndarray of bool, shape (M + 1,)
        By id in `grown`.
    grid : Grid
    cell : tuple of int
    matched : str
        Axes along which neighbours are compared, of ``"zyx"``.
    """
    cores = grid.core(cell)
    froms = [a.grown(i).start for a, i in zip(grid.axes, cell[1:], strict=True)]
    inner = tuple(
        slice(c.start - f, c.stop - f) for c, f in zip(cores, froms, strict=True)
    )
    counts = np.zeros(len(is_cut), np.int64)
    # Plane by plane: of a whole cell NumPy would make copies of twice the size.
    for plane in grown[inner]:
        counts += np.bincount(plane.ravel(), minlength=len(is_cut))
    counts[0] = 0
    kept = np.flatnonzero(counts)
    table = np.zeros(len(counts), np.int32)
    table[kept] = np.arange(1, len(kept) + 1)
    grown = renumbered(grown, table)
    faces: dict[str, NDArray[np.int32]] = {}
    at_face = np.zeros(len(kept) + 1, bool)
    for number, (name, axis) in enumerate(zip("zyx", grid.axes, strict=True)):
        if name not in matched:
            continue
        core = inner[number]
        for side, middle in (("0", core.start), ("1", core.stop)):
            index = list(inner)
            index[number] = slice(middle - 1, middle + 1)
            voxel = cores[number].start if side == "0" else cores[number].stop
            if 0 < voxel < axis.size:
                face = np.ascontiguousarray(grown[tuple(index)])
                faces[f"{name}{side}"] = face
                at_face[face] = True
    return CellObjects(grown[inner], counts[kept], is_cut[kept], at_face[1:], faces)


def renumbered(labels: NDArray[np.int32], table: NDArray[Any]) -> NDArray[Any]:
    """Give ids other numbers, plane by plane, so that little memory is used.

    Parameters
    ----------
    labels : ndarray of int32, shape (planes, ...)
        Ids 0..N.
    table : ndarray of int, shape (N + 1,)
        The number of each id.

    Returns
    -------
    ndarray of int
        Of the shape of `labels` and the type of `table`.
    """
    result = np.empty(labels.shape, table.dtype)
    for plane, ids in zip(result, labels, strict=True):
        np.take(table, ids, out=plane, mode="clip")  # others would be copied first
    return result


def cut_ids(
    labels: NDArray[np.int32], part: Sequence[slice], sizes: Sequence[int]
) -> NDArray[np.bool_]:
    """Return by id whether an object touches the end of what is seen of a volume.

    Parameters
    ----------
    labels : ndarray of int32
        Ids 0..M of a part of it.
    part : sequence of slice
        Where that lies, along the last axes of `labels`.
    sizes : sequence of int
        Of the volume along these axes.
    """
    found = np.zeros(int(labels.max(initial=0)) + 1, bool)
    first = labels.ndim - len(sizes)
    for axis, (side, size) in enumerate(zip(part, sizes, strict=True), start=first):
        if side.start > 0:
            found[np.take(labels, 0, axis)] = True
        if side.stop < size:
            found[np.take(labels, -1, axis)] = True
    found[0] = False
    return found


def planes_to_voxels(
    found: NDArray[np.float32], grid: Grid, cell: Index
) -> NDArray[np.float32]:
    """Bring probabilities (K, planes, ...) from the network's planes to voxels."""
    axis = grid.z.axis
    if axis.source == axis.target:
        return found
    part = resample_first(found.swapaxes(0, 1), axis, grid.z.decoded(cell[1]))
    return np.ascontiguousarray(part.swapaxes(0, 1))


def plane_in_voxels(
    labels: NDArray[np.int32],
    foreground: NDArray[np.float32],
    grid: Grid,
    cell: Index,
    threshold: float,
) -> NDArray[np.int32]:
    """Bring a plane of a cell from the network's pixels to the voxels of `grown`."""
    window, inner = _inner(grid, cell)
    axes = (grid.y.axis, grid.x.axis)
    if all(a.source == a.target for a in axes):
        return labels[inner]
    found: NDArray[np.int32] = resample_labels(
        labels[inner], foreground[inner], axes, window, threshold=threshold
    )
    return found


def probabilities_in_voxels(
    found: NDArray[np.float32], grid: Grid, cell: Index
) -> NDArray[np.float32]:
    """Bring probabilities (..., rows, columns) to the voxels that a cell owns."""
    _, rows, columns = grid.core(cell)
    axes = (grid.y.axis, grid.x.axis)
    parts = [a.decoded(i) for a, i in zip((grid.y, grid.x), cell[2:], strict=True)]
    spans = [
        a.source_span(w.start, w.stop)
        for a, w in zip(axes, (rows, columns), strict=True)
    ]
    inner_rows, inner_columns = (
        slice(low - part.start, high - part.start)
        for (low, high), part in zip(spans, parts, strict=True)
    )
    return resample(found[..., inner_rows, inner_columns], axes, (rows, columns))


def _inner(grid: Grid, cell: Index) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the voxels of `grown`, and where their source lies in what is decoded."""
    windows, inner = [], []
    for axis, number in zip((grid.y, grid.x), cell[2:], strict=True):
        window, part = axis.grown(number), axis.decoded(number)
        low, high = axis.axis.source_span(window.start, window.stop)
        windows.append(window)
        inner.append(slice(low - part.start, high - part.start))
    return (windows[0], windows[1]), (inner[0], inner[1])
