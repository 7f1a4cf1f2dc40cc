"""Random deformations and intensity changes, from a generator that is passed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Augmentation:
    """How strongly training patches are varied."""

    scale: tuple[float, float] = (0.6, 1.7)
    """Smallest and largest magnification, drawn log-uniformly."""
    rotate: bool = True
    """Turn by any angle, and mirror."""
    elastic_px: float = 3.0
    """Standard deviation (px) of the displacements on a 3x3 grid; the paper has 10."""
    invert: float = 0.1
    """Probability of turning bright on dark into dark on bright."""
    blur_px: float = 2.0
    """Largest standard deviation (px) of a Gaussian blur."""
    noise: float = 0.15
    """Largest standard deviation of added noise, in normalised intensity."""
    intensity: bool = True
    """Vary contrast, brightness, gamma and illumination."""

    @classmethod
    def paper(cls) -> Augmentation:
        """Variations of the U-Net paper, section 3.1.

        Shifts, turns, grey values, and elastic deformations of 10 px on a 3x3 grid.
        """
        return cls(scale=(1, 1), elastic_px=10.0, invert=0, blur_px=0, noise=0)

    @classmethod
    def gentle(cls) -> Augmentation:
        """For a few images of one kind: what the next image may well look like."""
        return cls(scale=(0.75, 1.35), invert=0, blur_px=1.0, noise=0.08)

    @classmethod
    def strong(cls) -> Augmentation:
        """For images of few microscopes, when those of others are to be segmented."""
        return cls(scale=(0.5, 1.9), blur_px=4.0, noise=0.25)


STRENGTHS: Mapping[str, Augmentation] = {
    "gentle": Augmentation.gentle(),
    "usual": Augmentation(),
    "strong": Augmentation.strong(),
}
"""How strongly patches are varied, by name."""


def sampling_grid(
    shape: tuple[int, int],
    centre: tuple[float, float],
    params: Augmentation,
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
) -> NDArray[np.float32]:
    """Where in the source every pixel of a patch is read.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the patch.
    centre : (float, float)
        Source position (row, column) of the patch's centre.
    params : Augmentation
    rng : numpy.random.Generator
    scale : float
        Source pixels per patch pixel before the random magnification.

    Returns
    -------
    ndarray of float32, shape (2, rows, columns)
        Source rows and columns: image and labels are read with the same field.
    """
    rows, cols = np.meshgrid(
        *(np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in shape), indexing="ij"
    )
    zoom = np.exp(rng.uniform(*np.log(params.scale)))
    angle = rng.uniform(0, 2 * np.pi) if params.rotate else 0.0
    flip = -1.0 if params.rotate and rng.random() < 0.5 else 1.0
    if params.elastic_px > 0:
        rows = rows + elastic_field(shape, params.elastic_px, rng)
        cols = cols + elastic_field(shape, params.elastic_px, rng)
    step = scale / zoom
    sin, cos = np.sin(angle), np.cos(angle)
    y = centre[0] + step * (cos * rows - sin * cols * flip)
    x = centre[1] + step * (sin * rows + cos * cols * flip)
    return np.stack([y, x]).astype(np.float32)


def elastic_field(
    shape: tuple[int, int], sigma_px: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Smooth displacements: Gaussian on a 3x3 grid, interpolated bicubically.

    Ronneberger et al. 2015, section 3.1.
    """
    coarse = rng.normal(0, sigma_px, (3, 3))
    rows, cols = (_cubic_basis(n) for n in shape)
    return (rows @ coarse @ cols.T).astype(np.float32)


@lru_cache(maxsize=16)
def _cubic_basis(length: int) -> NDArray[np.float64]:
    """Weights (length, 3) of three equally spaced values in a cubic spline."""
    at = np.linspace(0, 2, length)
    return np.stack(
        [
            ndimage.map_coordinates(unit, [at], order=3, mode="nearest")
            for unit in np.eye(3)
        ],
        axis=1,
    )


def fold(grid: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Mirror positions outside an image back into it.

    Parameters
    ----------
    grid : ndarray of float32, shape (2, rows, columns)
        Rows and columns in the image.
    shape : (int, int)
        Rows and columns of the image.

    Returns
    -------
    ndarray of float32, same shape
        Within ``0..length - 1``; the edge pixels are the mirrors.
    """
    folded = np.empty_like(grid)
    for axis, length in enumerate(shape):
        period = max(2 * (length - 1), 1)
        at = np.abs(grid[axis]) % period
        folded[axis] = np.clip(np.minimum(at, period - at), 0, length - 1)
    return folded


def warp(
    image: NDArray[np.float32], labels: NDArray[np.int32], grid: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Read image (linear) and labels (nearest) through one field, mirrored outside.

    Parameters
    ----------
    image : ndarray of float32, shape (C, Y, X)
    labels : ndarray of int32, shape (Y, X)
    grid : ndarray of float32, shape (2, rows, columns)

    Returns
    -------
    image : ndarray of float32, shape (C, rows, columns)
    labels : ndarray of int32, shape (rows, columns)
        Only ids that `labels` has.
    """
    warped = np.stack(
        [ndimage.map_coordinates(c, grid, order=1, mode="mirror") for c in image]
    )
    ids = ndimage.map_coordinates(labels, grid, order=0, mode="mirror")
    return warped, ids


def vary_intensity(
    image: NDArray[np.float32], params: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Change grey values as other microscopes, stains and exposures would.

    Parameters
    ----------
    image : ndarray of float32, shape (C, [Z,] Y, X)
        Normalised: about 0..1.

    Returns
    -------
    ndarray of float32, same shape
    """
    if params.intensity:
        image = _tone(image, rng)
        if rng.random() < 0.3:
            image = image + _illumination(image.shape[-2:], rng)
    if params.blur_px > 0 and rng.random() < 0.35:
        sigma = rng.uniform(0, params.blur_px)
        image = ndimage.gaussian_filter(image, sigma, axes=(-2, -1))
    if params.noise > 0 and rng.random() < 0.5:
        image = image + _noise(image.shape, params.noise, rng)
    if rng.random() < params.invert:
        image = 1 - image
    return image.astype(np.float32, copy=False)


def _tone(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    if rng.random() < 0.5:
        gamma = np.exp(rng.uniform(np.log(0.5), np.log(2.0)))
        image = np.sign(image) * np.abs(image) ** gamma
    # Percentiles of another crop of the sample would have set another range.
    contrast = np.exp(rng.uniform(np.log(0.5), np.log(1.6)))
    return image * contrast + rng.uniform(-0.1, 0.1)


def _illumination(
    shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    field = elastic_field((shape[0], shape[1]), 1.0, rng)
    return field * np.float32(rng.uniform(0, 0.2))


def _noise(
    shape: tuple[int, ...], limit: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(0, limit))
    if rng.random() < 0.5:
        # Camera and resampling noise has grain: neighbouring pixels correlate.
        sigma = rng.uniform(0.4, 1.0)
        noise = ndimage.gaussian_filter(noise, sigma, axes=(-2, -1)) * np.float32(2)
    return noise
