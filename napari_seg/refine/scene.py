"""All that is known in a local box, and how much each kind of evidence counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box
    from napari_seg.refine.strokes import Stroke


@dataclass(frozen=True)
class Weights:
    """How much each kind of evidence counts."""

    appearance: float = 1.0
    """Of the intensity model's log-odds."""
    texture_radius: float = 4.0
    """Radius of an object, in units of spacing, from which its texture is looked at."""
    shape: float = 2.0
    """Log-odds far from the outline of the region that the strokes suggest."""
    network: float = 1.0
    """Of the log-odds of the network's probabilities."""
    correction: float = 0.5
    """Log-odds that the surroundings of a stroke must reach on the stroke's side."""
    correction_reach: float = 4.0
    """Distance at which a stroke's influence has faded, in units of spacing."""
    correction_range: float = 0.5
    """Difference of intensity at which it has faded, in units of the spread."""
    whole_softness: float = 0.5
    """How soft the outline of a whole object is that was sought, in its radii."""
    outset: float = 0.2
    """How far outside the steepest place the outline of a new object is expected."""
    rim_px: float = 3.0
    """A stroke this near to the outline moves the outline, ..."""
    rim_share: float = 0.8
    """... or at this share of the object's radius."""
    shift_all: float = 0.7
    """Share of that shift which the whole outline follows at first; ..."""
    shift_most: float = 2.0
    """... but not by much more than this many voxels; ..."""
    shift_decay: float = 0.6
    """... later ones mend places: power of the number of strokes that lessens it."""
    shift_strokes: int = 5
    """After so many strokes a further one moves nothing far from itself."""
    shift_reach: float = 0.5
    """How far the rest reaches, in radii of the object."""
    sharpness: float = 1.0
    """Distance from a corrected outline at which its evidence is strong."""
    mend_softness: float = 0.5
    """Near a stroke the outline is less sure, by this share of its distance, ..."""
    mend_reach: float = 4.0
    """... and within this many distances; no correction reaches farther."""
    rim_trust: float = 0.15
    """Weight of the intensity model once the outline is being corrected."""
    click_reach: float = 0.6
    """A stroke far from the outline claims this share of its distance to it, ..."""
    part_thickness: float = 1.0
    """... or that of the object's radius, whichever is less; ..."""
    part_reach: float = 2.5
    """... and the part that it adds or takes is no larger than what lies within that
    times this around it."""
    instance_shape: float = 3.0
    """Log-odds far from its outline, as a multiple of `shape`."""
    instance_softness: float = 0.5
    """Distance from the outline of a network's instance at which it is strong."""
    instance_trust: float = 1.0
    """Weight of the intensity model there."""
    smoothness: float = 1.8
    """Cost of a unit of outline where the image is flat."""
    contrast: float = 0.4
    """Step of intensity that makes an outline cheap, in units of the spread."""


@dataclass(frozen=True)
class Scene:
    """All that is known in a box.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *grid)
        Channels scaled to unit spread.
    states : ndarray of int8, shape (*grid)
        Strokes, and what is forbidden ground.
    strokes : list of Stroke
        In the box's coordinates, oldest first.
    previous : ndarray of bool, shape (*grid)
        The object before the last stroke.
    network : ndarray of float32, shape (*grid), or None
        Log-odds of the network.
    spacing : tuple of float
        Voxel size in units of its shortest side.
    instance : ndarray of float32, shape (*grid), or None
        Share of each voxel in what the network takes for the object under the last
        stroke: 0 or 1, or between where the scene was shrunk.
    sought : ndarray of bool, shape (*grid), optional
        What looks like the whole object, where the strokes have it sought (anew).
    texture : ndarray of float32, shape (*grid), optional
        How busy the image is, of unit spread.
    """

    image: NDArray[np.float32]
    states: NDArray[np.int8]
    strokes: Sequence[Stroke]
    previous: NDArray[np.bool_]
    network: NDArray[np.float32] | None
    spacing: tuple[float, ...]
    instance: NDArray[np.float32] | None = None
    sought: NDArray[np.bool_] | None = None
    texture: NDArray[np.float32] | None = None

    @cached_property
    def looks(self) -> NDArray[np.float32]:
        """What sides are told apart by: channels and texture, (C or C + 1, *grid)."""
        if self.texture is None:
            return self.image
        return np.concatenate([self.image, self.texture[None]])


@dataclass(frozen=True)
class CutParams:
    """Settings of a graph cut."""

    weights: Weights = field(default_factory=Weights)
    """How much each kind of evidence counts."""
    diagonal: bool | None = None
    """8 or 26 neighbours instead of 4 or 6; None: 8 in 2D, 6 in 3D."""
    margin_px: float = 24.0
    """Width of the first box around strokes and object."""
    wider: tuple[float, ...] = (3.0, 9.0, 27.0)
    """A new object is also sought in windows whose margins are larger by this; in the
    last only if it goes on beyond the others."""
    pad: float = 0.4
    """Margin around what is seen there, as a share of its size."""
    growth: float = 0.5
    """Share of its length by which a box grows on a side that the cut touches, ..."""
    most_growth: float = 2.3
    """... at most to this many times its size, ..."""
    new_voxels: int = 1_500_000
    """... and the box of a new object at most to this size, ..."""
    max_voxels: int = 6_000_000
    """... and never beyond this."""
    coarse_voxels: int = 12_000
    """Larger boxes are cut coarsely first, then exactly around that surface."""
    max_hole: float = 0.05
    """Holes up to this share of the object are filled if no stroke speaks for them."""


@dataclass(frozen=True)
class Known:
    """What is known about an object besides strokes; each is read box by box.

    Parameters
    ----------
    previous : callable
        Object before the last stroke, bool.
    forbidden : callable
        Ground of locked and other objects, bool.
    network : callable
        Log-odds of a network, or None.
    core : callable, optional
        Its probability of the inside of objects, or None.
    """

    previous: Callable[[Box], NDArray[np.bool_]]
    forbidden: Callable[[Box], NDArray[np.bool_]]
    network: Callable[[Box], NDArray[np.float32] | None]
    core: Callable[[Box], NDArray[np.float32] | None] = lambda _: None
