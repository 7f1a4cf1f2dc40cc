"""What the user has called correct in a labels layer: objects, and whole planes."""

from __future__ import annotations

from napari.layers import Labels

from napari_seg.gui.correction.locks import LOCKED_KEY
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.training.pairing import LayerPair
from napari_seg.gui.training.settings import Counts
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.training.checked import Checked

PLANES_KEY = "correct_planes"
"""Where the planes are, in the layer's own metadata: pixels along T and Z."""

Plane = tuple[int, ...]


def correct_ids(layer: Labels) -> frozenset[int]:
    """Return the objects that are locked."""
    own = layer.metadata.get(METADATA_KEY, {})
    return frozenset(int(i) for i in own.get(LOCKED_KEY, ()))


def correct_planes(layer: Labels) -> set[Plane]:
    """Return the planes that were marked."""
    own = layer.metadata.get(METADATA_KEY, {})
    return {tuple(int(i) for i in plane) for plane in own.get(PLANES_KEY, ())}


def called_correct(layer: Labels, axes: str) -> set[PlaneIndex]:
    """Return the planes that were marked, by frame and plane."""
    letters = [letter.lower() for letter in "TZ" if letter in axes]
    return {
        PlaneIndex(**dict(zip(letters, plane, strict=True)))
        for plane in correct_planes(layer)
        if len(plane) == len(letters)
    }


def toggle_plane(layer: Labels, plane: Plane) -> bool:
    """Mark a plane as correct, or take the mark back; return whether it is marked."""
    planes = correct_planes(layer) ^ {plane}
    own = layer.metadata.setdefault(METADATA_KEY, {})
    own[PLANES_KEY] = sorted(planes)
    return plane in planes


def checked_part(layer: Labels, pair: LayerPair, counts: Counts) -> Checked | None:
    """Return what of a layer's labels counts, as the core wants it."""
    if counts is Counts.ALL:
        return None
    if counts is Counts.OBJECTS:
        return Checked(ids=correct_ids(layer))
    numbers = {
        pair.number_of(plane)
        for plane in correct_planes(layer)
        if len(plane) == len(pair.plane_axes)
    }
    return Checked(planes=frozenset(n for n in numbers if n is not None))
