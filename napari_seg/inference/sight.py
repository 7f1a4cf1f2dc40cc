"""What the answer for one pixel depends on: receptive field and attention."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import CheckpointError, ImageError
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.rescale import Axis, resample, snap_zoom
from napari_seg.inference.segment import SegmentParams, load, open_for
from napari_seg.inference.view import PlaneView, view_plane
from napari_seg.types import Progress

if TYPE_CHECKING:  # torch must not be loaded by opening a panel
    from numpy.typing import NDArray
    from torch import nn

    from napari_seg.inference.reader import ImageReader
    from napari_seg.inference.segment import Model
    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint

    Array = NDArray[np.float32]

SIDE_PX = 384
"""Side of what the network is shown around the pixel, at least."""
MOST = 0.9
"""Share of the gradient that `Sight.reach_px` speaks of."""


@dataclass(frozen=True)
class Sight:
    """What one pixel of the output depends on, in the pixels of the image."""

    field: Array
    """Size of the gradient of the pixel's answer by each input pixel, summed over the
    channels; the largest is 1. The effective receptive field of Luo et al.
    (arXiv:1701.04128)."""
    attention: Array | None
    """How much the pixel attends to each place; the largest is 1. None if the network
    has no attention between pixels."""
    window: tuple[slice, slice]
    """Rows and columns of the image that both cover."""
    answer: str
    """The class that wins at the pixel."""
    reach_px: float
    """Radius around the pixel in which 90 % of the gradient lies."""
    diameter_px: float
    """Of the objects, as the network was told or estimated it."""


def iter_sight(
    image: Any,
    model: Model,
    params: SegmentParams,
    pixel: tuple[float, float],
    plane: PlaneIndex | None = None,
) -> Generator[Progress, None, Sight]:
    """Look at what a network makes of one pixel, on the processor.

    Parameters
    ----------
    image, model, params
        As for `iter_segment`.
    pixel : (float, float)
        Row and column in the image.
    plane : PlaneIndex, optional
        Of a stack; the first by default.

    Yields
    ------
    Progress
        Stages ``"load"``, ``"size"`` and ``"look"``.

    Returns
    -------
    Sight

    Raises
    ------
    CheckpointError
        For a network that finds objects, which has no answer for a pixel, or that sees
        volumes.
    ImageError
        If the pixel lies outside the image.
    """
    params.check()
    yield Progress("load", 0, 1)
    checkpoint = load(model)
    _check(checkpoint.card)
    reader = open_for(checkpoint, image, params)
    rows, columns = reader.plane_shape
    if not (0 <= pixel[0] < rows and 0 <= pixel[1] < columns):
        raise ImageError(
            "The pixel lies outside the image",
            f"row {pixel[0]:.0f}, column {pixel[1]:.0f} of {rows} x {columns}",
            "Click on the image.",
        )
    diameter = yield from _iter_diameter(checkpoint, reader, params)
    zoom = snap_zoom(checkpoint.card.object_diameter_px / diameter)
    view = view_plane(reader, plane or PlaneIndex(), zoom)
    yield Progress("look", 0, 1)
    return _look(checkpoint, view, pixel, diameter)


def _check(card: Card) -> None:
    if card.finds_objects:
        raise CheckpointError(
            "This network finds objects, and has no answer for a pixel",
            card.name,
            "Choose a model that classifies pixels.",
        )
    if card.ndim != 2:
        raise CheckpointError(
            "Only networks that see one plane can be looked at",
            f"{card.name}, which sees volumes",
            "Choose a model of planes.",
        )


def _iter_diameter(
    checkpoint: Checkpoint, reader: ImageReader, params: SegmentParams
) -> Generator[Progress, None, float]:
    if params.diameter_px is not None:
        return params.diameter_px
    from napari_seg.inference.device import choose_device
    from napari_seg.inference.diameter import iter_diameter
    from napari_seg.inference.engine import open_predictor

    with open_predictor(checkpoint, choose_device(params.device)) as predictor:
        found = yield from iter_diameter(reader, predictor, checkpoint.card, params)
    return found[0]


def _look(
    checkpoint: Checkpoint,
    view: PlaneView,
    pixel: tuple[float, float],
    diameter_px: float,
) -> Sight:
    """Show the network a tile around the pixel, and ask where its answer is from."""
    from napari_seg.models.looking import find_attention, gradient_of

    network = checkpoint.network
    margin = int(getattr(network, "margin", 0))
    window, centre = _window_around(network, view, pixel, margin)
    tile = view.read(window)
    attention = find_attention(network)
    spot = (centre[0] - margin, centre[1] - margin)
    answer, gradient = gradient_of(network, tile, spot, attention)
    looked = None
    if attention is not None:
        looked = attention.map_of(centre, tile.shape[1:])
    inner, cropped = _inside(window, view.axes)
    place, back = _place_in_image(inner, view.axes)

    def shown(found: Array) -> Array:
        spans = [
            a.source_span(p.start, p.stop) for a, p in zip(back, place, strict=True)
        ]
        rows, columns = (
            slice(low - part.start, high - part.start)
            for (low, high), part in zip(spans, inner, strict=True)
        )
        part = resample(found[cropped][rows, columns], back, place)
        return part / max(float(part.max()), 1e-30)

    return Sight(
        shown(gradient),
        None if looked is None else shown(looked),
        place,
        checkpoint.card.classes[answer],
        _reach(gradient, centre) * view.axes[0].step,
        diameter_px,
    )


def _window_around(
    network: nn.Module, view: PlaneView, pixel: tuple[float, float], margin: int
) -> tuple[tuple[slice, slice], tuple[int, int]]:
    """Return a tile of a legal size around a pixel of the image, and the pixel in it.

    Poolings fall where they do in a run, whose tiles begin at the corner.
    """
    from napari_seg.models.averaged import legal_size

    step = int(getattr(network, "divisor", 1))
    side = legal_size(network, SIDE_PX)
    parts, centre = [], []
    for at, axis in zip(pixel, view.axes, strict=True):
        here = min(int((at + 0.5) / axis.step), axis.target - 1)
        start = (here - (side - 2 * margin) // 2) // step * step - margin
        parts.append(slice(start, start + side))
        centre.append(here - start)
    return (parts[0], parts[1]), (centre[0], centre[1])


def _inside(
    window: tuple[slice, slice], axes: tuple[Axis, Axis]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Part of a window that is no mirror image: in the plane, and in the window."""
    plane, own = [], []
    for part, axis in zip(window, axes, strict=True):
        low, high = max(0, part.start), min(axis.target, part.stop)
        plane.append(slice(low, high))
        own.append(slice(low - part.start, high - part.start))
    return (plane[0], plane[1]), (own[0], own[1])


def _place_in_image(
    inner: tuple[slice, slice], axes: tuple[Axis, Axis]
) -> tuple[tuple[slice, slice], tuple[Axis, Axis]]:
    """Rows and columns of the image that follow from this part of the network's."""
    places, back = [], []
    for part, axis in zip(inner, axes, strict=True):
        to_image = Axis(axis.target, axis.source)
        low = math.floor(part.start * axis.step)
        high = math.ceil(part.stop * axis.step)
        while to_image.source_span(low, low + 1)[0] < part.start:
            low += 1
        while to_image.source_span(high - 1, high)[1] > part.stop:
            high -= 1
        places.append(slice(low, high))
        back.append(to_image)
    return (places[0], places[1]), (back[0], back[1])


def _reach(gradient: Array, centre: tuple[int, int]) -> float:
    """Radius in which `MOST` of the gradient lies, in its pixels."""
    rows, columns = np.ogrid[: gradient.shape[0], : gradient.shape[1]]
    distance = np.hypot(rows - centre[0], columns - centre[1]).ravel()
    order = np.argsort(distance)
    share = np.cumsum(gradient.ravel()[order], dtype=np.float64)
    if share[-1] <= 0:
        return 0.0
    at = int(np.searchsorted(share, MOST * share[-1]))
    return float(distance[order[min(at, len(order) - 1)]])
