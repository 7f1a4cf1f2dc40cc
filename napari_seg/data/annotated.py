"""An image with its labels and what is known of each object: what formats exchange."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_seg.data.image_data import lazy_array, spacing_axes
from napari_seg.data.provenance import Provenance
from napari_seg.errors import FormatError
from napari_seg.imaging.axes import (
    PlaneIndex,
    check_axes,
    iter_planes,
    plane_selection,
    spatial_axes,
    spatial_shape,
)
from napari_seg.imaging.objects import ids_in
from napari_seg.imaging.slabs import slabs, whole

PROPOSED = "proposed"
EDITED = "edited"
VERIFIED = "verified"
STATES = (PROPOSED, EDITED, VERIFIED)
DEFAULT_CLASS = "object"
_SIDE = re.compile(r"\w{0,40}")


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image with its labels.

    Raises
    ------
    FormatError
        If the labels are not ids, or of another shape than the image, or the voxel
        size or the split makes no sense.
    """

    name: str
    """What its files are called."""
    labels: NDArray[np.int32]
    """Ids with the axes of the image without C; 0 is background. May be a dask array,
    which is read plane by plane."""
    axes: str = "YX"
    """Axes of the image, or of the labels where there is no image."""
    image: Any = None
    """Array of any real type, may be lazy; None if only masks are known."""
    spacing: tuple[float, ...] | None = None
    """Voxel size in um for each of Z, Y, X in `axes`, in that order."""
    channels: tuple[str, ...] = ()
    """Names of the channels."""
    states: Mapping[int, str] = field(default_factory=dict)
    """``proposed``, ``edited`` or ``verified``, of objects where it is known."""
    classes: Mapping[int, str] = field(default_factory=dict)
    """Class of each object that has one."""
    scores: Mapping[int, float] = field(default_factory=dict)
    """How sure the network was of each object, 0 to 1."""
    uncertainties: Mapping[int, float] = field(default_factory=dict)
    """How likely each object is wrong, 0 to 1."""
    ignored: frozenset[int] = frozenset()
    """Objects that are there but not to be learnt from."""
    group: str = ""
    """What is of one group stays on one side of a split; the name if empty."""
    split: str = ""
    """``train``, ``val`` or empty for both."""
    provenance: Provenance = field(default_factory=Provenance)
    """Where it comes from."""

    def __post_init__(self) -> None:
        shape = self.labels.shape if self.image is None else self.image.shape
        axes = self.axes if self.image is not None else spatial_axes(self.axes)
        expected = spatial_shape(check_axes(axes, shape), shape)
        if tuple(self.labels.shape) != expected:
            raise FormatError(
                f"the masks of {self.name} do not fit its image",
                f"masks {tuple(self.labels.shape)}, image {tuple(shape)} ({axes})",
                "Give the image that the masks were made for.",
            )
        self._check_fields()
        object.__setattr__(self, "labels", _as_ids(self.labels, self.name))

    def _check_fields(self) -> None:
        """Bring what is known of objects into plain Python types."""
        axes, sizes = spacing_axes(self.axes), self.spacing
        if sizes is not None and (
            len(sizes) != len(axes) or not all(0 < s < math.inf for s in sizes)
        ):
            raise FormatError(
                f"the voxel size of {self.name} is none", f"{sizes} for {axes}"
            )
        if not _SIDE.fullmatch(self.split):
            raise FormatError(
                f"the split of {self.name} is no name",
                repr(self.split),
                "Use train or val.",
            )
        for name in ("states", "classes"):
            texts = {int(i): str(v) for i, v in getattr(self, name).items()}
            object.__setattr__(self, name, texts)
        for name in ("scores", "uncertainties"):
            values = {int(i): float(v) for i, v in getattr(self, name).items()}
            finite = {i: v for i, v in values.items() if math.isfinite(v)}
            object.__setattr__(self, name, finite)

    @property
    def label_axes(self) -> str:
        """Axes of the labels."""
        return spatial_axes(self.axes)

    @property
    def key(self) -> str:
        """Name of the group."""
        return self.group or self.name

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """Ids of all objects, ascending."""
        return tuple(ids_in(self.labels, whole(self.labels)))

    @cached_property
    def kept(self) -> NDArray[np.int32]:
        """The labels without the ignored objects."""
        if not self.ignored:
            return self.labels
        left_out = np.array(sorted(self.ignored), np.int32)
        if isinstance(self.labels, np.ndarray):
            return _without(self.labels, left_out)
        lazy: Any = self.labels
        return cast("NDArray[np.int32]", lazy.map_blocks(_without, left_out))

    def class_of(self, object_id: int) -> str:
        """Class of an object, ``object`` where nobody gave one."""
        return self.classes.get(object_id, DEFAULT_CLASS)

    def planes(self) -> Iterator[AnnotatedImage]:
        """Yield its planes as images of their own, for formats that know only two axes.

        Yields
        ------
        AnnotatedImage
            Named ``name_t0001_z0002``; they are of one group. A single plane is
            itself.
        """
        if len(self.label_axes) == 2:
            yield replace(self, labels=np.asarray(self.labels))
            return
        for plane in iter_planes(self.label_axes, self.labels.shape):
            yield self._plane(plane)

    def _plane(self, plane: PlaneIndex) -> AnnotatedImage:
        has = {letter: letter in self.axes for letter in "TZ"}
        suffix = f"_t{plane.t:04d}" * has["T"] + f"_z{plane.z:04d}" * has["Z"]
        origin = replace(
            self.provenance,
            time=plane.t if has["T"] else self.provenance.time,
            plane=plane.z if has["Z"] else self.provenance.plane,
        )
        image = self.image
        if image is not None:
            image = np.asarray(image[plane_selection(self.axes, plane)])
        return replace(
            self,
            name=self.name + suffix,
            labels=np.asarray(self.labels[plane_selection(self.label_axes, plane)]),
            image=image,
            axes="".join(a for a in self.axes if a not in "TZ"),
            spacing=self.spacing[-2:] if self.spacing else None,
            group=self.key,
            provenance=origin,
        )


def _without(labels: NDArray[np.int32], ids: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.where(np.isin(labels, ids), np.int32(0), labels)


def _as_ids(labels: NDArray[Any], name: str) -> NDArray[np.int32]:
    """Return labels as int32, or say why they are none."""
    if labels.dtype.kind not in "bui":
        raise FormatError(
            f"the masks of {name} are not whole numbers",
            f"dtype {labels.dtype}",
            "Masks hold one id per pixel, 0 is background.",
        )
    low = high = 0
    if not isinstance(labels, np.ndarray):
        labels = lazy_array(labels)
    for part in slabs(labels, whole(labels)):
        piece = np.asarray(labels[part])
        low, high = min(low, int(piece.min())), max(high, int(piece.max()))
    if low < 0 or high > np.iinfo(np.int32).max:
        raise FormatError(
            f"the masks of {name} hold no ids",
            f"values {low} to {high}",
            "Ids are whole numbers from 0 (background) to 2147483647.",
        )
    return labels.astype(np.int32, copy=False)
