"""Which part of a coarser level of the labels is made at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_seg.data.volume_store import level_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_seg.inference.volume_plan import VolumePlan

CHUNK = {"T": 1, "Z": 16, "Y": 128, "X": 128}
"""Voxels of a chunk of the labels along each axis."""
_UNIT = {"T": 1, "Z": 32, "Y": 1024, "X": 1024}
"""Multiple of a chunk that is halved at a time."""


def labels_shape(plan: VolumePlan) -> tuple[int, ...]:
    """Return the shape of the labels, axes in the order T, Z, Y, X."""
    grid = plan.grid
    sizes = {"T": grid.frames, "Z": grid.z.size, "Y": grid.y.size, "X": grid.x.size}
    return tuple(sizes[axis] for axis in plan.label_axes)


def level_counts(plan: VolumePlan) -> list[int]:
    """Return how many parts each level has, beginning with level 1."""
    return [
        int(np.prod(_parts(shape, plan.label_axes), dtype=np.int64))
        for shape in level_shapes(labels_shape(plan))[1:]
    ]


def level_region(plan: VolumePlan, level: int, number: int) -> tuple[slice, ...]:
    """Return one part of a level."""
    shape = level_shapes(labels_shape(plan))[level]
    place = np.unravel_index(number, _parts(shape, plan.label_axes))
    return tuple(
        slice(int(i) * _UNIT[a], min((int(i) + 1) * _UNIT[a], n))
        for i, a, n in zip(place, plan.label_axes, shape, strict=True)
    )


def preview_steps(shape: Sequence[int], axes: str, most: int) -> tuple[int, ...]:
    """Return which voxels a reduced copy of the labels has: every n-th of each axis.

    Parameters
    ----------
    shape, axes : sequence of int, str
        Of the labels.
    most : int
        Voxels of the copy.
    """
    steps = dict.fromkeys(axes, 1)
    while np.prod([-(-n // steps[a]) for n, a in zip(shape, axes, strict=True)]) > most:
        # Rows and columns first: a plane is what is looked at.
        thick = "Z" in axes and 4 * steps["Z"] < steps["Y"]
        for axis in "Z" if thick else "YX":
            steps[axis] *= 2
    return tuple(steps[axis] for axis in axes)


def _parts(shape: Sequence[int], axes: str) -> list[int]:
    return [-(-n // _UNIT[a]) for n, a in zip(shape, axes, strict=True)]
