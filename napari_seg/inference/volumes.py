"""Volumes of any size, block by block, to OME-Zarr labels.

A volume is cut into blocks (see `napari_seg.inference.grid`). Each goes through three
stages: its tiles through the network, its cells into objects, and these compared with
those of the cells behind. When all are done the objects are joined and numbered, and
the numbers written with the coarser levels. Every stage of a block leaves one file, so
a run that was killed goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari_seg
from napari_seg.inference.volume_options import VolumeOptions
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.segment import Model
    from napari_seg.inference.volume_plan import VolumePlan
    from napari_seg.models.checkpoint import Checkpoint

__all__ = ["VolumeOptions", "VolumeResult", "iter_segment_volume"]


@dataclass(frozen=True)
class VolumeResult:
    """What became of a volume."""

    out: Path
    """OME-Zarr labels."""
    objects: int
    blocks: int
    """How many there are."""
    failed: int
    """How many of them could not be done; their voxels are 0."""
    errors: tuple[str, ...]
    """Why, naming each block."""
    diameter_px: float
    axes: str
    shape: tuple[int, ...]
    seconds: float
    provenance: Mapping[str, Any]


def iter_segment_volume(
    volume: Any,
    out: Path,
    model: Model = "nuclei-unet",
    params: SegmentParams | None = None,
    options: VolumeOptions | None = None,
) -> Generator[Progress, None, VolumeResult]:
    """Segment a volume that need not fit the memory; closing the generator stops it.

    Parameters
    ----------
    volume : Path, str or array
        Zarr, OME-Zarr, TIFF, or any array that is read by slicing.
    out : Path
        OME-Zarr labels to be written: int32 ids 1..N, unique over all frames.
    model, params
        As for `iter_segment`; probabilities are not kept in memory.
    options : VolumeOptions, optional

    Yields
    ------
    Progress
        Stages ``"load"``, ``"size"``, ``"blocks"``, ``"join"``, ``"write"``.

    Returns
    -------
    VolumeResult
    """
    from napari_seg.data import volume_store
    from napari_seg.data.volume_run import VolumeRun
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.pyramid import labels_shape
    from napari_seg.inference.segment import load
    from napari_seg.inference.volume_begin import Source, check_shared, iter_plan
    from napari_seg.inference.volume_flow import VolumeFlow
    from napari_seg.inference.volume_setup import check_volume

    started = time.perf_counter()
    options = options or VolumeOptions()
    yield Progress("load", 0, 1)
    checkpoint = load(model)
    params = params or SegmentParams()
    check_volume(checkpoint, params, options)
    source = Source.of(volume, params)
    with ExitStack() as stack:
        stack.enter_context(VolumeRun(out).owned())
        connection = None
        if options.workers or options.scheduler:
            check_shared(source, checkpoint, model)
            from napari_seg.inference.cluster import connect

            connection = stack.enter_context(closing(connect(options)))
        plan, survey = yield from iter_plan(source, out, checkpoint, model, options)
        run = VolumeFlow(plan, source, checkpoint, connection, options.preview_px)
        yield from run.iter_all()
        provenance = _provenance(plan, survey, checkpoint, options)
        result = VolumeResult(
            out,
            run.objects,
            plan.grid.count,
            run.failed,
            tuple(run.errors),
            survey["diameter_px"],
            plan.label_axes,
            labels_shape(plan),
            round(time.perf_counter() - started, 3),
            provenance,
        )
        state = "incomplete" if run.errors else "done"
        volume_store.note(out, {"state": state, "objects": run.objects, **provenance})
        if not run.errors:
            plan.run.remove()
    return result


def _provenance(
    plan: VolumePlan,
    survey: Mapping[str, Any],
    checkpoint: Checkpoint,
    options: VolumeOptions,
) -> dict[str, Any]:
    known = ("origin", "zoom", "z_zoom", "cell", "group", "halo")
    return {
        "model": checkpoint.card.name,
        "checkpoint": list(plan.model),
        "sha256": checkpoint.sha256,
        "software": f"napari-seg {napari_seg.__version__}",
        "volume": plan.path,
        "parameters": asdict(plan.params),
        "diameter_px": survey["diameter_px"],
        **{name: survey[name] for name in known},
        "instances": asdict(plan.instances),
        "workers": options.scheduler or options.workers,
    }
