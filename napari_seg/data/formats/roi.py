"""ImageJ: one ROI per object and plane, in a zip that the ROI Manager opens."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.formats.files import Names, image_of_stem, new_folder
from napari_seg.data.formats.outlines import Piece, Rings, filled, pieces, rings_of
from napari_seg.data.formats.overlaps import put
from napari_seg.data.io import read_image, write_picture
from napari_seg.data.limits import check_size, library
from napari_seg.errors import FormatError
from napari_seg.imaging.axes import (
    PlaneIndex,
    axis_size,
    iter_planes,
    plane_selection,
    spatial_axes,
    spatial_shape,
)

LARGEST_MEMBER = 16 * 2**20
LARGEST_ZIP = 512 * 2**20
_ID = re.compile(r"id_(\d{1,10})(?!\d)")
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    IndexError,
    TypeError,
    RuntimeError,
)
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


def write_rois(items: Iterable[AnnotatedImage], out: Path) -> None:
    """Write ``<name>.zip`` and, where there is an image, ``<name>.tif`` beside it.

    Objects keep their id as the name ``id_12`` (in stacks ``id_12_t0001_z0002``); those
    with holes or several parts are composite ROIs. Ignored objects are left out.
    """
    names = Names()
    with new_folder(out) as folder:
        for item in items:
            name = names.take(item)
            if item.image is not None:
                picture = folder / f"{name}.tif"
                write_picture(picture, item.image, item.axes, item.spacing)
            with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
                for roi in _rois(item):
                    archive.writestr(f"{roi.name}.roi", roi.tobytes())


def _rois(item: AnnotatedImage) -> Iterator[Any]:
    axes, labels = item.label_axes, item.kept
    for plane in iter_planes(axes, labels.shape):
        suffix = f"_t{plane.t:04d}" * ("T" in axes) + f"_z{plane.z:04d}" * ("Z" in axes)
        place = {"t": plane.t} if "T" in axes else {}
        place |= {"z": plane.z} if "Z" in axes else {}
        for piece in pieces(np.asarray(labels[plane_selection(axes, plane)])):
            yield _roi(piece, f"id_{piece.object_id}{suffix}", place)


def _roi(piece: Piece, name: str, place: dict[str, int]) -> Any:
    roifile = library("roifile")
    rings = rings_of(piece)
    if len(rings.outer) + len(rings.holes) == 1:
        roi = roifile.ImagejRoi.frompoints(rings.outer[0], name=name, **place)
        roi.roitype = roifile.ROI_TYPE.TRACED
        roi.options = roifile.ROI_OPTIONS(0)
        return roi
    rows, columns = piece.box
    path = _path(rings)
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT,
        name=name,
        top=rows.start,
        left=columns.start,
        bottom=rows.stop,
        right=columns.stop,
        shape_roi_size=len(path),
        multi_coordinates=path,
        c_position=0,
        z_position=place.get("z", -1) + 1,
        t_position=place.get("t", -1) + 1,
        position=0,
    )


def _path(rings: Rings) -> NDArray[np.float32]:
    """Return the outlines as ImageJ stores composite shapes."""
    values: list[float] = []
    for ring in [*rings.outer, *rings.holes]:
        for number, (x, y) in enumerate(ring.tolist()):
            values += [_LINE if number else _MOVE, x, y]
        values.append(_CLOSE)
    return np.array(values, np.float32)


def read_rois(path: Path, images: Path | None = None) -> Iterator[AnnotatedImage]:
    """Read ROI zips, each with the image of the same name.

    Parameters
    ----------
    path : pathlib.Path
        A zip of ROIs, or a folder of some.
    images : pathlib.Path, optional
        Where the images lie, else beside the zips.

    Yields
    ------
    AnnotatedImage
        ROIs called ``id_12`` become object 12, others the next free ids in their order.

    Raises
    ------
    FormatError
        If an image is missing, ROIs overlap or are no areas, or a zip is damaged or
        holds names that lead out of it.
    """
    for file in sorted(path.glob("*.zip")) if path.is_dir() else [path]:
        picture = image_of_stem(file.stem, [images or file.parent])
        if picture is None:
            raise FormatError(
                f"there is no image {file.stem} to the ROIs",
                str(images or file.parent),
                "Give its folder (--images): ROIs do not know how large the image is.",
            )
        data = read_image(picture)
        shape = spatial_shape(data.axes, data.array.shape)
        check_size(shape, 4, picture.name)
        labels = np.zeros(shape, np.int32)
        for number, roi in _numbered(list(_members(file))):
            _draw(labels, spatial_axes(data.axes), roi, number, file.name)
        yield AnnotatedImage(file.stem, labels, data.axes, data.array, data.spacing)


def _members(file: Path) -> Iterator[Any]:
    """Yield the ROIs of a zip without unpacking anything to disk."""
    roifile = library("roifile")
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            for member in members:
                parts = member.filename.replace("\\", "/").split("/")
                if ".." in parts or parts[0] in ("", ".") or ":" in parts[0]:
                    raise FormatError(
                        f"{file.name} holds a name that leads out of it",
                        repr(member.filename),
                        "Such a file is not opened.",
                    )
            sizes = [member.file_size for member in members]
            if max(sizes, default=0) > LARGEST_MEMBER or sum(sizes) > LARGEST_ZIP:
                raise FormatError(
                    f"{file.name} unpacks to too much", f"{sum(sizes) / 2**20:.0f} MB"
                )
            for member in members:
                if member.filename.lower().endswith(".roi"):
                    yield roifile.ImagejRoi.frombytes(archive.read(member))
    except _DAMAGED as error:
        raise FormatError(
            f"{file.name} is not a zip of ROIs that can be read",
            str(error) or type(error).__name__,
            "Save it again from ImageJ's ROI Manager.",
        ) from error


def _numbered(rois: list[Any]) -> Iterator[tuple[int, Any]]:
    """Give each ROI its id: that of its name, else the next that is free."""
    named = [_ID.match(roi.name or "") for roi in rois]
    highest = max((int(match[1]) for match in named if match), default=0)
    for roi, match in zip(rois, named, strict=True):
        if match is None:
            highest += 1
        yield (highest if match is None else int(match[1])), roi


def _draw(
    labels: NDArray[np.int32], axes: str, roi: Any, number: int, name: str
) -> None:
    """Draw one ROI into the plane it is on."""
    roifile = library("roifile")
    areas = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")
    if roi.roitype not in [roifile.ROI_TYPE[kind] for kind in areas]:
        raise FormatError(
            f"{roi.name} in {name} is no area",
            roi.roitype.name,
            "Lines, angles and points are no objects: delete them in the ROI Manager.",
        )
    plane = _plane(roi, axes, labels.shape)
    window = labels[plane_selection(axes, plane)]
    mask = filled(_rings(roi, name), window.shape)
    if not mask.any() or not 0 < number <= np.iinfo(np.int32).max:
        raise FormatError(
            f"{roi.name} in {name} is not on its image",
            f"image {labels.shape} ({axes})",
            "Give the image that the ROIs were drawn on.",
        )
    put(window, mask, number, name)


def _rings(roi: Any, name: str) -> list[NDArray[np.float64]]:
    """Return the outlines of a ROI, all numbers finite."""
    try:
        rings = [np.asarray(ring, float) for ring in roi.coordinates(multi=True)]
    except (IndexError, ValueError, RuntimeError) as error:
        raise FormatError(
            f"the outline of {roi.name} in {name} cannot be read",
            str(error),
            "Turn it into a polygon in ImageJ.",
        ) from error
    return [ring for ring in rings if len(ring) > 2 and np.isfinite(ring).all()]


def _plane(roi: Any, axes: str, shape: tuple[int, ...]) -> PlaneIndex:
    """Return the plane a ROI is on; ImageJ counts from 1, 0 is none in particular."""
    t, z = max(roi.t_position - 1, 0), max(roi.z_position - 1, 0)
    if not roi.t_position and not roi.z_position and roi.position > 0:
        planes = axis_size(axes, shape, "Z")
        t, z = divmod(roi.position - 1, planes)
    if t >= axis_size(axes, shape, "T") or z >= axis_size(axes, shape, "Z"):
        raise FormatError(
            f"{roi.name} is on a plane that the image does not have",
            f"frame {t + 1}, plane {z + 1} of {shape} ({axes})",
            "Give the image that the ROIs were drawn on.",
        )
    return PlaneIndex(t, z)
