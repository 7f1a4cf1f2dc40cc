"""What a dense CRF is told, and what its inputs must be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_seg.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNITS = ("px", "um")
LEAST_SIGMA_PX = 0.3
"""Below, a kernel is narrower than a pixel: it does nothing, and the lattice has more
points than its 16-bit coordinates can tell apart."""
_SUM_TOLERANCE = 0.02
CHECKED = 1 << 22
"""Probabilities that are looked at together."""


@dataclass(frozen=True)
class CrfParams:
    """Parameters of the fully connected CRF; each docstring is a tooltip.

    The energy is that of Kraehenbuehl & Koltun, NIPS 2011, equations 1 to 3, with Potts
    compatibility and symmetrically normalised kernels (Kraehenbuehl & Koltun, ICML
    2013): a weight is how much evidence, in nats, a pixel gets from neighbours that
    all agree.
    """

    appearance_weight: float = 0.6
    """How strongly pixels of like intensity nearby get the same class. 0 turns it
    off."""
    appearance_sigma: float = 2.0
    """How far apart such pixels may lie: the sigma of a Gaussian, in pixels (or um)."""
    intensity_sigma: float = 0.05
    """How unlike they may be: the sigma of a Gaussian, in units of the normalised
    image, where dark is 0 and bright is 1. Smaller follows weaker edges."""
    smoothness_weight: float = 0.0
    """How strongly neighbours get the same class, whatever the image. 0 turns it
    off."""
    smoothness_sigma: float = 1.5
    """Reach of that smoothing: the sigma of a Gaussian, in pixels (or um)."""
    iterations: int = 5
    """Mean-field steps. 0 leaves the probabilities as they are."""
    foreground_only: bool = False
    """Refine objects against background; the shares of the other classes within the
    objects stay. For networks that tell interiors from borders: a border one pixel
    wide is no region that could be smoothed."""
    unit: str = "px"
    """Unit of the two position sigmas: px (of the last axis), or um."""

    def check(self) -> None:
        """Refuse values that mean nothing.

        Raises
        ------
        ImageError
            Naming the field, its value and the allowed range.
        """
        for name in ("appearance_weight", "smoothness_weight"):
            _demand(name, getattr(self, name), 0.0, "Use 0 or more")
        for name in ("appearance_sigma", "smoothness_sigma", "intensity_sigma"):
            _demand(name, getattr(self, name), 1e-4, "Use a number above 0")
        if isinstance(self.iterations, bool) or int(self.iterations) != self.iterations:
            raise ImageError("iterations is no whole number", repr(self.iterations))
        _demand("iterations", self.iterations, 0, "Use 0 or more")
        if self.unit not in UNITS:
            raise ImageError(
                "Unknown unit of the position sigmas", repr(self.unit), "Use px or um"
            )

    def sigmas_px(
        self, ndim: int, spacing: tuple[float, ...] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the position sigmas of smoothness and appearance, along each axis.

        Parameters
        ----------
        ndim : int
            Spatial axes.
        spacing : tuple of float or None
            Distance between pixels along each axis, in um or any other unit; None is
            the same along all.

        Returns
        -------
        smoothness, appearance : ndarray of float64, shape (ndim,)
            In pixels of each axis.
        """
        if spacing is not None and (
            len(spacing) != ndim or not all(0 < s < math.inf for s in spacing)
        ):
            raise ImageError(
                f"The spacing needs {ndim} positive numbers",
                repr(spacing),
                "Give the distance between pixels along each of Z, Y, X",
            )
        if self.unit == "um" and spacing is None:
            raise ImageError(
                "Sigmas in micrometres need the pixel size",
                "no spacing",
                'Give the spacing, or use unit="px"',
            )
        steps = np.ones(ndim) if spacing is None else np.asarray(spacing, float)
        if self.unit == "px":
            steps = steps / steps[-1]
        smoothness, appearance = (
            np.maximum(sigma / steps, LEAST_SIGMA_PX)
            for sigma in (self.smoothness_sigma, self.appearance_sigma)
        )
        return smoothness, appearance

    def scaled(self, zoom: float) -> CrfParams:
        """Return the same for an image with `zoom` times as many pixels a side."""
        return replace(
            self,
            appearance_sigma=self.appearance_sigma * zoom,
            smoothness_sigma=self.smoothness_sigma * zoom,
        )


def _demand(name: str, value: Any, low: float, remedy: str) -> None:
    if not isinstance(value, int | float) or not low <= value < math.inf:
        raise ImageError(f"{name} is out of range", repr(value), remedy)


CRF_PRESETS: dict[str, CrfParams] = {
    "general": CrfParams(foreground_only=True),
    "nuclei": CrfParams(1.0, 2.0, 0.05, 0.0, foreground_only=True),
    "histology": CrfParams(3.0, 8.0, 0.15, 1.0, foreground_only=True),
    "tissue": CrfParams(1.0, 2.0, 0.05, 1.0),
}
"""Settings by domain, chosen on training images (benchmarks/crf.py). The first are the
only ones that did no harm to axons; the last are for classes that are regions by
themselves."""

DEFAULT_PRESET = "general"


def spatial_image(image: Any, shape: tuple[int, ...]) -> Any:
    """Return a view of an image with its channels first; lazy ones stay lazy.

    Parameters
    ----------
    image : array
        Of the spatial shape, with a channel axis first or last, or without.
    shape : tuple of int
        Spatial shape of the probabilities.

    Returns
    -------
    array, shape (C, *shape)
        Sliced like NumPy, with one entry for each axis.
    """
    found = tuple(int(n) for n in image.shape)
    is_lazy = not isinstance(image, np.ndarray)
    if found == shape:
        return _ChannelsFirst(image, None) if is_lazy else image[None]
    if len(found) == len(shape) + 1 and found[1:] == shape:
        return image
    if len(found) == len(shape) + 1 and found[:-1] == shape:
        return _ChannelsFirst(image, -1) if is_lazy else np.moveaxis(image, -1, 0)
    raise ImageError(
        "The image does not fit the probabilities",
        f"image {found}, probabilities of {shape}",
        "Give an image of the same size; a channel axis may be first or last",
    )


class _ChannelsFirst:
    """An image on disk with its channels first; zarr adds and moves no axes."""

    def __init__(self, image: Any, axis: int | None) -> None:
        self._image = image
        self._axis = axis
        full = tuple(int(n) for n in image.shape)
        self.shape = (1, *full) if axis is None else (full[-1], *full[:-1])
        self.dtype = np.dtype(image.dtype)

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        channel, *window = index
        if self._axis is None:
            return np.asarray(np.asarray(self._image[tuple(window)])[None][channel])
        part = np.asarray(self._image[(*window, slice(None))])
        return np.asarray(np.moveaxis(part, -1, 0)[channel])


def check_probabilities(probabilities: Any) -> NDArray[np.floating]:
    """Return probabilities that native code can be given.

    Parameters
    ----------
    probabilities : array_like, shape (K, [Z,] Y, X)
        Background first.

    Raises
    ------
    ImageError
        If there are fewer than two classes, or values that are no probabilities.
    """
    array: Any = probabilities
    if not (hasattr(array, "shape") and hasattr(array, "dtype")):
        array = np.asarray(array)
    if array.dtype.kind != "f" or len(array.shape) not in (3, 4):
        raise ImageError(
            "Probabilities must be floats of shape (K, Y, X) or (K, Z, Y, X)",
            f"{array.dtype} of shape {array.shape}",
            "Give one plane a class, background first",
        )
    if array.shape[0] < 2 or 0 in array.shape:
        raise ImageError(
            "A CRF needs pixels of at least two classes",
            f"shape {array.shape}",
            "Give background and foreground: np.stack([1 - p, p])",
        )
    # Row by row: the sums and comparisons of a large image would fill the memory.
    step = max(1, CHECKED // max(1, math.prod(array.shape) // array.shape[1]))
    for start in range(0, array.shape[1], step):
        part = np.asarray(array[:, start : start + step])
        if not (part.min() >= 0 and part.max() <= 1 + _SUM_TOLERANCE):
            raise ImageError(
                "Probabilities must lie between 0 and 1",
                f"{part.min():.4g} to {part.max():.4g}",
                "Apply a softmax to logits first",
            )
        total = part.sum(axis=0)
        if abs(total - 1).max() > _SUM_TOLERANCE:
            raise ImageError(
                "The probabilities of a pixel must add up to 1",
                f"{total.min():.4g} to {total.max():.4g}",
                "Is a class missing? Background comes first",
            )
    return cast("NDArray[np.floating]", array)


def fold(
    probabilities: NDArray[np.floating], threshold: float = 0.5
) -> NDArray[np.float32]:
    """Return background and foreground of several classes.

    Parameters
    ----------
    probabilities : ndarray of float, shape (K, *spatial)
        Background first.
    threshold : float
        Foreground probability from which on a pixel is taken for one of an object. It
        becomes 0.5, where a CRF is undecided: otherwise it would decide for the
        background in doubt, and small or faint objects would go.
    """
    background = np.clip(probabilities[0], 0, 1).astype(np.float32, copy=False)
    return _moved(background, 1 - threshold)


def unfold(
    refined: NDArray[np.float32],
    original: NDArray[np.floating],
    threshold: float = 0.5,
) -> NDArray[np.float32]:
    """Return all classes, each with its old share of the new foreground.

    Parameters
    ----------
    refined : ndarray of float32, shape (2, *spatial)
        Background and foreground after the CRF.
    original : ndarray of float, shape (K, *spatial)
        All classes before it.
    threshold : float
        As `fold` had it.
    """
    background, foreground = _moved(refined[0], threshold)
    total = np.maximum(original[1:].sum(axis=0), 1e-6)
    result = np.empty(original.shape, np.float32)
    result[0] = background
    result[1:] = original[1:] / total * foreground
    # Where there was no foreground at all, nobody knows the shares.
    result[1] += np.maximum(foreground - result[1:].sum(axis=0), 0)
    return result


def _moved(background: NDArray[np.float32], middle: float) -> NDArray[np.float32]:
    """Return background and foreground where background of `middle` becomes 0.5."""
    if middle != 0.5:
        mine, others = background * (1 - middle), (1 - background) * middle
        background = np.asarray(mine / (mine + others), np.float32)
    return np.stack([background, 1 - background])
