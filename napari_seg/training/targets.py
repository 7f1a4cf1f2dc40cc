"""What a network learns from labels: class maps and loss weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import edt
import numpy as np

from napari_seg.imaging.gaps import open_gaps
from napari_seg.imaging.weightmap import BorderWeights

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "INTERIOR_BORDER",
    "LOSS_WEIGHTS",
    "interior_border_map",
    "object_classes",
    "open_gaps",
]

LOSS_WEIGHTS = BorderWeights(balance_classes=False, part_touching=True)
"""What the loss weighs with, but for w0 and sigma; the overlay shows just this. Classes
are balanced over all training images instead, see `sampling.py`."""

INTERIOR_BORDER = ("background", "interior", "border")
"""Classes of an instance network: each object is an interior inside a rim."""
FOREGROUND_CLASSES = ("background", "foreground")
"""Classes of the U-Net paper."""


def object_classes(target: str) -> tuple[str, ...]:
    """Background and the classes that objects consist of, by target."""
    return INTERIOR_BORDER if target == "interior-border" else FOREGROUND_CLASSES


def interior_border_map(
    labels: NDArray[np.integer],
    *,
    border_px: float = 2.0,
    spacing: tuple[float, ...] | None = None,
) -> NDArray[np.int64]:
    """Class of every pixel: background 0, interior 1, border 2.

    Parameters
    ----------
    labels : ndarray of int, shape (Y, X) or (Z, Y, X)
        Instance ids, 0 is background.
    border_px : float
        Thickness of the rim inside each object. Objects too thin for it keep their
        inner half as interior, so that none is without a seed.
    spacing : tuple of float, optional
        Distance between pixels along each axis in pixels, by default 1. Where planes
        are farther apart than the rim is thick, none lies across them.

    Returns
    -------
    ndarray of int64, same shape

    Notes
    -----
    With the rim inside the objects, touching cells are parted by two rims, and the
    object is the union of both classes. The image's edge is no border.
    """
    steps = spacing or (1.0,) * labels.ndim
    depth = edt.edt(np.ascontiguousarray(labels, np.int32), anisotropy=steps)
    # A pixel's depth is its distance to the nearest pixel of something else; the
    # outermost pixels have 1.
    deepest = np.zeros(int(labels.max(initial=0)) + 1, np.float32)
    np.maximum.at(deepest, labels.ravel(), depth.ravel())
    rim = np.minimum(border_px, deepest[labels] / 2)
    return np.where(labels > 0, np.where(depth > rim, 1, 2), 0).astype(np.int64)
