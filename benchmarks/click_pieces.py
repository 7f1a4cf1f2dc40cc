"""The objects that the robot works on: pieces of validation images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.data.io import read_image, read_labels
from napari_seg.imaging.deltas import bounding_box
from napari_seg.refine.volume import normal_spacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box

Network = Callable[["NDArray[Any]"], "NDArray[np.float32]"]

EDGE_PX = 40
"""Border of the piece around twice the object's box that every tool sees."""


@dataclass(frozen=True)
class View:
    """All that a tool is given.

    Parameters
    ----------
    image : ndarray, shape of the grid, channels last where it has any
    labels : ndarray of int32, shape of the grid
        Objects at the beginning; empty where the robot starts from nothing.
    object_id : int
        Object to correct, 0 for a new one.
    spacing : tuple of float
        Voxel size in units of its shortest side.
    cut_faces : tuple of (bool, bool)
        For each axis whether the piece ends inside the image, at its start and stop.
    probabilities : ndarray of float32, shape (K, *grid), optional
        Of a network.
    """

    image: NDArray[Any]
    labels: NDArray[np.int32]
    object_id: int
    spacing: tuple[float, ...]
    cut_faces: tuple[tuple[bool, bool], ...]
    probabilities: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return self.labels.ndim

    def start(self) -> NDArray[np.bool_]:
        """Return the object before the first click."""
        return np.asarray((self.labels == self.object_id) & (self.labels > 0))

    @property
    def has_channels(self) -> bool:
        """Whether the image has a channel axis, then the last one."""
        return self.image.ndim > self.ndim


@dataclass(frozen=True)
class Piece:
    """What a tool sees of an image, and apart from it the truth.

    Parameters
    ----------
    name : str
        File and id.
    box : tuple of slice
        Where in the image.
    view : View
        All that a tool is given.
    truth : ndarray of bool, shape of the grid
    """

    name: str
    box: Box
    view: View
    truth: NDArray[np.bool_]


def sample(
    folder: Path,
    count: int,
    seed: int,
    *,
    spacing: tuple[float, ...] | None = None,
    network: Network | None = None,
) -> list[Piece]:
    """Return pieces of images, each with one object drawn at random.

    Parameters
    ----------
    folder : Path
        With ``images/`` and ``masks/`` paired by file name.
    count, seed : int
        How many objects, and of the random numbers.
    spacing : tuple of float, optional
        Voxel size; by default what the file says, or isotropic.
    network : callable, optional
        Returns the class probabilities (K, *grid) of an image.
    """
    everything = []
    for path in sorted((folder / "masks").glob("*.tif")):
        ids = np.unique(np.asarray(read_labels(path).array))
        everything += [(path.name, int(i)) for i in ids if i > 0]
    order = np.random.default_rng(seed).permutation(len(everything))[:count]
    pieces = []
    # Image by image, so that the network sees each one once.
    for name, object_id in sorted(everything[i] for i in order):
        if not pieces or pieces[-1].name.rpartition(":")[0] != name:
            image, grid = read_grid(folder / "images" / name, spacing)
            labels = np.asarray(read_labels(folder / "masks" / name).array)
            probabilities = network(image) if network else None
        piece = cut_piece(
            f"{name}:{object_id}",
            image,
            labels == object_id,
            np.zeros_like(labels),
            grid,
            probabilities=probabilities,
        )
        pieces.append(piece)
    return pieces


def read_grid(
    path: Path, spacing: tuple[float, ...] | None = None
) -> tuple[NDArray[Any], tuple[float, ...]]:
    """Return an image with channels last, and its voxel size (shortest side 1)."""
    data = read_image(path)
    image = np.asarray(data.array)
    if "C" in data.axes:
        image = np.moveaxis(image, data.axes.index("C"), -1)
    ndim = len(data.axes.replace("C", ""))
    return image, normal_spacing(spacing or data.spacing, ndim)


def cut_piece(
    name: str,
    image: NDArray[Any],
    truth: NDArray[np.bool_],
    labels: NDArray[np.int32],
    spacing: tuple[float, ...],
    *,
    object_id: int = 0,
    probabilities: NDArray[np.float32] | None = None,
) -> Piece:
    """Return the piece of an image around an object, as it is and should be."""
    box = around(truth | ((labels == object_id) & (labels > 0)))
    faces = tuple(
        (s.start > 0, s.stop < n) for s, n in zip(box, truth.shape, strict=True)
    )
    view = View(
        image=image[box],
        labels=labels[box].astype(np.int32),
        object_id=object_id,
        spacing=spacing,
        cut_faces=faces,
        probabilities=None if probabilities is None else probabilities[(..., *box)],
    )
    return Piece(name, box, view, truth[box])


def around(mask: NDArray[np.bool_]) -> Box:
    """Return twice the box of a mask and a border, within the image."""
    tight = bounding_box(mask)
    sides = []
    for side, length in zip(tight, mask.shape, strict=True):
        pad = (side.stop - side.start) // 2 + EDGE_PX
        sides.append(slice(max(side.start - pad, 0), min(side.stop + pad, length)))
    return tuple(sides)


@dataclass(frozen=True)
class Segmented:
    """An image with its truth and what a network made of it.

    Parameters
    ----------
    name : str
    image : ndarray, channels last where it has any
    truth, labels : ndarray of int32, shape of the grid
    probabilities : ndarray of float32, shape (K, *grid)
    spacing : tuple of float
    """

    name: str
    image: NDArray[Any]
    truth: NDArray[np.int32]
    labels: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    spacing: tuple[float, ...]


def segmented(folder: Path, name: str, model: Any) -> Segmented:
    """Run a network on one image, with the settings of the panel."""
    from napari_seg.inference.segment import segment

    image, spacing = read_grid(folder / "images" / name)
    truth = np.asarray(read_labels(folder / "masks" / name).array)
    found = segment(image, model)
    return Segmented(name, image, truth, found.labels, found.probabilities, spacing)
