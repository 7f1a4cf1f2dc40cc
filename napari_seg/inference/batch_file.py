"""One image file into one labels file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.data.image_data import ImageData, spacing_axes
from napari_seg.data.io import read_image, read_labels, write_labels
from napari_seg.data.tracks_table import tracks_path, write_tracks
from napari_seg.errors import FormatError
from napari_seg.imaging.axes import check_axes, spatial_axes
from napari_seg.inference.segment import iter_segment

if TYPE_CHECKING:
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.result import Segmentation
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.types import Progress

    Steps = Callable[
        [Any, Checkpoint, SegmentParams], Generator[Progress, None, Segmentation]
    ]


@dataclass(frozen=True)
class FileResult:
    """Labels of an image that were written to a file."""

    report: dict[str, Any]
    """Plain values: files, number of objects, axes, shape, spacing, provenance."""
    image: ImageData
    """With the axes that were taken."""
    labels: NDArray[np.int32]
    """With the axes of the image without C."""
    scores: Mapping[int, float]
    """How sure a detector is of each object."""


def iter_segment_file(
    path: Path,
    target: Path,
    checkpoint: Checkpoint,
    params: SegmentParams,
    *,
    classes: bool = False,
    steps: Steps = iter_segment,
) -> Generator[Progress, None, FileResult]:
    """Segment one image into one labels file.

    Parameters
    ----------
    path, target : pathlib.Path
        The image, and the ``.tif`` for its labels.
    checkpoint : Checkpoint
    params : SegmentParams
        `spacing` is taken from the file.
    classes : bool, optional
        Whether the class of each pixel is written beside, into ``classes/``.
    steps : callable, optional
        Does it, as `iter_segment` does.

    Yields
    ------
    Progress
        Those of `steps`.

    Returns
    -------
    FileResult
    """
    data = read_image(path)
    axes = check_axes(params.axes or data.axes, data.array.shape)
    spacing = _spacing(data, axes)
    sizes = dict(zip(spacing_axes(axes), spacing or (), strict=False))
    params = replace(
        params,
        axes=axes,
        # frames count as one pixel each, as the core wants it
        spacing=tuple(sizes.get(a, 1.0) for a in spatial_axes(axes)) if sizes else None,
        keep_probabilities=classes,
    )
    with closing(steps(data.array, checkpoint, params)) as job:
        result = yield from job
    more: dict[str, Any] = {}
    if result.tracks is not None:
        table = tracks_path(target)
        try:
            write_tracks(table, result.tracks, spacing)
        except OSError as error:
            raise unwritten(table, error) from error
        more = {"tracks": str(table), "divisions": len(result.tracks.parents) // 2}
    _write(target, result.labels, result.axes, spacing)
    if classes:
        map_path = classes_path(target)
        _write(map_path, result.semantic, result.axes, spacing)
        more |= {"classes": str(map_path), "class_names": result.class_names}
    report = {
        "input": str(path),
        "output": str(target),
        **more,
        "objects": _count(result.labels),
        "axes": result.axes,
        "shape": list(result.labels.shape),
        "spacing_um": spacing,
        "diameter_px": result.diameter_px,
        "provenance": result.provenance,
    }
    image = ImageData(data.array, axes, spacing)
    return FileResult(report, image, result.labels, result.scores)


def read_result(path: Path, target: Path, params: SegmentParams) -> FileResult:
    """Read an image and the labels that were written for it."""
    image, stored = read_image(path), read_labels(target)
    axes = check_axes(params.axes or image.axes, image.array.shape)
    # in the file they are in the order T, Z, Y, X
    order = [stored.axes.index(letter) for letter in spatial_axes(axes)]
    labels = np.asarray(stored.array).transpose(order)
    image = ImageData(image.array, axes, _spacing(image, axes))
    return FileResult({}, image, labels, {})


def classes_path(target: Path) -> Path:
    """Return where the classes are written, for where the labels are."""
    return target.parent / "classes" / target.name


def _write(
    path: Path,
    labels: NDArray[np.integer],
    axes: str,
    spacing: tuple[float, ...] | None,
) -> None:
    try:
        write_labels(path, labels, axes, spacing)
    except OSError as error:
        raise unwritten(path, error) from error


def unwritten(path: Path, error: OSError) -> FormatError:
    """Return the error that names the file which could not be written."""
    return FormatError(
        f"cannot write {path}",
        error.strerror or str(error),
        "Make room, or choose a folder that can be written to.",
    )


def _spacing(data: ImageData, axes: str) -> tuple[float, ...] | None:
    """Return the voxel size for `axes`, which may be other names than the file's."""
    if data.spacing is None:
        return None
    sizes = dict(zip(spacing_axes(data.axes), data.spacing, strict=True))
    # the user may have called an axis Z that the file did not
    return tuple(sizes.get(letter, 1.0) for letter in spacing_axes(axes))


def _count(labels: NDArray[np.int32]) -> int:
    """Return the number of distinct ids, plane by plane to save memory."""
    seen = np.zeros(int(labels.max(initial=0)) + 1, dtype=bool)
    for plane in labels.reshape(-1, *labels.shape[-2:]):
        seen[plane] = True
    return int(seen[1:].sum())
