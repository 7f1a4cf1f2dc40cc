"""Ids linked over time: labels of a film, frame by frame, into tracks."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import AxesError, LabelsError
from napari_seg.imaging.axes import check_axes, guess_axes, spacing_by_axis
from napari_seg.imaging.frame_objects import FrameObjects, frame_objects, shared_pixels
from napari_seg.imaging.link_costs import Pairs, division_costs, gap_costs, link_costs
from napari_seg.imaging.slabs import check_integers
from napari_seg.imaging.tracks import Tracks, number_tracks
from napari_seg.inference.assignment import assign, join_ends, require_laptrack
from napari_seg.types import Progress, Region, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.tracks import Node
    from napari_seg.inference.assignment import Edge

STAGE = "track"


@dataclass(frozen=True)
class TrackParams:
    """How objects are followed from frame to frame."""

    divisions: bool = False
    """Whether objects may divide. The daughters then get ids of their own, and the
    Tracks layer shows where they come from."""
    gap: int = 1
    """For how many frames an object may be missing and still be the same one."""
    reach: float = 1.5
    """How far an object may move from one frame to the next, in diameters of the
    objects."""

    def check(self) -> None:
        """Refuse values that no film could make sense of.

        Raises
        ------
        LabelsError
        """
        if self.gap < 0 or not 0 < self.reach < math.inf:
            raise LabelsError(
                "Objects cannot be followed like this",
                f"gap {self.gap}, reach {self.reach}",
                "Use a gap of 0 or more frames, and a reach above 0",
            )


def track(
    labels: Any,
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    **fields: Any,
) -> tuple[NDArray[np.int32], Tracks]:
    """Give the objects of a film the same id in all frames.

    Parameters
    ----------
    labels : array of int
        Instance ids with a time axis; NumPy, memory-mapped, dask or zarr.
    axes : str, optional
        Letters of T Z Y X in the order of the array; by default the first is T.
    spacing : tuple of float, optional
        Pixel size along each of Z, Y, X.
    **fields
        Fields of `TrackParams`: ``divisions``, ``gap``, ``reach``.

    Returns
    -------
    labels : ndarray of int32
        The same masks with tracks as ids.
    tracks : Tracks
    """
    axes = axes or "T" + guess_axes(labels.shape[1:])
    tracks = run(iter_track(labels, axes, TrackParams(**fields), spacing))
    renamed = np.empty(labels.shape, np.int32)
    run(iter_rename(labels, renamed, tracks))
    return renamed, tracks


def check_film(axes: str) -> None:
    """Refuse what has no time axis, and what would be tracked without a tracker.

    Raises
    ------
    NapariSegError
    """
    if "T" not in axes or "C" in axes:
        raise AxesError(
            "Only frames of labels can be linked over time",
            f"axes {axes}",
            "If its planes are frames, call that axis T (--axes TYX)",
        )
    require_laptrack()


def iter_track(
    labels: Any,
    axes: str,
    params: TrackParams,
    spacing: tuple[float, ...] | None = None,
) -> Generator[Progress, None, Tracks]:
    """Follow objects through a film with two frames in memory.

    Parameters
    ----------
    labels : array of int
        With `axes`; is read frame by frame and not changed.
    axes : str
        Of T Z Y X, in the order of the array.
    params : TrackParams
    spacing : tuple of float, optional
        Pixel size along each axis, T may be left out.

    Yields
    ------
    Progress
        Stage ``"track"``, one step a frame and one for the loose ends.

    Returns
    -------
    Tracks
    """
    params.check()
    axes = check_axes(axes, labels.shape)
    check_film(axes)
    check_integers(labels)
    sizes = spacing_by_axis(axes, spacing) if spacing else {}
    scale = tuple(sizes.get(letter, 1.0) for letter in "ZYX" if letter in axes)
    count = labels.shape[axes.index("T")]
    yield Progress(STAGE, 0, count + 1)
    objects: list[FrameObjects] = []
    links: list[NDArray[np.intp]] = []
    before: NDArray[np.integer] | None = None
    for t, frame in enumerate(_frames(labels, axes)):
        objects.append(frame_objects(frame))
        if before is not None:
            pair = objects[-2], objects[-1]
            costs = _prices(before, frame, pair, scale, params.reach)
            links.append(assign(costs, len(pair[0].ids), len(pair[1].ids)))
        before = frame
        yield Progress(STAGE, t + 1, count + 1)
    edges = _edges(links)
    edges = join_ends(
        edges,
        _gaps(objects, edges, scale, params),
        _divisions(objects, links, scale) if params.divisions else {},
        params.gap,
    )
    yield Progress(STAGE, count + 1, count + 1)
    return number_tracks(tuple(objects), edges, axes)


def iter_rename(
    labels: Any, out: Any, tracks: Tracks
) -> Generator[Progress, None, None]:
    """Write labels with tracks as ids, frame by frame.

    Parameters
    ----------
    labels : array of int
        As they were when the tracks were found.
    out : array of int
        Of the same shape; may be `labels`.
    tracks : Tracks

    Yields
    ------
    Progress
        Stage ``"rename"``; regions are the frames of `out` that are done.
    """
    axis = tracks.axes.index("T")
    count = labels.shape[axis]
    for t in range(count):
        index = (slice(None),) * axis + (t,)
        out[index] = tracks.renamed(np.asarray(labels[index]), t)
        yield Progress("rename", t + 1, count, Region(index, out[index]))


def lazily_renamed(labels: Any, tracks: Tracks) -> Any:
    """Return labels with tracks as ids that are made when they are read.

    Parameters
    ----------
    labels : array of int
        NumPy, memory-mapped, dask or zarr.
    tracks : Tracks

    Returns
    -------
    dask.array.Array of int32
        Of the same shape, in chunks of one frame, or smaller where `labels` has them.
    """
    import dask.array as da

    axis = tracks.axes.index("T")
    chunks = {n: 1 if n == axis else "auto" for n in range(len(labels.shape))}
    lazy = labels if isinstance(labels, da.Array) else da.from_array(labels, chunks)
    lazy = lazy.rechunk({axis: 1})

    def rename(block: NDArray[Any], block_info: Any = None) -> NDArray[np.int32]:
        return tracks.renamed(block, block_info[0]["array-location"][axis][0])

    return lazy.map_blocks(rename, dtype=np.int32, meta=np.empty(0, np.int32))


def renamed_scores(scores: dict[int, float], tracks: Tracks) -> dict[int, float]:
    """Give scores the ids of the tracks; each has the best of its objects."""
    found: dict[int, float] = {}
    for frame, numbers in zip(tracks.objects, tracks.numbers, strict=True):
        for old, new in zip(frame.ids.tolist(), numbers.tolist(), strict=True):
            if old in scores:
                found[new] = max(scores[old], found.get(new, 0.0))
    return dict(sorted(found.items()))


def _frames(labels: Any, axes: str) -> Iterator[NDArray[np.integer]]:
    """Yield each frame with the axes ([planes,] rows, columns)."""
    for t in range(labels.shape[axes.index("T")]):
        index = tuple(t if axis == "T" else slice(None) for axis in axes)
        kept = axes.replace("T", "")
        order = [kept.index(axis) for axis in "ZYX" if axis in kept]
        yield np.asarray(labels[index]).transpose(order)


def _prices(
    before: NDArray[np.integer],
    frame: NDArray[np.integer],
    objects: tuple[FrameObjects, FrameObjects],
    scale: tuple[float, ...],
    reach: float,
) -> Pairs:
    shared = shared_pixels(before, frame, objects)
    return link_costs(*objects, shared, scale, reach * _side(objects, scale))


def _side(objects: Any, scale: tuple[float, ...]) -> float:
    """Return the typical diameter of objects; 1 pixel where there are none."""
    sides = np.concatenate([o.diameters(scale) for o in objects])
    return float(np.median(sides)) if len(sides) else 1.0


def _edges(links: list[NDArray[np.intp]]) -> list[Edge]:
    return [
        ((t, a), (t + 1, b)) for t, rows in enumerate(links) for a, b in rows.tolist()
    ]


def _gaps(
    objects: list[FrameObjects],
    edges: list[Edge],
    scale: tuple[float, ...],
    params: TrackParams,
) -> dict[Edge, float]:
    """Price what may be one object that was missing for some frames."""
    if not params.gap:
        return {}
    going = _rows(objects, {earlier for earlier, _ in edges})
    coming = _rows(objects, {later for _, later in edges})
    found: dict[Edge, float] = {}
    for t, ends in enumerate(going):
        for steps in range(2, min(params.gap + 2, len(objects) - t)):
            later, starts = t + steps, coming[t + steps]
            pair = _chosen(objects[t], ends), _chosen(objects[later], starts)
            # who wanders without aim gets as far as the square root of the time
            reach = params.reach * math.sqrt(steps)
            sides = reach * _side((objects[t], objects[later]), scale)
            costs = gap_costs(*pair, scale, sides)
            for a, b, cost in _triples(costs):
                found[(t, int(ends[a])), (later, int(starts[b]))] = cost
    return found


def _divisions(
    objects: list[FrameObjects], links: list[NDArray[np.intp]], scale: tuple[float, ...]
) -> dict[Edge, float]:
    """Price what may be the second daughter of an object."""
    found: dict[Edge, float] = {}
    for t, rows in enumerate(links):
        appeared = np.setdiff1d(np.arange(len(objects[t + 1].ids)), rows[:, 1])
        costs = division_costs(objects[t], objects[t + 1], rows, appeared, scale)
        for a, b, cost in _triples(costs):
            found[(t, a), (t + 1, b)] = cost
    return found


def _rows(objects: list[FrameObjects], linked: set[Node]) -> list[NDArray[np.intp]]:
    """Return the rows of each frame that are not among the linked ones."""
    return [
        np.array([r for r in range(len(o.ids)) if (t, r) not in linked], np.intp)
        for t, o in enumerate(objects)
    ]


def _chosen(objects: FrameObjects, rows: NDArray[np.intp]) -> FrameObjects:
    return FrameObjects(objects.ids[rows], objects.sizes[rows], objects.centres[rows])


def _triples(pairs: Pairs) -> Iterator[tuple[int, int, float]]:
    columns = pairs.first, pairs.second, pairs.costs
    return zip(*(column.tolist() for column in columns), strict=True)
