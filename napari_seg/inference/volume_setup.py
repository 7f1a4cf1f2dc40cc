"""What is decided once for a volume before its blocks are handed out."""

from __future__ import annotations

import math
import uuid
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.data.volume_source import NamedArray
from napari_seg.errors import FormatError, ImageError
from napari_seg.imaging.axes import axis_size
from napari_seg.imaging.levels import Levels
from napari_seg.imaging.normalise import intensity_range
from napari_seg.imaging.rescale import snap_zoom, zoomed_size
from napari_seg.imaging.tiling import Geometry
from napari_seg.inference.device import choose_device
from napari_seg.inference.diameter import iter_diameter
from napari_seg.inference.engine import open_predictor
from napari_seg.inference.grid import AxisGrid, Grid
from napari_seg.inference.job import instance_params
from napari_seg.inference.precision import half_type
from napari_seg.inference.predictor import Predictor
from napari_seg.inference.pyramid import CHUNK
from napari_seg.inference.volume_job import plane_zoom
from napari_seg.inference.volume_plan import Ranges, VolumePlan

if TYPE_CHECKING:
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.reader import ImageReader
    from napari_seg.inference.volume_options import VolumeOptions
    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.types import Progress

Sides = tuple[int, int, int]
_HALO_PLANES = 16
_CELL_PX = {2: 512, 3: 256}
"""Side of a cell in network pixels, by the dimensions of the network."""
_CELL_PLANES = {2: 16, 3: 64}
_BLOCK_CELLS = 2
_FEW_CELLS = 64
"""With fewer cells each is a block of its own, or one worker would do them all."""
_WHOLE_VOXELS = 1 << 28
"""Frames up to this size are sampled plane by plane, as in memory."""
_PATCHES = 4
"""Patches along each axis of a larger frame."""
_PATCH = {"Z": 4, "Y": 128, "X": 128}


@dataclass(frozen=True)
class Survey:
    """What was measured of a volume; plain values that JSON can hold."""

    diameter_px: float
    origin: str
    zoom: float
    z_zoom: float
    is_half: bool
    """Whether processors compute in half precision."""
    ranges: Ranges
    geometry: tuple[dict[str, int] | None, ...]
    """Of the tiles along Z, Y and X."""
    cell: Sides
    """Voxels of a cell."""
    group: Sides
    """Cells of a block."""
    halo: Sides
    """What a cell sees beyond itself: planes, and network pixels in rows, columns."""

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Survey:
        """Rebuild what `asdict` and JSON made of one."""
        ranges = tuple(
            tuple((float(low), float(high)) for low, high in frame)
            for frame in stored["ranges"]
        )
        sides = {
            name: (int(z), int(y), int(x))
            for name in ("cell", "group", "halo")
            for z, y, x in [stored[name]]
        }
        known = {**stored, "ranges": ranges, **sides}
        return cls(**{**known, "geometry": tuple(stored["geometry"])})


def iter_survey(
    reader: ImageReader,
    checkpoint: Checkpoint,
    params: SegmentParams,
    options: VolumeOptions,
    name: str,
) -> Generator[Progress, None, Survey]:
    """Measure intensities and object size of a volume from samples.

    Yields
    ------
    Progress
        Stage ``"size"``.
    """
    card = checkpoint.card
    frames = axis_size(reader.axes, reader.image.shape, "T")
    named = _named(reader.image, name)
    looking = replace(reader, image=named, notes=reader.notes)
    ranges = tuple(tuple(_range_of(looking, card, t)) for t in range(frames))
    sampled = reader.with_ranges(named, ranges)
    device = choose_device(params.device)
    is_half = half_type("cpu", checkpoint.network) is not None
    with open_predictor(checkpoint, device, batch=params.batch) as predictor:
        diameter, origin = yield from iter_diameter(sampled, predictor, card, params)
        zoom = snap_zoom(card.object_diameter_px / diameter)
        z_zoom = 1.0
        if card.ndim == 3:
            z_zoom = plane_zoom(reader, params.spacing, zoom, card.z_step_px)
        seen = [zoomed_size(n, zoom) for n in reader.plane_shape]
        geometry: list[Geometry | None] = [None]
        if not isinstance(predictor, Predictor):
            geometry *= 3
        elif card.ndim == 3:
            planes = zoomed_size(reader.depth, z_zoom)
            geometry = list(predictor.geometry([planes, *seen], params.tile_px))
        else:
            geometry += predictor.geometry(seen, params.tile_px)
    cell = options.cell or _cell(card, zoom)
    return Survey(
        diameter,
        origin,
        zoom,
        z_zoom,
        is_half and not card.finds_objects,
        ranges,
        tuple(None if g is None else asdict(g) for g in geometry),
        cell,
        _group(reader, cell, options.block),
        _halo(card),
    )


def make_plan(
    survey: Survey,
    reader: ImageReader,
    checkpoint: Checkpoint,
    params: SegmentParams,
    options: VolumeOptions,
    *,
    path: str,
    out: Path,
    model: tuple[str, ...],
) -> VolumePlan:
    """Put together what the workers have to know."""
    card, kept = checkpoint.card, options.probabilities
    return VolumePlan(
        path=path,
        axes=reader.axes,
        shape=tuple(int(n) for n in reader.image.shape),
        out=str(out.absolute()),
        probabilities=None if kept is None else str(kept.absolute()),
        model=model,
        sha256=checkpoint.sha256,
        params=params,
        zoom=survey.zoom,
        z_zoom=survey.z_zoom,
        is_half=survey.is_half,
        ranges=survey.ranges,
        instances=instance_params(card, params, survey.zoom),
        grid=_grid(survey, reader, card),
        ndim=card.ndim,
        finds_objects=card.finds_objects,
        token=uuid.uuid4().hex,
    )


def _grid(survey: Survey, reader: ImageReader, card: Card) -> Grid:
    is_3d = card.ndim == 3
    tiles = [None if g is None else Geometry(**g) for g in survey.geometry]
    depth = reader.depth
    z = AxisGrid(
        depth,
        zoomed_size(depth, survey.z_zoom),
        survey.cell[0],
        survey.group[0],
        survey.halo[0],
        tiles[0],
        by_voxel=True,
        grow=int(is_3d),
    )
    y, x = (
        AxisGrid(
            size,
            zoomed_size(size, survey.zoom),
            survey.cell[i],
            survey.group[i],
            survey.halo[i],
            tiles[i],
        )
        for i, size in enumerate(reader.plane_shape, start=1)
    )
    return Grid(axis_size(reader.axes, reader.image.shape, "T"), z, y, x)


def _cell(card: Card, zoom: float) -> Sides:
    """Return the voxels of a cell: about as many network pixels, whole chunks."""
    wanted = _CELL_PX[3 if card.finds_objects else card.ndim] / zoom / CHUNK["Y"]
    side = CHUNK["Y"] * min(8, max(1, round(wanted)))
    return _CELL_PLANES[card.ndim], side, side


def _group(reader: ImageReader, cell: Sides, block: Sides | None) -> Sides:
    sizes = (reader.depth, *reader.plane_shape)
    if block is not None:
        z, y, x = (max(1, round(b / c)) for b, c in zip(block, cell, strict=True))
        return z, y, x
    cells = math.prod(-(-n // c) for n, c in zip(sizes, cell, strict=True))
    count = 1 if cells <= _FEW_CELLS else _BLOCK_CELLS
    return count, count, count


def _halo(card: Card) -> Sides:
    """Return how far a cell looks: an object at its rim is seen whole, with those
    that touch it."""  # noqa: D205, D209
    halo = min(96, max(24, math.ceil(1.5 * card.object_diameter_px) + 8))
    return (_HALO_PLANES if card.ndim == 3 else 0), halo, halo


def _range_of(reader: ImageReader, card: Card, t: int) -> list[tuple[float, float]]:
    """Return the intensity range of each channel, reading little of a large frame."""
    rows, columns = reader.plane_shape
    if reader.depth * rows * columns <= _WHOLE_VOXELS:
        with suppress(FormatError):
            return reader.range_of(t)
    failed: FormatError | None = None
    samples = [[] for _ in range(card.in_channels)]  # type: list[list[Any]]
    sides = {"Z": reader.depth, "Y": rows, "X": columns}
    for place in np.ndindex(_PATCHES, _PATCHES, _PATCHES):
        window = {
            axis: _patch(i, size, _PATCH[axis])
            for i, (axis, size) in zip(place, sides.items(), strict=True)
        }
        for z in range(window["Z"].start, window["Z"].stop):
            try:
                channels = reader.raw(t, z, (window["Y"], window["X"]))
            except FormatError as error:
                failed = error
                continue  # the blocks there will tell; the others need a range
            for sample, channel in zip(samples, channels, strict=True):
                sample.append(channel.ravel())
    if not samples[0]:
        assert failed is not None
        raise failed
    return [
        intensity_range(np.concatenate(sample), card.normalisation)
        for sample in samples
    ]


def _named(image: Any, name: str) -> Any:
    if isinstance(image, Levels):
        return Levels([NamedArray(array, name) for array in image.arrays])
    return image if isinstance(image, np.ndarray) else NamedArray(image, name)


def _patch(number: int, size: int, side: int) -> slice:
    start = max(0, (2 * number + 1) * size // (2 * _PATCHES) - side // 2)
    return slice(start, min(size, start + side))


def check_volume(
    checkpoint: Checkpoint, params: SegmentParams, options: VolumeOptions
) -> None:
    """Refuse what cannot be done block by block.

    Raises
    ------
    ImageError
    """
    if params.crf is not None:
        raise ImageError(
            "The dense CRF cannot be run over a volume block by block",
            remedy="Leave it out, or segment a part of the volume in memory",
        )
    if params.track is not None:
        raise ImageError(
            "Objects of a volume in blocks are not linked over time",
            remedy="Link the finished labels on the Correct tab",
        )
    if options.probabilities is not None and checkpoint.card.finds_objects:
        raise ImageError(
            f"{checkpoint.card.name} finds objects one by one and has no probabilities",
            remedy="Leave them out, or choose a model that classifies pixels",
        )
    params.check()


def voxels(plan: VolumePlan) -> int:
    """Return the number of voxels of the labels."""
    sizes: Sequence[int] = [axis.size for axis in plan.grid.axes]
    return plan.grid.frames * math.prod(sizes)
