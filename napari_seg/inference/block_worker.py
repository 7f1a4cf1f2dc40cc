"""What is done with one block of a volume, wherever it is done."""

from __future__ import annotations

from collections.abc import Generator
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_seg.data.volume_source import open_volume
from napari_seg.data.volume_store import halve, open_level, open_local
from napari_seg.imaging.detections import foreground_map, paint
from napari_seg.imaging.instances import probabilities_to_labels
from napari_seg.imaging.levels import Levels
from napari_seg.imaging.stuff import part_stuff
from napari_seg.imaging.tiling import Tile
from napari_seg.inference import block_queue
from napari_seg.inference.cell_decoder import (
    CellObjects,
    cut_ids,
    own_objects,
    plane_in_voxels,
    planes_to_voxels,
    probabilities_in_voxels,
    renumbered,
)
from napari_seg.inference.detector import Detector
from napari_seg.inference.engine import open_predictor
from napari_seg.inference.pyramid import level_region
from napari_seg.inference.region import RegionViews
from napari_seg.inference.seam_file import match_block, seam_arrays
from napari_seg.inference.segment import open_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.inference.block_queue import Task
    from napari_seg.inference.device import Device
    from napari_seg.inference.grid import Index
    from napari_seg.inference.predictor import Predictor
    from napari_seg.inference.reader import ImageReader
    from napari_seg.inference.volume_plan import VolumePlan
    from napari_seg.models.checkpoint import Checkpoint

Steps = Generator[None, None, None]
_STORED = np.float16
"""Of probabilities that wait to be decoded: half the room, and errors below 0.0005."""


class BlockWorker:
    """Does the tasks of one run; the network is put on the device once.

    Parameters
    ----------
    plan : VolumePlan
    checkpoint : Checkpoint
    device : Device
    image : array, optional
        The volume, where it is not a file.
    """

    def __init__(
        self,
        plan: VolumePlan,
        checkpoint: Checkpoint,
        device: Device,
        image: Any = None,
    ) -> None:
        self.plan = plan
        self.checkpoint = checkpoint
        self._device = device
        self._image = image
        self._run = plan.run
        self._name = Path(plan.path).name or "the volume"

    def steps(self, task: Task) -> Steps:
        """Do a task; yields now and then, where it can be stopped."""
        if task.stage == block_queue.PREDICT:
            yield from self._predict(task.block)
        elif task.stage == block_queue.DECODE:
            yield from self._decode(task.block)
        elif task.stage == block_queue.MATCH:
            match_block(self.plan, task.block)
        elif task.stage == "write":
            yield from self._write(task.block)
        else:
            level = int(task.stage.split()[1])
            halve(
                level, Path(self.plan.out), level_region(self.plan, level, task.block)
            )

    def close(self) -> None:
        """Give the memory of the device back."""
        if "_predictor" in self.__dict__:
            self._predictor.close()

    @cached_property
    def _reader(self) -> ImageReader:
        image = self._image
        if image is None:
            found = open_volume(Path(self.plan.path))
            image = Levels(found.arrays) if len(found.arrays) > 1 else found.arrays[0]
        return open_for(self.checkpoint, image, self.plan.params)

    @cached_property
    def _predictor(self) -> Predictor | Detector:
        params = self.plan.params
        predictor = open_predictor(
            self.checkpoint,
            self._device,
            batch=params.batch,
            tta=params.tta,
            is_compiled=params.compile,
        )
        if self._device.name == "cpu":
            # Each process would measure anew, and one could decide otherwise.
            predictor.half = torch.bfloat16 if self.plan.is_half else None
        return predictor

    def _views(self, t: int, box: tuple[slice, slice, slice]) -> RegionViews:
        plan = self.plan
        return RegionViews(
            self._reader,
            t,
            box,
            [axis.seen for axis in plan.grid.axes],
            plan.ranges,
            zoom=plan.zoom,
            z_zoom=plan.z_zoom if plan.ndim == 3 else None,
            name=self._name,
        )

    def _predict(self, block: int) -> Steps:
        """Run the network over the tiles of a block."""
        grid = self.plan.grid
        t, *place = grid.index(block)
        if not grid.is_predicted(block):
            self._run.save_array(block_queue.PREDICT, block, np.zeros(0, _STORED))
            return
        sides = list(zip(grid.axes, place, strict=True))
        box = tuple(axis.predicted(i) for axis, i in sides)
        z, y, x = (axis.read(i) for axis, i in sides)
        views = self._views(t, (z, y, x))
        kept = len(self.checkpoint.card.object_classes) - 1
        shape = [s.stop - s.start for s in box]
        result = np.empty((kept, *shape), _STORED)
        own = [[axis.tiles[n] for n in axis.own_tiles(i)] for axis, i in sides]
        if self.plan.ndim == 3:
            yield from self._run_tiles(views.frame(), list(product(*own)), box, result)
        else:
            for number, plane in enumerate(range(box[0].start, box[0].stop)):
                part = result[:, number]
                tiles = list(product(*own[1:]))
                yield from self._run_tiles(views.plane(plane), tiles, box[1:], part)
        self._run.save_array(block_queue.PREDICT, block, result)

    def _run_tiles(
        self,
        view: Any,
        sides: list[tuple[Tile, ...]],
        box: tuple[slice, ...],
        result: NDArray[Any],
    ) -> Steps:
        predictor = self._predictor
        assert not isinstance(predictor, Detector)
        stuff = len(self.checkpoint.card.stuff)
        tiles = [
            Tile(
                *(
                    tuple(getattr(side, name)[0] for side in parts)
                    for name in ("read", "crop", "write")
                )
            )
            for parts in sides
        ]
        while tiles:
            batch = tiles[: predictor.batch]
            del tiles[: len(batch)]
            for tile, found in predictor.predict_tiles(view, batch):
                objects, _ = part_stuff(found, stuff)
                index = tuple(
                    slice(w.start - b.start, w.stop - b.start)
                    for w, b in zip(tile.write, box, strict=True)
                )
                result[(slice(None), *index)] = objects[:-1]
            yield

    def _decode(self, block: int) -> Steps:
        """Turn what is known of a block into objects of each of its cells."""
        plan = self.plan
        local, shown = open_local(self._run.local), open_level(Path(plan.out))
        largest = int(np.iinfo(shown.dtype).max)
        arrays: dict[str, NDArray[Any]] = {}
        for number, cell in enumerate(plan.grid.cells_of(block)):
            found = self._decode_cell(cell)
            yield
            plan.put(local, cell, found.labels)
            shift = np.arange(len(found.sizes) + 1) + plan.first_id(cell, largest)
            shift[0] = 0
            ids = renumbered(found.labels, shift.astype(shown.dtype))
            plan.put(shown, cell, ids)
            arrays |= seam_arrays(plan, number, found)
        self._run.save(block_queue.DECODE, block, **arrays)

    def _decode_cell(self, cell: Index) -> CellObjects:
        plan = self.plan
        if plan.ndim == 3:
            return self._decode_box(cell)
        if plan.finds_objects:
            planes = self._find(cell)
        else:
            found = self._gather(cell)
            self._keep_probabilities(cell, found)
            planes = [
                (self._separate(plane), 1 - plane[0]) for plane in found.swapaxes(0, 1)
            ]
        grid = plan.grid
        part = [a.decoded(i) for a, i in zip((grid.y, grid.x), cell[2:], strict=True)]
        sizes = [grid.y.seen, grid.x.seen]
        windows = [a.grown(i) for a, i in zip((grid.y, grid.x), cell[2:], strict=True)]
        grown = np.empty((len(planes), *(w.stop - w.start for w in windows)), np.int32)
        cut = [np.zeros(1, bool)]
        count = 0
        for target, (labels, foreground) in zip(grown, planes, strict=True):
            cut.append(cut_ids(labels, part, sizes)[1:])
            target[...] = self._in_voxels(labels, foreground, cell)
            target[target > 0] += count
            count += len(cut[-1])
        return own_objects(grown, np.concatenate(cut), grid, cell, "yx")

    def _decode_box(self, cell: Index) -> CellObjects:
        """Do a cell of a network that sees boxes of planes."""
        grid = self.plan.grid
        found = planes_to_voxels(self._gather(cell), grid, cell)
        part = [a.decoded(i) for a, i in zip(grid.axes, cell[1:], strict=True)]
        core, planes = grid.core(cell)[0], part[0]
        inner = found[:, core.start - planes.start : core.stop - planes.start]
        self._keep_probabilities(cell, inner)
        labels = self._separate(found)
        cut = cut_ids(labels, part, [grid.z.size, grid.y.seen, grid.x.seen])
        foreground = 1 - found[0]
        del found, inner
        window = grid.z.grown(cell[1])
        grown = [
            self._in_voxels(labels[z], foreground[z], cell)
            for z in range(window.start - planes.start, window.stop - planes.start)
        ]
        return own_objects(np.stack(grown), cut, grid, cell, "zyx")

    def _separate(self, probabilities: NDArray[np.float32]) -> NDArray[np.int32]:
        classes = self.checkpoint.card.object_classes
        found: NDArray[np.int32] = probabilities_to_labels(
            probabilities, classes, self.plan.instances
        )
        return found

    def _in_voxels(
        self, labels: NDArray[np.int32], foreground: NDArray[np.float32], cell: Index
    ) -> NDArray[np.int32]:
        threshold = self.plan.instances.threshold
        return plane_in_voxels(labels, foreground, self.plan.grid, cell, threshold)

    def _find(self, cell: Index) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Return labels and foreground of each plane of a cell, from a detector."""
        grid, detector = self.plan.grid, self._predictor
        assert isinstance(detector, Detector)
        t, *place = cell
        z, y, x = (a.decoded(i) for a, i in zip(grid.axes, place, strict=True))
        views = self._views(t, (z, y, x))
        shape = (y.stop - y.start, x.stop - x.start)
        planes = []
        for plane in range(z.start, z.stop):
            found = detector.detect(views.plane(plane).read((y, x)))
            labels, _ = paint(found, shape, self.plan.instances)
            seeds = self.plan.instances.seed_threshold
            planes.append((labels, foreground_map(found, shape, seeds)))
        return planes

    def _gather(self, cell: Index) -> NDArray[np.float32]:
        """Put together the probabilities that a cell needs; the last class completed.

        Returns
        -------
        ndarray of float32, shape (K, planes, rows, columns)
        """
        grid = self.plan.grid
        t, *place = cell
        sides = list(zip(grid.axes, place, strict=True))
        wanted = [axis.wanted(i) for axis, i in sides]
        blocks = [axis.sources(i // axis.group) for axis, i in sides]
        count = len(self.checkpoint.card.object_classes)
        result = np.zeros((count, *(w.stop - w.start for w in wanted)), np.float32)
        for other in product(*blocks):
            has = [a.predicted(i) for a, i in zip(grid.axes, other, strict=True)]
            common = [
                (max(w.start, h.start), min(w.stop, h.stop))
                for w, h in zip(wanted, has, strict=True)
            ]
            if any(low >= high for low, high in common):
                continue
            number = int(np.ravel_multi_index((t, *other), grid.blocks))
            stored = self._run.map_array(block_queue.PREDICT, number)
            into, out = (
                tuple(
                    slice(low - w.start, high - w.start)
                    for (low, high), w in zip(common, origin, strict=True)
                )
                for origin in (wanted, has)
            )
            result[(slice(0, count - 1), *into)] = stored[(slice(None), *out)]
        result[-1] = np.clip(1 - result[:-1].sum(axis=0), 0, 1)
        return result

    def _keep_probabilities(self, cell: Index, found: NDArray[np.float32]) -> None:
        """Write (K, planes, rows, columns) where they are wanted."""
        if self.plan.probabilities is None:
            return
        grid = self.plan.grid
        target = open_level(Path(self.plan.probabilities))
        index = list(self.plan.index(cell[0], grid.core(cell)))
        index.insert(int("T" in self.plan.axes), slice(None))
        voxels = probabilities_in_voxels(found, grid, cell).astype(_STORED)
        target[tuple(index)] = voxels if "Z" in self.plan.axes else voxels[:, 0]

    def _write(self, block: int) -> Steps:
        """Give the objects of a block their final numbers; it has none if it failed."""
        plan = self.plan
        local, shown = open_local(self._run.local), open_level(Path(plan.out))
        is_decoded = self._run.path(block_queue.DECODE, block).is_file()
        for cell in plan.grid.cells_of(block):
            found = plan.take(local, cell)
            if is_decoded:
                numbers = self._run.numbers_of(plan.grid.cell_number(cell))
                table = np.concatenate([[0], numbers]).astype(shown.dtype)
                plan.put(shown, cell, renumbered(found, table))
            else:
                # Its first cells may have been shown before a later one failed.
                plan.put(shown, cell, np.zeros(found.shape, shown.dtype))
            yield
        self._run.mark("write", block)
