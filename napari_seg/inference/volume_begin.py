"""How a run over a volume begins: what is opened, planned and made beforehand."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seg.data import volume_store
from napari_seg.data.run_manifest import Stamp
from napari_seg.data.volume_run import VolumeRun
from napari_seg.data.volume_source import open_volume, path_of
from napari_seg.errors import ClusterError, FormatError
from napari_seg.imaging.axes import check_axes, spacing_by_axis
from napari_seg.imaging.levels import Levels
from napari_seg.inference.pyramid import CHUNK, labels_shape
from napari_seg.inference.segment import open_for
from napari_seg.inference.volume_setup import (
    Survey,
    iter_survey,
    make_plan,
    voxels,
)

if TYPE_CHECKING:
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.reader import ImageReader
    from napari_seg.inference.segment import Model
    from napari_seg.inference.volume_options import VolumeOptions
    from napari_seg.inference.volume_plan import VolumePlan
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.types import Progress

_MANY_VOXELS = 1 << 39
"""Above it ids have 64 bits: objects of 256 voxels would use up those of 32."""


@dataclass(frozen=True)
class Source:
    """The volume and how it is to be read."""

    image: Any
    path: str
    params: SegmentParams
    is_file: bool

    @classmethod
    def of(cls, volume: Any, params: SegmentParams) -> Source:
        """Open a path, or take an array as it is."""
        params = replace(params, keep_probabilities=False, focus=None)
        if not isinstance(volume, str | Path):
            arrays = getattr(volume, "arrays", (volume,))
            path = path_of(arrays[0])
            if path is not None and len(arrays) > 1:
                path = path.parent  # the levels lie side by side
            return cls(volume, str(path or ""), params, False)
        path = Path(volume).absolute()
        found = open_volume(path)
        axes = check_axes(params.axes or found.axes, found.arrays[0].shape)
        spacing = params.spacing
        if spacing is None and axes.replace("C", "") == found.axes.replace("C", ""):
            spacing = found.spacing
            if spacing is not None and "T" in axes:
                spacing = (*(1.0,) * (axes.index("T") == 0), *spacing)
        image = Levels(found.arrays) if len(found.arrays) > 1 else found.arrays[0]
        params = replace(params, axes=axes, spacing=spacing)
        return cls(image, str(path), params, True)


def check_shared(source: Source, checkpoint: Checkpoint, model: Model) -> None:
    """Refuse workers what is only in this process.

    Raises
    ------
    ClusterError
    """
    has_model = bool(_names(model, checkpoint))
    if source.path and has_model:
        return
    what = "model" if source.path else "volume"
    raise ClusterError(
        f"Workers cannot open the {what}: it is only in this process",
        remedy="Save it to a file that they can read, or use no workers",
    )


def iter_plan(
    source: Source,
    out: Path,
    checkpoint: Checkpoint,
    model: Model,
    options: VolumeOptions,
) -> Generator[Progress, None, tuple[VolumePlan, dict[str, Any]]]:
    """Begin a run, or take up the one that is there."""
    reader = open_for(checkpoint, source.image, source.params)
    run = VolumeRun(out)
    about = _about(source, reader, checkpoint, options)
    if run.exists and options.mode == "new":
        raise FormatError(
            f"{run.root} is of a run that was not finished",
            remedy="Go on with --resume, or begin anew with --restart.",
        )
    if out.exists() and not run.exists and options.mode != "restart":
        raise FormatError(
            f"{out} is there already",
            remedy="Choose another --out, or replace it with --restart.",
        )
    is_new = not (run.exists and options.mode == "resume")
    if is_new:
        _check_places(source, out, options)
        survey = yield from iter_survey(
            reader, checkpoint, source.params, options, Path(source.path).name
        )
    else:
        survey = Survey.from_json(run.resume(about))
    plan = make_plan(
        survey,
        reader,
        checkpoint,
        source.params,
        options,
        path=source.path,
        out=out,
        model=_names(model, checkpoint),
    )
    if is_new:
        run.remove()
        _create(plan, source, checkpoint)
        # Last, or a run that was killed meanwhile would go on without its arrays.
        run.begin(about, asdict(survey))
    return plan, asdict(survey)


def _check_places(source: Source, out: Path, options: VolumeOptions) -> None:
    """Refuse to replace the image, or a folder that is none of ours."""
    kept = options.probabilities
    targets = [path.absolute().resolve() for path in (out, kept) if path is not None]
    image = Path(source.path).resolve() if source.path else None
    for target in targets:
        if image is not None and (target == image or target in image.parents):
            raise FormatError(
                f"{target} holds the image itself", remedy="Choose another folder."
            )
        if target.exists() and not (target / "zarr.json").is_file():
            raise FormatError(
                f"{target} is no Zarr image and is not replaced",
                remedy="Choose another folder, e.g. one that is not there yet.",
            )
    if len(set(targets)) < len(targets):
        raise FormatError(
            "labels and probabilities would be in one folder",
            str(out),
            "Choose another folder for the probabilities.",
        )
    if options.mode == "new" and kept is not None and kept.exists():
        raise FormatError(
            f"{kept} is there already",
            remedy="Choose another folder for the probabilities, or replace it with "
            "--restart.",
        )


def _about(
    source: Source,
    reader: ImageReader,
    checkpoint: Checkpoint,
    options: VolumeOptions,
) -> dict[str, Any]:
    """Return what makes the labels what they are."""
    return {
        "volume": source.path,
        "stamp": _stamp(source),
        "shape": [int(n) for n in reader.image.shape],
        "dtype": str(reader.image.dtype),
        "model": checkpoint.card.name,
        "sha256": checkpoint.sha256,
        "parameters": source.params.compared(),
        "block": options.block,
        "cell": options.cell,
        "probabilities": options.probabilities and str(options.probabilities),
    }


def _stamp(source: Source) -> dict[str, int] | None:
    """Return how a file was; chunks of Zarr are too many to look at all."""
    path = Path(source.path)
    return asdict(Stamp.of(path)) if source.path and path.is_file() else None


def _names(model: Model, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return by what a worker finds the model: names as given, or files."""
    if isinstance(model, str | Path):
        is_file = Path(model).is_file()
        return (str(Path(model).absolute()) if is_file else str(model),)
    if isinstance(model, Iterable):
        return tuple(name for one in model for name in _names(one, checkpoint))
    return () if checkpoint.path is None else (str(checkpoint.path.absolute()),)


def _create(plan: VolumePlan, source: Source, checkpoint: Checkpoint) -> None:
    """Make the empty arrays."""
    axes, shape = plan.label_axes, labels_shape(plan)
    by_axis = {"T": 1} | {
        axis: side.cell for axis, side in zip("ZYX", plan.grid.axes, strict=True)
    }
    cell = [by_axis[axis] for axis in axes]
    # No chunk may belong to two cells: two programs would write it.
    chunk = [math.gcd(CHUNK[a], c) for a, c in zip(axes, cell, strict=True)]
    spacing = _spacing_of(source, plan)
    about: dict[str, Any] = {"version": volume_store.NGFF}
    if source.path:
        about["source"] = {"image": source.path}
    out = Path(plan.out)
    volume_store.create_pyramid(
        out,
        shape,
        axes,
        "int64" if voxels(plan) > _MANY_VOXELS else "int32",
        chunk=list(chunk),
        cell=cell,
        spacing=spacing,
        more={"image-label": about},
    )
    volume_store.note(out, {"state": "running"})
    volume_store.register_labels(out)
    volume_store.create_local(plan.run.local, shape, cell)
    if plan.probabilities is not None:
        place = axes.index("T") + 1 if "T" in axes else 0
        chunk.insert(place, 1)
        sizes = list(shape)
        sizes.insert(place, len(checkpoint.card.object_classes))
        volume_store.create_pyramid(
            Path(plan.probabilities),
            sizes,
            axes[:place] + "C" + axes[place:],
            "float16",
            chunk=chunk,
            cell=[*cell[:place], 1, *cell[place:]],
            spacing=spacing,
            levels=False,
        )


def _spacing_of(source: Source, plan: VolumePlan) -> dict[str, float] | None:
    if source.params.spacing is None:
        return None
    found = spacing_by_axis(plan.axes, source.params.spacing)
    return {axis: float(size) for axis, size in found.items() if axis != "T"}
