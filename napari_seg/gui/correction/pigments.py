"""What is drawn over the labels, as one small number and one colour for each pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

NONE = 0
PLUS = 1
"""A stroke over what belongs to the object."""
MINUS = 2
"""A stroke over what does not."""
_FIRST_PART = 3
"""From here on the strokes of a split, and then the fills that go with them."""
NEUTRAL = 20
"""A line across objects, or the border of a rectangle."""
GAIN = 21
"""Pixels an edit would add to an object."""
LOSS, LOSS_GAP = 22, 23
"""Pixels it would take away: stripes, and what is between them."""
OUTLINE = 24
"""The border the object would have."""
_PARTS: tuple[tuple[float, float, float], ...] = (
    (0.25, 0.55, 1.0),
    (1.0, 0.6, 0.1),
    (0.95, 0.3, 0.9),
    (0.1, 0.85, 0.85),
    (0.95, 0.9, 0.2),
    (0.65, 0.45, 0.95),
)
"""Told apart with any colour vision, and neither the green nor the red of +/-."""
_STRIPE_PX = 3


def part_stroke(index: int) -> int:
    """Return the pigment of the stroke over one part of a split."""
    return _FIRST_PART + index % len(_PARTS)


def part_fill(index: int) -> int:
    """Return the pigment of what would become that part."""
    return _FIRST_PART + len(_PARTS) + index % len(_PARTS)


def part_of(pigment: int) -> int | None:
    """Return which part of a split a stroke is for, or None."""
    index = pigment - _FIRST_PART
    return index if 0 <= index < len(_PARTS) else None


def pigment_colormap() -> DirectLabelColormap:
    """Return the colours of all pigments; anything else is see-through."""
    clear = (0.0, 0.0, 0.0, 0.0)
    colours: dict[int | None, tuple[float, ...]] = {
        None: clear,
        NONE: clear,
        PLUS: (0.15, 0.9, 0.3, 1.0),
        MINUS: (1.0, 0.05, 0.05, 1.0),
        NEUTRAL: (1.0, 1.0, 1.0, 1.0),
        GAIN: (0.15, 0.9, 0.3, 0.45),
        LOSS: (1.0, 0.25, 0.25, 0.75),
        LOSS_GAP: (0.0, 0.0, 0.0, 0.5),
        OUTLINE: (1.0, 0.9, 0.1, 1.0),
    }
    for index, colour in enumerate(_PARTS):
        colours[part_stroke(index)] = (*colour, 1.0)
        colours[part_fill(index)] = (*colour, 0.55)
    return DirectLabelColormap(color_dict=colours)


def change_pigments(
    before: NDArray[np.bool_], after: NDArray[np.bool_], axes: Sequence[int]
) -> NDArray[np.uint8]:
    """Show an object that changes: gains, stripes over losses, the new outline.

    Parameters
    ----------
    before, after : ndarray of bool, same shape
        The object.
    axes : sequence of int, length 2
        Those on the screen: stripes and outline are in their plane.
    """
    pigments = np.zeros(before.shape, np.uint8)
    pigments[after & ~before] = GAIN
    grids = np.ix_(*(np.arange(size) for size in before.shape))
    stripes = (grids[axes[0]] + grids[axes[1]]) % (2 * _STRIPE_PX) < _STRIPE_PX
    lost = before & ~after
    pigments[lost] = np.where(
        np.broadcast_to(stripes, before.shape)[lost], LOSS, LOSS_GAP
    )
    pigments[outline(after, axes)] = OUTLINE
    return pigments


def part_pigments(
    after: NDArray[np.integer],
    mask: NDArray[np.bool_],
    parts: Mapping[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Show several objects that change at once, each in a colour of its own.

    Parameters
    ----------
    after : ndarray of int, one for each pixel of the mask
        Ids after the change, 0 where an object goes.
    mask : ndarray of bool
        Pixels that change.
    parts : mapping of int to int, optional
        Which part an id is, where that is known.
    """
    pigments = np.zeros(mask.shape, np.uint8)
    ids = np.unique(after)
    known = parts or {}
    free = (i for i in count() if i not in known.values())
    fills = [
        part_fill(known[label] if label in known else next(free)) if label else LOSS
        for label in ids.tolist()
    ]
    if len(ids):
        pigments[mask] = np.array(fills, np.uint8)[np.searchsorted(ids, after)]
    return pigments


def outline(mask: NDArray[np.bool_], axes: Sequence[int]) -> NDArray[np.bool_]:
    """Return the pixels of a mask with a neighbour outside it.

    What lies beyond the array is taken for the same, so that a mask that was cut off
    has no line along the cut.

    Parameters
    ----------
    mask : ndarray of bool
        Any number of axes.
    axes : sequence of int
        Along which neighbours count.
    """
    inner = mask.copy()
    for axis in axes:
        a = np.moveaxis(mask, axis, 0)
        kept = np.moveaxis(inner, axis, 0)
        kept[1:] &= a[:-1]
        kept[:-1] &= a[1:]
    return mask & ~inner
