"""Probabilities of tiles, in steps as large as the memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_seg.errors import CheckpointError
from napari_seg.imaging.instances import InstanceParams, probabilities_to_labels
from napari_seg.imaging.stuff import part_stuff
from napari_seg.imaging.tiling import (
    Geometry,
    Slices,
    Tile,
    choose_geometry,
    plan_tiles,
)
from napari_seg.inference.device import Device, is_out_of_memory
from napari_seg.inference.precision import half_type
from napari_seg.inference.resident import Resident
from napari_seg.inference.view import LOOK_PLANES, Readable, TileView
from napari_seg.models.averaged import ORIENTATIONS, Averaged, fast_layout

if TYPE_CHECKING:
    from napari_seg.models.card import Card

Array = NDArray[np.float32]
OVERLAP_PX = 32
"""Rim of a padded network's output that is not trusted beside another tile."""
RIM_PX = 16
"""Mirrored pixels that a padded network sees beyond the edges of the image."""
TILE_PLANES = 32
"""Wanted planes of a tile of a network in three dimensions."""
Z_OVERLAP = 4
Z_RIM = 4
"""The same across planes."""
_SMALLEST_TILE_PX = 32
_LOOK_PX = 256
_ALL = slice(None)
_AUTO_BATCH = {"cpu": 1, "mps": 4, "cuda": 16}


class Predictor(Resident):
    """Runs a network on tiles, with as little memory as the device has.

    In half precision where that is faster, see `half_type`.

    Parameters
    ----------
    network : nn.Module
        Maps (N, C, [planes,] rows, columns) to ``{"out": logits}``; has `divisor` and
        `margin`.
    device : Device
        Where to compute. The network itself stays where it is: a copy is used.
    in_channels : int
        Channels of the input.
    ndim : {2, 3}
        Spatial dimensions of the input.
    batch : int, optional
        Tiles at once; 0 chooses by device.
    tta : str, optional
        Orientations of each tile over which probabilities are averaged, a name of
        `ORIENTATIONS`.
    """

    def __init__(
        self,
        network: nn.Module,
        device: Device,
        *,
        in_channels: int = 1,
        ndim: int = 2,
        batch: int = 0,
        tta: str = "none",
    ) -> None:
        super().__init__(
            network,
            device,
            in_channels=in_channels,
            ndim=ndim,
            wrap=None if tta == "none" else partial(_turned, tta),
        )
        kind = device.name.split(":")[0]
        self.batch = batch or _AUTO_BATCH.get(kind, 1)
        self._tile_limit: int | None = None
        self.half = torch.float16 if kind == "cuda" else half_type(kind, network)

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

    def look(
        self, part: Readable, shape: tuple[int, int], card: Card
    ) -> tuple[NDArray[np.int32], Array]:
        """Segment a small image at once.

        Parameters
        ----------
        part : object with `read`
            The image; for a network in three dimensions `LOOK_PLANES` planes of it.
        shape : tuple of int
            Its rows and columns.
        card : Card
            Classes and thresholds.

        Returns
        -------
        labels : ndarray of int32, shape (rows, columns)
        certainty : ndarray of float32, same shape
            How far the network is from undecided, 0..1.
        """
        result: Array | None = None
        with self._one_view():  # many would cost much, and tell the size no better
            # Of a network in three dimensions one plane among its neighbours.
            whole = (*(LOOK_PLANES,) * (self.ndim - 2), *shape)
            for tile in plan_tiles(whole, self.geometry(whole, _LOOK_PX)):
                _, found = next(self.predict_tiles(part, [tile]))
                if result is None:
                    result = np.empty((len(found), *whole), np.float32)
                result[(slice(None), *tile.write)] = found
        assert result is not None  # a plan has at least one tile
        if self.ndim == 3:
            result = np.ascontiguousarray(result[:, LOOK_PLANES // 2])
        params = InstanceParams(card.threshold, card.seed_threshold)
        result, _ = part_stuff(result, len(card.stuff))
        labels = probabilities_to_labels(result, card.object_classes, params)
        return labels, np.abs(1 - 2 * result[0])

    def predict_tiles(
        self, view: Readable, tiles: Sequence[Tile]
    ) -> Iterator[tuple[Tile, Array]]:
        """Read tiles and predict what is kept of each.

        Parameters
        ----------
        view : object with `read`
            The image.
        tiles : sequence of Tile
            Of one plan.

        Yields
        ------
        tile : Tile
        probabilities : ndarray of float32, shape (K, [planes,] rows, columns)
            Of ``tile.write``.
        """
        yield from self.predict_read(tiles, read_tiles(view, tiles))

    def predict_read(
        self, tiles: Sequence[Tile], inputs: Array
    ) -> Iterator[tuple[Tile, Array]]:
        """Predict what is kept of tiles that are read already; see `predict_tiles`."""
        keep = tuple(
            slice(min(s.start for s in crops), max(s.stop for s in crops))
            for crops in zip(*(tile.crop for tile in tiles), strict=True)
        )
        for tile, found in zip(tiles, self.predict(inputs, keep), strict=True):
            crop = (
                slice(c.start - k.start, c.stop - k.start)
                for c, k in zip(tile.crop, keep, strict=True)
            )
            yield tile, found[(slice(None), *crop)]

    def predict(self, inputs: Array, keep: Slices | None = None) -> Array:
        """Return class probabilities of normalised tiles.

        Parameters
        ----------
        inputs : ndarray of float32, shape (N, C, [planes,] rows, columns)
            Tiles of a legal size.
        keep : tuple of slice, optional
            Window of the output that is wanted.

        Returns
        -------
        ndarray of float32, shape (N, K, [planes,] rows, columns), less 2 `margin` each
            Probabilities, summing to 1 over K; or of the window.

        Raises
        ------
        DeviceError
            If the smallest batch of the smallest tile does not fit.
        """
        done: list[Array] = []
        while (start := sum(map(len, done))) < len(inputs):
            part = inputs[start : start + self.batch]
            if self._tile_limit and max(part.shape[2:]) > self._tile_limit:
                split = self._predict_split(part[0])
                done.append((split if keep is None else split[(_ALL, *keep)])[None])
                continue
            found = self._try_forward(part, keep)
            if found is None:
                self._retreat(max(part.shape[2:]))
            else:
                done.append(found)
        return done[0] if len(done) == 1 else np.concatenate(done)

    @contextmanager
    def _one_view(self) -> Iterator[None]:
        """Do without test-time augmentation for a while."""
        averaged = self._network
        if not isinstance(averaged, Averaged):
            yield
            return
        views, averaged.orientations = averaged.orientations, ORIENTATIONS["none"]
        try:
            yield
        finally:
            averaged.orientations = views

    def _try_forward(self, inputs: Array, keep: Slices | None) -> Array | None:
        """Return the probabilities, or None where memory runs out."""
        try:
            probabilities = self._forward(torch.from_numpy(inputs), keep)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None
        result: Array = probabilities.cpu().numpy()
        return result

    @torch.inference_mode()
    def _forward(self, inputs: Tensor, keep: Slices | None) -> Tensor:
        x = fast_layout(inputs.to(self.device.name))
        if self.half is not None:
            with torch.autocast(x.device.type, self.half):
                logits = self._logits(x, keep).float()
            if not bool(torch.isfinite(logits).all()):
                # Half precision overflowed: this network needs the full range.
                self.half = None
        if self.half is None:
            logits = self._logits(x, keep)
        if logits.shape[1] == 1:
            positive = torch.sigmoid(logits)
            return torch.cat([1 - positive, positive], dim=1)
        return torch.softmax(logits, dim=1).contiguous()

    def _logits(self, x: Tensor, keep: Slices | None) -> Tensor:
        if keep is not None and getattr(self._network, "keeps_windows", False):
            window: Tensor = self._network(x, keep=keep)["out"]
            return window
        logits: Tensor = self._network(x)["out"]
        self._check_output(x, logits)
        return logits if keep is None else logits[(_ALL, _ALL, *keep)]

    def _check_output(self, x: Tensor, logits: Tensor) -> None:
        expected = [n - 2 * self.margin for n in x.shape[2:]]
        if list(logits.shape[2:]) != expected:
            raise CheckpointError(
                "The network returns an output of another size than it declares",
                f"{tuple(logits.shape[2:])} instead of {tuple(expected)}",
                "Its divisor or margin is wrong; report it to the model's author",
            )

    def _retreat(self, side: int) -> None:
        """Take smaller steps after memory ran out."""
        self._release()
        if self.batch > 1:
            self.batch //= 2
            return
        half = (self._tile_limit or side) // 2
        floor = max(_SMALLEST_TILE_PX, self.legal_size(1))
        if half < floor or side <= floor:
            raise self._exhausted(f"one tile of {side} px does not fit")
        self._tile_limit = half

    def _predict_split(self, image: Array) -> Array:
        """Predict one tile from smaller ones."""
        shape = [n - 2 * self.margin for n in image.shape[1:]]
        limit = self._tile_limit or max(image.shape[1:])
        overlap = min(OVERLAP_PX, limit // 4)
        geometry = self.geometry(shape, limit, overlap, rim_px=0)
        # The smallest legal tile may exceed the limit; then that is the limit.
        self._tile_limit = max(limit, *(g.tile for g in geometry))
        result: Array | None = None
        view = TileView(image, self.margin)
        for tile in plan_tiles(shape, geometry):
            _, found = next(self.predict_tiles(view, [tile]))
            if result is None:
                result = np.empty((len(found), *shape), np.float32)
            result[(slice(None), *tile.write)] = found
        assert result is not None  # a plan has at least one tile
        return result


def read_tiles(view: Readable, tiles: Sequence[Tile]) -> Array:
    """Read tiles of one plan: (N, C, [planes,] rows, columns)."""
    return np.stack([view.read(tile.read) for tile in tiles])


def _turned(tta: str, network: nn.Module) -> nn.Module:
    return Averaged([network], ORIENTATIONS[tta])
