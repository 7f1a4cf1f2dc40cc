"""Objects of one frame of a film, and what they share with those of another."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.linking import overlap_pairs
from napari_seg.imaging.object_table import object_table
from napari_seg.imaging.slabs import slabs, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameObjects:
    """One row for each of N objects of a frame, in the order of their ids."""

    ids: NDArray[np.int64]
    """Shape (N,)."""
    sizes: NDArray[np.int64]
    """Pixels, or voxels, shape (N,)."""
    centres: NDArray[np.float64]
    """Mean (plane,) row, column in pixels, shape (N, 2 or 3)."""

    def diameters(self, spacing: tuple[float, ...]) -> NDArray[np.float64]:
        """Return the diameter of the disc, or ball, of the size of each object.

        Parameters
        ----------
        spacing : tuple of float
            Size of a pixel along each axis of the centres.
        """
        sizes = self.sizes * float(np.prod(spacing))
        if len(spacing) == 3:
            return np.cbrt(6 * sizes / pi)
        return np.sqrt(4 * sizes / pi)


@dataclass(frozen=True)
class Shared:
    """Pixels shared by pairs of objects of two frames, one entry a pair."""

    first: NDArray[np.intp]
    """Row of the object in the first frame."""
    second: NDArray[np.intp]
    """Row of the object in the second frame."""
    counts: NDArray[np.int64]


def frame_objects(frame: NDArray[np.integer]) -> FrameObjects:
    """Measure the objects of a frame, plane by plane.

    Parameters
    ----------
    frame : ndarray of int, shape ([planes,] rows, columns)
        Ids; 0 and less is background.

    Returns
    -------
    FrameObjects
    """
    planes = frame[None] if frame.ndim == 2 else frame
    tables = [object_table(plane) for plane in planes]
    ids, rows = np.unique(np.concatenate([t.ids for t in tables]), return_inverse=True)
    sizes = np.concatenate([t.areas for t in tables])
    places = np.concatenate(
        [np.insert(t.centres, 0, z, axis=1) for z, t in enumerate(tables)]
    )
    total = np.bincount(rows, sizes, len(ids))
    sums = [np.bincount(rows, sizes * place, len(ids)) for place in places.T]
    centres = (np.array(sums) / total).T
    return FrameObjects(
        ids.astype(np.int64), total.astype(np.int64), centres[:, 3 - frame.ndim :]
    )


def shared_pixels(
    first: NDArray[Any], second: NDArray[Any], objects: tuple[FrameObjects, ...]
) -> Shared:
    """Count the pixels that objects of two frames share.

    Parameters
    ----------
    first, second : ndarray of int, shape ([planes,] rows, columns)
    objects : tuple of two FrameObjects
        Of these frames.
    """
    found = [overlap_pairs(first[s], second[s]) for s in slabs(first, whole(first))]
    if not found:
        return Shared(*(np.zeros(0, np.int64) for _ in range(3)))
    a, b, counts = (np.concatenate(column) for column in zip(*found, strict=True))
    rows = np.searchsorted(objects[0].ids, a), np.searchsorted(objects[1].ids, b)
    width = max(1, len(objects[1].ids))
    keys, places = np.unique(rows[0] * width + rows[1], return_inverse=True)
    sums = np.bincount(places, counts, len(keys)).astype(np.int64)
    return Shared(keys // width, keys % width, sums)
