"""From class probabilities to instances, touching cells separated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from napari_seg.errors import LabelsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.types import Labels


@dataclass(frozen=True)
class InstanceParams:
    """How probabilities become instances."""

    threshold: float = 0.5
    """Foreground probability (0..1) from which a pixel belongs to an object."""
    seed_threshold: float = 0.5
    """Interior probability (0..1) from which a pixel can seed an object; raise it to split touching objects, lower it to keep faint ones whole."""  # noqa: E501
    min_size_px: float = 0.0
    """Objects with fewer pixels (voxels) than this are removed."""
    fill_holes: bool = True
    """Fill background that lies inside one object."""


def probabilities_to_labels(
    probabilities: NDArray[np.floating],
    classes: Sequence[str],
    params: InstanceParams | None = None,
) -> Labels:
    """Separate objects by a watershed from their interiors.

    Parameters
    ----------
    probabilities : ndarray of float, shape (K, Y, X) or (K, Z, Y, X)
        Class probabilities that sum to 1; class 0 is background.
    classes : sequence of str
        Names of the K classes. With an ``"interior"`` among them, interiors seed the
        objects and grow into the rest of the foreground; otherwise all foreground is
        interior.
    params : InstanceParams, optional

    Returns
    -------
    ndarray of int32, shape (Y, X) or (Z, Y, X)
        Ids 1..N without gaps; 0 is background. A foreground component without a
        seed of its own is one object.
    """
    params = params or InstanceParams()
    if len(classes) != probabilities.shape[0]:
        raise LabelsError(
            "Every class needs one probability plane",
            f"{probabilities.shape[0]} planes for the classes {tuple(classes)}",
        )
    foreground_probability = 1.0 - probabilities[0]
    foreground = foreground_probability > params.threshold
    interior = (
        probabilities[list(classes).index("interior")]
        if "interior" in classes
        else foreground_probability
    )
    seeds = _seeds(interior, foreground, params.seed_threshold)
    labels = watershed(-interior, seeds, mask=foreground).astype(np.int32, copy=False)
    if params.fill_holes:
        labels = fill_object_holes(labels)
    return remove_small(labels, params.min_size_px)


def _seeds(
    interior: NDArray[np.floating], foreground: NDArray[np.bool_], threshold: float
) -> Labels:
    seeds, n_seeds = ndimage.label((interior > threshold) & foreground)
    components, n_components = ndimage.label(foreground)
    seeded = np.zeros(n_components + 1, bool)
    seeded[components[seeds > 0]] = True
    seeded[0] = True
    numbers = np.zeros(n_components + 1, np.int32)
    numbers[~seeded] = n_seeds + 1 + np.arange(np.count_nonzero(~seeded))
    return (seeds + numbers[components]).astype(np.int32, copy=False)


def fill_object_holes(labels: Labels) -> Labels:
    """Give background that touches one object only, and no border, to that object.

    Parameters
    ----------
    labels : ndarray of int32, any shape

    Returns
    -------
    ndarray of int32
        A copy where something was filled, else the input.
    """
    if not labels.size:
        return labels
    holes, n_holes = ndimage.label(labels == 0)
    inner = np.ones(n_holes + 1, bool)
    inner[0] = False
    for axis in range(labels.ndim):
        inner[np.take(holes, [0, -1], axis=axis)] = False
    if not inner.any():
        return labels
    lowest = np.full(n_holes + 1, np.iinfo(np.int32).max, np.int32)
    highest = np.zeros(n_holes + 1, np.int32)
    for axis in range(labels.ndim):
        hole, label = np.moveaxis(holes, axis, 0), np.moveaxis(labels, axis, 0)
        for inside, beside in ((hole[:-1], label[1:]), (hole[1:], label[:-1])):
            meets = inner[inside] & (beside > 0)
            np.minimum.at(lowest, inside[meets], beside[meets])
            np.maximum.at(highest, inside[meets], beside[meets])
    enclosed = inner & (lowest == highest)
    return np.where(enclosed[holes], lowest[holes], labels)


def remove_small(labels: Labels, min_size_px: float) -> Labels:
    """Drop objects below a size and renumber the rest 1..N.

    Parameters
    ----------
    labels : ndarray of int32, any shape
    min_size_px : float
        Smallest number of pixels kept.

    Returns
    -------
    ndarray of int32, same shape
    """
    sizes = np.bincount(labels.ravel(), minlength=1)
    keep = sizes >= max(min_size_px, 1)
    keep[0] = False
    table = np.zeros(len(sizes), np.int32)
    table[keep] = 1 + np.arange(np.count_nonzero(keep), dtype=np.int32)
    return table[labels]
