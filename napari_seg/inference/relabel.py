"""New outlines for labels that are on the screen, from refined probabilities."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.adoption import adopt_outlines
from napari_seg.imaging.axes import PlaneIndex, axis_size, plane_selection
from napari_seg.imaging.objects import next_free_id
from napari_seg.imaging.rescale import plan_axes, resample_labels
from napari_seg.inference.planes import is_transposed
from napari_seg.inference.refinement import iter_refine_plane

if TYPE_CHECKING:
    from napari_seg.imaging.instances import InstanceParams
    from napari_seg.imaging.stitching import Window
    from napari_seg.inference.crf import CrfSolver
    from napari_seg.inference.result import Segmentation
    from napari_seg.types import Labels, Progress


@dataclass(frozen=True, eq=False)
class Outlines:
    """A piece of the labels, as it is and as it would be."""

    index: tuple[slice | int, ...]
    """Where the piece lies in the labels."""
    before: NDArray[np.integer]
    """As it is, axes as in the labels."""
    after: NDArray[np.integer]
    """With the new outlines."""
    derived: Labels
    """What the probabilities give without the refinement."""


@dataclass(frozen=True, eq=False)
class Place:
    """A part of a plane, and what may change there."""

    plane: PlaneIndex
    """Which plane."""
    window: Window
    """Rows and columns of the labels."""
    locked: frozenset[int] = frozenset()
    """Ids that keep every pixel."""
    only: int | None = None
    """Nothing but this object changes."""


def iter_relabel(
    segmentation: Segmentation,
    labels: Any,
    solver: CrfSolver,
    instances: InstanceParams,
    place: Place,
    least_id: int = 1,
    derived: Labels | None = None,
) -> Generator[Progress, None, Outlines]:
    """Refine a part of a plane and give its objects their new outlines.

    Parameters
    ----------
    segmentation : Segmentation
        With probabilities and image.
    labels : array of int
        What became of its labels; read, not written.
    solver : CrfSolver
    instances : InstanceParams
        How probabilities become objects.
    place : Place
    least_id : int, optional
        New objects get no smaller id.
    derived : ndarray of int32, optional
        What an earlier call for this place and these objects found without the
        refinement: `Outlines.derived`.

    Yields
    ------
    Progress
        Stage ``"refine"``.

    Returns
    -------
    Outlines
    """
    axes = segmentation.axes
    sizes = tuple(axis_size(axes, labels.shape, letter) for letter in "YX")
    probabilities = segmentation.probabilities_of(place.plane)
    grid = plan_axes(probabilities.shape[1:], sizes)
    spans = [
        axis.source_span(part.start, part.stop)
        for axis, part in zip(grid, place.window, strict=True)
    ]
    # A little more than is shown: objects at its edge are derived whole.
    halo = segmentation.halo_px
    rows, columns = (
        slice(max(0, a - halo), min(n, b + halo))
        for (a, b), n in zip(spans, probabilities.shape[1:], strict=True)
    )
    read = (rows, columns)
    inner = tuple(
        slice(a - r.start, b - r.start) for (a, b), r in zip(spans, read, strict=True)
    )
    shape = (len(probabilities), *(r.stop - r.start for r in read))
    refined = np.empty(shape, np.float32)
    solver = replace(solver, threshold=instances.threshold)
    yield from iter_refine_plane(segmentation, solver, place.plane, refined, read)

    def decode(part: NDArray[np.float32]) -> Labels:
        decoded = segmentation.decode_window(place.plane, read, part, instances)
        found = resample_labels(
            decoded[inner],
            1 - part[0][inner],
            grid,
            place.window,
            threshold=instances.threshold,
        )
        return found.T if is_transposed(axes) else found

    if derived is None:
        derived = decode(np.asarray(probabilities[(slice(None), *read)]))
    index = plane_selection(axes, place.plane, place.window)
    before = np.array(labels[index])
    after = adopt_outlines(
        before,
        derived,
        decode(refined),
        locked=place.locked,
        only=place.only,
        next_id=lambda: max(least_id, next_free_id(labels)),
    )
    return Outlines(index, before, after, derived)
