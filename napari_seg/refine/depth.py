"""How far inside or outside of a mask each voxel lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from edt import edt
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = 30_000
"""Up to this many voxels a thread of its own costs more than it saves."""


def depth_inside(
    mask: NDArray[np.bool_], spacing: Sequence[float]
) -> NDArray[np.floating]:
    """Return the distance to the nearest voxel outside the mask, or infinity."""
    if mask.size > SMALL:
        return np.asarray(edt(mask, anisotropy=tuple(spacing)))
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=tuple(spacing)))


def signed_depth(
    mask: NDArray[np.bool_], spacing: Sequence[float]
) -> NDArray[np.float32]:
    """Return the distance to the outline, negative outside, in units of spacing."""
    signed = np.where(
        mask, depth_inside(mask, spacing) - 0.5, 0.5 - depth_inside(~mask, spacing)
    )
    # Without any outline all distances are infinite.
    most = float(np.linalg.norm(np.multiply(mask.shape, spacing)))
    return np.asarray(np.clip(signed, -most, most), np.float32)
