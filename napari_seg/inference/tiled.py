"""A network that is run on tiles: which tiles suit it."""

from __future__ import annotations

from collections.abc import Sequence

from napari_seg.imaging.tiling import Geometry, choose_geometry
from napari_seg.inference.resident import Resident

OVERLAP_PX = 32
"""Rim of a padded network's output that is not trusted beside another tile."""
RIM_PX = 16
"""Mirrored pixels that a padded network sees beyond the edges of the image."""
TILE_PLANES = 32
"""Wanted planes of a tile of a network in three dimensions."""
Z_OVERLAP = 4
Z_RIM = 4
"""The same across planes."""


class Tiled(Resident):
    """Chooses the tiles of planes and frames; see `Resident`."""

    def geometry(
        self,
        shape: Sequence[int],
        tile_px: int,
        overlap_px: int = OVERLAP_PX,
        rim_px: int = RIM_PX,
    ) -> tuple[Geometry, ...]:
        """Return legal, economical tiles for a plane or a frame.

        Parameters
        ----------
        shape : sequence of int
            ([Planes,] rows, columns) in the resolution of the network.
        tile_px : int
            Wanted input side of rows and columns.
        overlap_px : int, optional
            For padded networks: output rim thrown away between tiles.
        rim_px : int, optional
            For padded networks: mirrored pixels seen beyond the edges of the plane.

        Returns
        -------
        tuple of Geometry
            For each axis of the shape.
        """
        rim_px = 0 if self.margin else rim_px
        overlap_px = 0 if self.margin else overlap_px
        smallest = self.legal_size(1)
        sides = (
            choose_geometry(
                int(size),
                tile_px,
                divisor=self.divisor,
                margin=self.margin,
                overlap=overlap_px,
                phase=smallest % self.divisor,
                smallest=smallest,
                rim=rim_px,
            )
            for size in shape[-2:]
        )
        if self.ndim == 2:
            return tuple(sides)
        return (self._planes(int(shape[0]), min(Z_RIM, rim_px)), *sides)

    def _planes(self, depth: int, rim: int) -> Geometry:
        """Return tiles across the planes of a frame."""
        smallest = self.legal_depth(1)
        return choose_geometry(
            depth,
            TILE_PLANES,
            divisor=self.z_divisor,
            margin=self.margin,
            overlap=0 if self.margin else Z_OVERLAP,
            phase=smallest % self.z_divisor,
            smallest=smallest,
            rim=rim,
        )
