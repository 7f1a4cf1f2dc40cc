"""What every worker has to know of a run over a volume; small, and made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.data.volume_run import VolumeRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.instances import InstanceParams
    from napari_seg.inference.grid import Grid, Index
    from napari_seg.inference.params import SegmentParams

Ranges = tuple[tuple[tuple[float, float], ...], ...]
_STRIDE = 8192
"""How far apart the ids of two cells begin while the objects are not joined."""


@dataclass(frozen=True)
class VolumePlan:
    """Everything that decides on the result, the same for all blocks."""

    path: str
    """The volume; empty where it is an array of this process."""
    axes: str
    """Of the volume."""
    shape: tuple[int, ...]
    """Of its finest level."""
    out: str
    """OME-Zarr labels."""
    probabilities: str | None
    """OME-Zarr probabilities, if they are wanted."""
    model: tuple[str, ...]
    """Names or files; several are averaged."""
    sha256: str
    """Hash of the checkpoint."""
    params: SegmentParams
    zoom: float
    """Network pixels per voxel within planes."""
    z_zoom: float
    """The same across planes."""
    is_half: bool
    """Whether processors compute in half precision."""
    ranges: Ranges
    """Intensity range of each frame and channel."""
    instances: InstanceParams
    grid: Grid
    ndim: int
    """Whether planes (2) or boxes of them (3) go through the network."""
    finds_objects: bool
    """Whether the network finds objects instead of classifying pixels."""
    token: str
    """Another one for each run."""

    @property
    def run(self) -> VolumeRun:
        """Folder of what is done."""
        return VolumeRun(Path(self.out))

    @property
    def label_axes(self) -> str:
        """Axes of the labels, in the order T, Z, Y, X."""
        return "".join(a for a in "TZYX" if a in self.axes)

    def index(self, t: int, box: tuple[slice, slice, slice]) -> tuple[slice | int, ...]:
        """Return where a box of a frame lies in the labels."""
        parts = dict(zip("ZYX", box, strict=True)) | {"T": t}
        return tuple(parts[axis] for axis in self.label_axes)

    def put(self, target: Any, cell: Index, box: NDArray[Any]) -> None:
        """Write a cell (planes, rows, columns)."""
        part = box if "Z" in self.axes else box[0]
        target[self.index(cell[0], self.grid.core(cell))] = part

    def take(self, source: Any, cell: Index) -> NDArray[Any]:
        """Read a cell (planes, rows, columns)."""
        part = np.asarray(source[self.index(cell[0], self.grid.core(cell))])
        return part if "Z" in self.axes else part[None]

    def first_id(self, cell: Index, largest: int) -> int:
        """Return where the ids of a cell begin as long as they are not joined."""
        return (self.grid.cell_number(cell) * _STRIDE) % (largest // 2)
