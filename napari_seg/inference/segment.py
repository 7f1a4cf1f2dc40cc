"""From an image to labels: the one path of script, command line and panel."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_seg.errors import AxesError
from napari_seg.imaging.axes import spatial_axes
from napari_seg.imaging.instances import InstanceParams
from napari_seg.inference.numbering import iter_number, renumber_scores
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.reader import ImageReader, open_image
from napari_seg.inference.result import (
    Segmentation,
    iter_derive,
    iter_derive_scored,
)
from napari_seg.types import Progress, run

if TYPE_CHECKING:  # torch must not be loaded by opening a panel
    from napari_seg.models.checkpoint import Checkpoint

    Single: TypeAlias = str | Path | Checkpoint
    Model: TypeAlias = Single | Sequence[Single]

__all__ = [
    "SegmentParams",
    "Segmentation",
    "estimate_diameter",
    "iter_derive",
    "iter_segment",
    "segment",
]


def segment(
    image: Any,
    model: Model = "nuclei-unet",
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    device: str = "auto",
    **fields: Any,
) -> Segmentation:
    """Segment the objects of an image.

    Parameters
    ----------
    image : array_like
        NumPy, memory-mapped, dask or zarr array; 2D to 5D; any real dtype.
    model : str, Path or Checkpoint, or a sequence of them, optional
        Name of a model, or a checkpoint. The probabilities of several are averaged.
    axes : str, optional
        Axes of the image, e.g. ``"ZYX"``; guessed by default.
    spacing : tuple of float, optional
        Micrometres per pixel along each axis but C.
    device : str, optional
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    **fields
        Further fields of `SegmentParams`.

    Returns
    -------
    Segmentation
        Labels, probabilities, classes and provenance.

    Raises
    ------
    NapariSegError
        If the image, the axes, the model or the device cannot be used.
    """
    params = SegmentParams(axes=axes, spacing=spacing, device=device, **fields)
    return run(iter_segment(image, model, params))


def iter_segment(
    image: Any,
    model: Model = "nuclei-unet",
    params: SegmentParams | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Segment step by step; closing the generator cancels within one tile.

    Parameters
    ----------
    image, model
        As for `segment`.
    params : SegmentParams, optional
        Everything else.

    Yields
    ------
    Progress
        Stages ``"load"``, ``"size"``, ``"predict"``, ``"instances"``, ``"link"``; with
        a CRF ``"refine"``, ``"instances"`` and ``"link"`` follow, in a film that is to
        be tracked ``"track"`` and ``"rename"``.

    Returns
    -------
    Segmentation
    """
    from napari_seg.inference.device import choose_device
    from napari_seg.inference.diameter import iter_diameter
    from napari_seg.inference.engine import make_job, open_predictor

    params = params or SegmentParams()
    params.check()
    if params.track is not None:
        return (yield from _iter_with_tracks(image, model, params))
    if params.crf is not None:
        return (yield from _iter_with_crf(image, model, params))
    started = time.perf_counter()
    yield Progress("load", 0, 1)
    checkpoint = load(model)
    reader = open_for(checkpoint, image, params)
    device = choose_device(params.device)
    yield Progress("load", 1, 1, message=device.reason)
    card = checkpoint.card
    with open_predictor(
        checkpoint,
        device,
        batch=params.batch,
        tta=params.tta,
        is_compiled=params.compile,
    ) as predictor:
        diameter, origin = yield from iter_diameter(reader, predictor, card, params)
        job = make_job(reader, predictor, checkpoint, params, diameter)
        yield from job.iter_pieces()
    link_z = params.link_z and card.ndim == 2  # volumes are linked as they are
    table = yield from iter_number(job.labels, job.axes, job.groups, link_z=link_z)
    job.scores = renumber_scores(job.scores, table)
    return job.result(origin, time.perf_counter() - started)


def _iter_with_tracks(
    image: Any, model: Model, params: SegmentParams
) -> Generator[Progress, None, Segmentation]:
    """Segment frame by frame, and give the objects one id in all frames."""
    from napari_seg.inference.tracking import (
        check_film,
        iter_rename,
        iter_track,
        renamed_scores,
    )

    assert params.track is not None
    checkpoint = load(model)
    check_film(spatial_axes(open_for(checkpoint, image, params).axes))
    found = yield from iter_segment(image, checkpoint, replace(params, track=None))
    follow = iter_track(found.labels, found.axes, params.track, params.spacing)
    tracks = yield from follow
    yield from iter_rename(found.labels, found.labels, tracks)
    found.tracks, found.scores = tracks, renamed_scores(found.scores, tracks)
    found.provenance["parameters"] = asdict(params)
    return found


def _iter_with_crf(
    image: Any, model: Model, params: SegmentParams
) -> Generator[Progress, None, Segmentation]:
    """Segment, refine the probabilities, and derive the labels from them."""
    from napari_seg.inference.crf import CrfSolver
    from napari_seg.inference.refinement import iter_refine

    assert params.crf is not None
    solver = CrfSolver(params.crf, device=params.device)
    plain = replace(params, crf=None, keep_probabilities=True)
    found = yield from iter_segment(image, model, plain)
    found.provenance["parameters"] = asdict(params)
    refined = yield from iter_refine(found, solver)
    found.network_probabilities = None
    instances = InstanceParams(**found.provenance["instances"])
    derive = iter_derive_scored(refined, instances, link_z=params.link_z)
    refined.labels, refined.scores = yield from derive
    if not params.keep_probabilities:
        refined.network_probabilities = refined.findings = None
    return refined


def estimate_diameter(
    image: Any,
    model: Model = "nuclei-unet",
    params: SegmentParams | None = None,
) -> float:
    """Estimate the typical object diameter from a quick low-resolution pass.

    Parameters
    ----------
    image, model, params
        As for `iter_segment`; a diameter in the parameters is ignored.

    Returns
    -------
    float
        Image pixels. Without any object found: the diameter the model was trained
        at, which means no rescaling.
    """
    from napari_seg.inference.device import choose_device
    from napari_seg.inference.diameter import iter_estimate
    from napari_seg.inference.engine import open_predictor

    params = params or SegmentParams()
    params.check()
    checkpoint = load(model)
    reader = open_for(checkpoint, image, params)
    card = checkpoint.card
    device = choose_device(params.device)
    with open_predictor(checkpoint, device, batch=params.batch) as predictor:
        found = run(iter_estimate(reader, predictor, card))
    return card.object_diameter_px if found is None else found


def load(model: Model) -> Checkpoint:
    """Return the checkpoint itself, or load it by name or path; join several."""
    from napari_seg.models.checkpoint import load_model
    from napari_seg.models.ensemble import join_checkpoints

    if isinstance(model, str | Path):
        return load_model(model)
    if isinstance(model, Sequence):
        return join_checkpoints([load(member) for member in model])
    return model


def open_for(checkpoint: Checkpoint, image: Any, params: SegmentParams) -> ImageReader:
    """Open an image for a model, or say why they do not fit."""
    card = checkpoint.card
    reader = open_image(
        image,
        params.axes,
        in_channels=card.in_channels,
        channel=params.channel,
        normalisation=card.normalisation,
    )
    axes = spatial_axes(reader.axes)
    if card.ndim == 3 and "Z" not in axes:
        raise AxesError(
            f"The model {card.name} segments volumes, and the image is none",
            f"axes {reader.axes}, shape {tuple(reader.image.shape)}",
            "Choose a model that segments planes, or correct the axes",
        )
    # A frame has no length in micrometres, so T may be left out of the spacing.
    lengths = {"spacing": {len(axes), len(axes.replace("T", ""))}, "focus": {len(axes)}}
    for name, allowed in lengths.items():
        value = getattr(params, name)
        if value is not None and len(value) not in allowed:
            raise AxesError(
                f"The {name} needs one number for each of the axes {axes}",
                repr(value),
                "Leave out the channel axis, keep the order of the array",
            )
    return reader
