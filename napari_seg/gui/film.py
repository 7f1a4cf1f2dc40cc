"""A labels layer as a film: what it is before it is linked, and what comes of it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from napari.layers import Tracks as TracksLayer

from napari_seg.errors import AxesError, LabelsError
from napari_seg.gui.correction.history import steps_done
from napari_seg.gui.correction.locks import LOCKED_KEY
from napari_seg.gui.correction.target import labels_axes, repeated_axis
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.own_layers import OWN_KEY
from napari_seg.gui.training.marks import PLANES_KEY
from napari_seg.imaging.tracks import Tracks
from napari_seg.inference.room import make_room
from napari_seg.inference.tracking import (
    TrackParams,
    iter_rename,
    iter_track,
    renamed_scores,
)
from napari_seg.types import Progress

_KEPT = ("image", "offset", PLANES_KEY)
"""Of the metadata of the labels, what holds for the linked ones as it is."""


@dataclass(frozen=True, eq=False)
class Film:
    """A labels layer as it was when the linking began."""

    layer: Labels
    labels: Any
    """Its data, without an axis along which they only repeat."""
    axes: str
    """Letters of T Z Y X of `labels`."""
    repeated: int | None
    """Axis of the layer that `labels` lacks."""
    data: Any
    """The data of the layer."""
    steps: int
    """Edits there were."""

    @property
    def spacing(self) -> tuple[float, ...]:
        """Size of a pixel in world units, along each axis of `labels`."""
        scale = [abs(float(s)) for s in self.layer.scale]
        if self.repeated is not None:
            del scale[self.repeated]
        return tuple(scale)

    def is_unchanged(self) -> bool:
        """Whether the layer is what it was."""
        return steps_done(self.layer) == self.steps and self.layer.data is self.data


@dataclass(frozen=True, eq=False)
class Linked:
    """What comes of it; made off the main thread."""

    labels: Labels
    ways: TracksLayer | None
    """None where napari cannot draw them."""
    tracks: Tracks


def time_axes(layer: Labels) -> tuple[list[tuple[str, int]], int | None]:
    """Return the axes of a layer that may be time, with words, and the likeliest."""
    if layer.multiscale:
        return [], None
    repeated = repeated_axis(layer)
    axes = [a for a in range(layer.ndim - 2) if a != repeated]
    offers = [(f"Dimension {a} ({layer.data.shape[a]} long)", a) for a in axes]
    known = _known_letters(layer).find("T")
    return offers, known if known in axes else next(iter(axes), None)


def film_of(layer: Labels, time: int) -> Film:
    """Return a layer as a film whose frames are along an axis."""
    repeated = repeated_axis(layer)
    kept = [a for a in range(layer.ndim) if a != repeated]
    known = _known_letters(layer)
    spatial = [a for a in kept if a != time]
    names = [known[a] for a in spatial]
    if sorted(names) != sorted("ZYX"[-len(spatial) :]):
        names = list("ZYX"[-len(spatial) :])
    letters = dict(zip(spatial, names, strict=True)) | {time: "T"}
    labels = layer.data
    if repeated is not None:
        labels = labels[(slice(None),) * repeated + (0,)]
    axes = "".join(letters[a] for a in kept)
    return Film(layer, labels, axes, repeated, layer.data, steps_done(layer))


def _known_letters(layer: Labels) -> str:
    try:
        return labels_axes(layer)
    except AxesError:
        return "?" * layer.ndim


def iter_link(film: Film, params: TrackParams) -> Generator[Progress, None, Linked]:
    """Link, and make the layers, which takes a while with many objects."""
    follow = iter_track(film.labels, film.axes, params, film.spacing)
    tracks = yield from follow
    shape = tuple(int(n) for n in film.labels.shape)
    out = make_room(shape, np.int32)
    if out is None:
        raise LabelsError(
            "There is no room for the linked labels",
            f"{4 * np.prod(shape) / 2**30:.1f} GB",
            "Make room in the folder for temporary files",
        )
    yield from iter_rename(film.labels, out, tracks)
    return Linked(
        _labels_layer(film, out, tracks, params), _tracks_layer(film, tracks), tracks
    )


def _labels_layer(
    film: Film, out: np.ndarray, tracks: Tracks, params: TrackParams
) -> Labels:
    data = out
    if film.repeated is not None:
        shape, strides = list(out.shape), list(out.strides)
        shape.insert(film.repeated, film.layer.data.shape[film.repeated])
        strides.insert(film.repeated, 0)
        data = np.lib.stride_tricks.as_strided(out, shape, strides, writeable=True)
    layer = Labels(data, name=f"{film.layer.name} linked", **_place(film.layer))
    known = film.layer.metadata.get(METADATA_KEY, {})
    own = {key: known[key] for key in _KEPT if key in known}
    # What somebody called correct in all frames still is.
    own[LOCKED_KEY] = tracks.made_of(known.get(LOCKED_KEY, ()))
    letters = list(film.axes)
    if film.repeated is not None:
        letters.insert(film.repeated, "C")
    own["axes"] = "".join(letters)
    own["provenance"] = {**known.get("provenance", {}), "track": asdict(params)}
    made: Any = known.get("segmentation")
    if made is not None:
        # The probabilities are still those of the same masks.
        scores = renamed_scores(made.scores, tracks)
        own["segmentation"] = replace(made, labels=out, scores=scores, tracks=tracks)
    layer.metadata[METADATA_KEY] = own
    return layer


def _tracks_layer(film: Film, tracks: Tracks) -> TracksLayer | None:
    """Make the layer that draws the tracks; None where time is not the first axis."""
    points = tracks.points()
    if film.axes[0] != "T" or film.repeated == 0 or not len(points):
        return None
    spatial = [axis for axis in film.axes if axis != "T"]
    order = [2 + "ZYX"[-len(spatial) :].index(axis) for axis in spatial]
    points = points[:, [0, 1, *order]]
    if film.repeated is not None:
        points = np.insert(points, 1 + film.repeated, 0, axis=1)
    return TracksLayer(
        points,
        graph=tracks.graph(),
        name=f"{film.layer.name} tracks",
        metadata={OWN_KEY: "tracks"},
        **_place(film.layer),
    )


def _place(layer: Layer) -> dict[str, Any]:
    """Return what puts another layer on the same pixels."""
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    return {name: getattr(layer, name) for name in names}
