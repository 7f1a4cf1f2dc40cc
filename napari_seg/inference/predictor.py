"""Probabilities of tiles, in steps as large as the memory allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_seg.errors import CheckpointError
from napari_seg.imaging.instances import InstanceParams, probabilities_to_labels
from napari_seg.imaging.stuff import part_stuff
from napari_seg.imaging.tiling import (
    Slices,
    Tile,
    plan_tiles,
)
from napari_seg.inference.cutting import Inputs, read_tiles
from napari_seg.inference.device import Device, is_out_of_memory
from napari_seg.inference.launched import Array, Predicted, joined, kept, mark, to_host
from napari_seg.inference.precision import half_type
from napari_seg.inference.tiled import OVERLAP_PX, Tiled
from napari_seg.inference.view import LOOK_PLANES, Readable, TileView
from napari_seg.models.averaged import (
    ORIENTATIONS,
    Averaged,
    class_probabilities,
    fast_layout,
)

if TYPE_CHECKING:
    from napari_seg.models.card import Card

Key = TypeVar("Key")
_SMALLEST_TILE_PX = 32
_LOOK_PX = 256
_ALL = slice(None)
_AUTO_BATCH = {"cpu": 1, "mps": 4, "cuda": 32}
_VOLUMES = 4
"""Tiles at most at once of a network in three dimensions."""


class Predictor(Tiled):
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
    is_compiled : bool, optional
        See `Resident`.
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
        is_compiled: bool = False,
    ) -> None:
        super().__init__(
            network,
            device,
            in_channels=in_channels,
            ndim=ndim,
            wrap=None if tta == "none" else partial(_turned, tta),
            is_compiled=is_compiled,
        )
        kind = device.name.split(":")[0]
        most = _VOLUMES if ndim == 3 else _AUTO_BATCH["cuda"]
        self.batch = batch or min(_AUTO_BATCH.get(kind, 1), most)
        self._tile_limit: int | None = None
        self.half = torch.float16 if kind == "cuda" else half_type(kind, network)

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
    ) -> Iterator[Predicted]:
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
        batch = (None, tiles, read_tiles(view, tiles))
        for _, found in self.predict_batches([batch]):
            yield from found

    def predict_batches(
        self, batches: Iterable[tuple[Key, Sequence[Tile], Inputs]]
    ) -> Iterator[tuple[Key, list[Predicted]]]:
        """Predict what is kept of tiles that are read already, batch by batch.

        CUDA gets a batch before the one before it is waited for.

        Parameters
        ----------
        batches : iterable of (key, sequence of Tile, ndarray or Tensor)
            Anything, tiles of one plan, and what was read of them.

        Yields
        ------
        key
        list of (Tile, ndarray)
            Of each batch, as of `predict_tiles`.
        """
        lag = 1 if self.is_apart else 0
        waiting: deque[tuple[Key, Callable[[], list[Predicted]]]] = deque()
        for key, tiles, inputs in batches:
            keep = tuple(
                slice(min(s.start for s in crops), max(s.stop for s in crops))
                for crops in zip(*(tile.crop for tile in tiles), strict=True)
            )
            whole = self._launch(inputs, keep)
            waiting.append((key, partial(kept, tiles, keep, whole)))
            if len(waiting) > lag:
                key, result = waiting.popleft()
                yield key, result()
        for key, result in waiting:
            yield key, result()

    def predict(self, inputs: Inputs, keep: Slices | None = None) -> Array:
        """Return class probabilities of normalised tiles.

        Parameters
        ----------
        inputs : ndarray of float32 or Tensor, shape (N, C, [planes,] rows, columns)
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
        return self._launch(inputs, keep)()

    def _launch(self, inputs: Inputs, keep: Slices | None) -> Callable[[], Array]:
        """Start predicting tiles; what is returned waits for the device."""
        launched: list[Callable[[], Array]] = []
        start = 0
        while start < len(inputs):
            part = inputs[start : start + self.batch]
            if self._tile_limit and max(part.shape[2:]) > self._tile_limit:
                split = self._predict_split(torch.as_tensor(part[0]).cpu().numpy())
                split = split if keep is None else split[(_ALL, *keep)]
                launched.append(partial(np.expand_dims, split, 0))
                start += 1
                continue
            result = self._try_launch(part, keep)
            if result is None:
                self._retreat(max(part.shape[2:]))
            else:
                launched.append(result)
                start += len(part)
        return partial(joined, launched)

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

    def _try_launch(
        self, inputs: Inputs, keep: Slices | None
    ) -> Callable[[], Array] | None:
        """Start the network, or return None where memory runs out."""
        try:
            return self._forward(torch.as_tensor(inputs), keep)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None

    @torch.inference_mode()
    def _forward(self, inputs: Tensor, keep: Slices | None) -> Callable[[], Array]:
        """Give the device all there is to compute; the result waits for it."""
        x = fast_layout(inputs.to(self.device.name))
        half = self.half
        with torch.autocast(x.device.type, half, enabled=half is not None):
            logits = self._logits(x, keep).float()
        is_finite = to_host(torch.isfinite(logits).all()) if half else None
        found = to_host(class_probabilities(logits).contiguous())
        done = mark(x.device)

        def result() -> Array:
            done()
            if is_finite is None or is_finite:
                return np.asarray(found)
            # Half precision overflowed: this network needs the full range.
            self.half = None
            return self._launch(inputs, keep)()

        return result

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


def _turned(tta: str, network: nn.Module) -> nn.Module:
    return Averaged([network], ORIENTATIONS[tta])
