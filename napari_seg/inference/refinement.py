"""A segmentation whose probabilities follow the edges of its image."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from napari_seg.errors import ImageError, NapariSegError
from napari_seg.inference.planes import order_planes
from napari_seg.inference.room import make_room
from napari_seg.inference.view import view_plane
from napari_seg.types import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_seg.imaging.axes import PlaneIndex
    from napari_seg.imaging.stitching import Window
    from napari_seg.inference.crf import CrfSolver
    from napari_seg.inference.result import Segmentation


def iter_refine(
    segmentation: Segmentation, solver: CrfSolver
) -> Generator[Progress, None, Segmentation]:
    """Refine the kept probabilities of all planes, each by itself.

    Parameters
    ----------
    segmentation : Segmentation
        Not changed. It needs its probabilities and its image.
    solver : CrfSolver
        Position sigmas in pixels are those of the image.

    Yields
    ------
    Progress
        Stage ``"refine"``.

    Returns
    -------
    Segmentation
        With the refined probabilities and what was done in its provenance. The labels
        are the old ones; `iter_derive` makes new ones.

    Raises
    ------
    ImageError
        If image or probabilities were not kept.
    """
    kept = segmentation.kept()
    room = make_room(kept.shape)
    if room is None:
        raise NapariSegError(
            "There is no room for the refined probabilities",
            f"{kept.nbytes / 2**30:.1f} GB",
            "Free some disk space, or refine single planes",
        )
    refined = dataclasses.replace(
        segmentation,
        network_probabilities=room,
        provenance=segmentation.provenance | {"crf": record(solver)},
    )
    planes = order_planes(segmentation.axes, segmentation.labels.shape, None)
    for count, plane in enumerate(planes):
        into = refined.probabilities_of(plane)
        for step in iter_refine_plane(segmentation, solver, plane, into):
            total = step.total * len(planes)
            yield Progress("refine", count * step.total + step.done, total)
    return refined


def iter_refine_plane(
    segmentation: Segmentation,
    solver: CrfSolver,
    plane: PlaneIndex,
    into: NDArray[np.float32],
    window: Window | None = None,
) -> Generator[Progress, None, None]:
    """Refine one plane, or a window of it in the resolution of the network.

    Parameters
    ----------
    segmentation : Segmentation
        Not changed.
    solver : CrfSolver
    plane : PlaneIndex
        Which plane.
    into : ndarray of float32, shape (K, *window)
        Filled.
    window : tuple of slice, optional
        Rows and columns; by default all.
    """
    if segmentation.reader is None:
        raise ImageError(
            "The image of this segmentation is not at hand",
            remedy="Run the network again",
        )
    probabilities = segmentation.probabilities_of(plane)
    view = view_plane(segmentation.reader, plane, segmentation.zoom)
    at_zoom = dataclasses.replace(solver)
    if at_zoom.threshold is None:
        made = segmentation.provenance.get("instances", {})
        at_zoom.threshold = made.get("threshold")
    spacing = None
    if solver.params.unit == "px":
        at_zoom.params = solver.params.scaled(segmentation.zoom)
    else:
        spacing = tuple(s / segmentation.zoom for s in _spacing_of(segmentation))
    yield from at_zoom.iter_solve(view.read, probabilities, into, spacing, window)


def record(solver: CrfSolver) -> dict[str, object]:
    """Return what the provenance keeps of a refinement."""
    return {"engine": solver.engine, **dataclasses.asdict(solver.params)}


def _spacing_of(segmentation: Segmentation) -> Sequence[float]:
    """Return micrometres per pixel along rows and columns."""
    spacing = segmentation.provenance.get("parameters", {}).get("spacing")
    if not spacing:
        raise ImageError(
            "Sigmas in micrometres need the pixel size",
            "an image without",
            "Set the scale of the image, or use pixels",
        )
    letters = segmentation.axes[-len(spacing) :]
    sizes = dict(zip(letters, spacing, strict=True))
    return sizes["Y"], sizes["X"]
