"""The labels that are weighed: their array, axes and pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.errors import LabelsError
from napari_seg.gui.correction.target import labels_axes, repeated_axis
from napari_seg.gui.layers import pixel_size_um
from napari_seg.gui.view import displayed_axes, seen_corners, shown_point
from napari_seg.imaging.slabs import Box


@dataclass(frozen=True, eq=False)
class Grid:
    """A labels layer as the weights see it.

    Parameters
    ----------
    layer : Labels
        What the user sees.
    labels : array of int
        Its data, without an axis along which they only repeat.
    axes : str
        One letter of T C Z Y X for each axis of `labels`.
    repeated : int or None
        Axis of the layer that `labels` lacks.
    """

    layer: Labels
    labels: Any
    axes: str
    repeated: int | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        return tuple(int(n) for n in self.labels.shape)

    @property
    def has_planes(self) -> bool:
        """Whether distances can be measured through planes, too."""
        return "Z" in self.axes and self.shape[self.axes.index("Z")] > 1

    @property
    def pixel_um(self) -> float | None:
        """Width of a pixel in micrometres, None if the layer has no unit of length."""
        letters = self._layer_axes()
        sizes = pixel_size_um(self.layer, letters)
        if sizes is None:
            return None
        return dict(zip([a for a in letters if a != "C"], sizes, strict=True))["X"]

    def spatial(self, is_volume: bool) -> tuple[int, ...]:
        """Return the axes along which distances are measured."""
        letters = "ZYX" if is_volume and self.has_planes else "YX"
        return tuple(i for i, axis in enumerate(self.axes) if axis in letters)

    def spacing(self, is_volume: bool) -> tuple[float, ...] | None:
        """Return the pixel's sides in pixel widths; None if all are 1."""
        kept = [i for i in range(self.layer.ndim) if i != self.repeated]
        scale = np.abs(np.asarray(self.layer.scale, float))[kept]
        unit = [
            _in_um(self.layer.units[i]) if self.pixel_um is not None else 1.0
            for i in kept
        ]
        width = self.axes.index("X")
        sides = scale * unit / (scale[width] * unit[width])
        found = tuple(round(float(sides[a]), 6) for a in self.spatial(is_volume))
        return None if set(found) == {1.0} else found

    def to_grid(self, box: Box) -> Box:
        """Return a box of the layer's data without the repeated axis."""
        return tuple(part for axis, part in enumerate(box) if axis != self.repeated)

    def view(self, viewer: ViewerModel) -> Box:
        """Return what is seen of the labels."""
        shown = displayed_axes(viewer, self.layer)
        point = np.round(shown_point(viewer, self.layer))
        low, high = np.asarray(seen_corners(viewer, self.layer))
        box = []
        for axis, size in enumerate(self.layer.data.shape):
            start, stop = (
                (low[axis], high[axis]) if axis in shown else [point[axis]] * 2
            )
            first = int(np.clip(start, 0, size - 1))
            box.append(slice(first, int(np.clip(stop, first, size - 1)) + 1))
        return self.to_grid(tuple(box))

    def planes(self, box: Box) -> Box:
        """Return the whole planes that a box is in."""
        return tuple(
            slice(0, size) if axis in "YX" else part
            for axis, size, part in zip(self.axes, self.shape, box, strict=True)
        )

    def _layer_axes(self) -> str:
        letters = list(self.axes)
        if self.repeated is not None:
            letters.insert(self.repeated, "C")
        return "".join(letters)


def make_grid(layer: Labels) -> Grid:
    """Find out what the axes of a labels layer are.

    Raises
    ------
    NapariSegError
        If its weights cannot be shown.
    """
    if layer.multiscale:
        raise LabelsError(
            "Multiscale labels cannot be weighed",
            f"layer {layer.name!r}",
            "Choose their full resolution in the list of labels on the Correct tab.",
        )
    if 0 in layer.data.shape:
        raise LabelsError("The labels are empty", f"shape {layer.data.shape}")
    letters = labels_axes(layer)
    if not {"Y", "X"} <= set(letters):
        raise LabelsError(
            "The labels have no rows and columns",
            f"axes {letters}",
            "Name the axes T, Z, Y, X in the layer's axis labels.",
        )
    repeated = repeated_axis(layer)
    if repeated is None:
        return Grid(layer, layer.data, letters, None)
    kept = [a for a in range(layer.ndim) if a != repeated]
    axes = "".join(letters[a] for a in kept)
    if letters[repeated] != "C":
        # Guessed without knowing that what repeats are channels.
        names = "".join(str(layer.axis_labels[a])[:1].upper() for a in kept)
        is_named = {"Y", "X"} <= set(names) <= set("TZYX")
        axes = names if is_named else "TZYX"[-len(kept) :]
    return Grid(layer, layer.data[(slice(None),) * repeated + (0,)], axes, repeated)


def _in_um(unit: Any) -> float:
    if not unit.is_compatible_with("micrometer"):
        return 1.0
    return float((1 * unit).to("micrometer").magnitude)
