"""One block of a dense CRF by pydensecrf; runs in a helper process.

The C++ code takes what it is given: a wrong shape or type there ends the process, so
everything is checked, and made contiguous, before.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import ImageError, NapariSegError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOLVE = f"{__name__}:solve_block"
"""For `Offload.call`."""
INSTALL = "pip install pydensecrf2"
LEAST_PROBABILITY = 1e-6
"""What a network calls impossible still has a price: about 14 nats."""
_MOST_ITERATIONS = 1000


@dataclass(frozen=True)
class Kernels:
    """The two kernels of a CRF, in pixels."""

    smoothness_sigmas: tuple[float, ...]
    """Position sigma along each axis, in pixels."""
    smoothness_weight: float
    """0 leaves the kernel out."""
    appearance_sigmas: tuple[float, ...]
    """Position sigma along each axis, in pixels."""
    intensity_sigma: float
    """In units of the normalised image."""
    appearance_weight: float
    """0 leaves the kernel out."""
    iterations: int
    """Mean-field steps."""

    def features(
        self, image: NDArray[np.float32], start: tuple[int, ...]
    ) -> list[tuple[float, NDArray[np.float32]]]:
        """Return weight and features (D, pixels) of each kernel that counts.

        Parameters
        ----------
        image : ndarray of float32, shape (C, *spatial)
            Normalised.
        start : tuple of int
            First pixel of the block in the whole image. The lattice that approximates
            the filter is fixed to the whole image, so all blocks share it.
        """
        shape = image.shape[1:]
        kernels = []
        if self.smoothness_weight > 0:
            places = _places(shape, start, self.smoothness_sigmas)
            kernels.append((self.smoothness_weight, places))
        if self.appearance_weight > 0:
            places = _places(shape, start, self.appearance_sigmas)
            tones = image.reshape(len(image), -1) / np.float32(self.intensity_sigma)
            kernels.append((self.appearance_weight, np.concatenate([places, tones])))
        return kernels


def is_installed() -> bool:
    """Whether pydensecrf can be imported; does not import it."""
    return importlib.util.find_spec("pydensecrf") is not None


def unary_energy(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return -log of the probabilities, shape (K, pixels), contiguous float32."""
    least = np.maximum(probabilities, np.float32(LEAST_PROBABILITY))
    energy = -np.log(least.reshape(len(probabilities), -1))
    return np.ascontiguousarray(energy, np.float32)


def solve_block(
    image: NDArray[np.float32],
    probabilities: NDArray[np.floating],
    start: tuple[int, ...],
    kernels: Kernels,
) -> NDArray[np.float32]:
    """Return the probabilities after mean-field inference.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *spatial)
        Normalised.
    probabilities : ndarray of float, shape (K, *spatial)
        Background first.
    start : tuple of int
        First pixel of the block in the whole image.
    kernels : Kernels

    Returns
    -------
    ndarray of float32, shape (K, *spatial)

    Raises
    ------
    ImageError
        Instead of a crash.
    NapariSegError
        If pydensecrf is not installed.
    """
    _check(image, probabilities, start, kernels)
    try:
        from pydensecrf.densecrf import CONST_KERNEL, DenseCRF
    except ImportError as error:
        raise NapariSegError(
            "pydensecrf cannot be loaded", str(error), f"Install it: {INSTALL}"
        ) from error

    unary = unary_energy(probabilities)
    crf = DenseCRF(unary.shape[1], unary.shape[0])
    crf.setUnaryEnergy(unary)
    for weight, features in kernels.features(image, start):
        features = np.ascontiguousarray(features, np.float32)
        crf.addPairwiseEnergy(features, compat=float(weight), kernel=CONST_KERNEL)
        del features
    found: Any = np.asarray(crf.inference(int(kernels.iterations)), np.float32)
    return np.array(found.reshape(probabilities.shape))


def _places(
    shape: tuple[int, ...], start: tuple[int, ...], sigmas: tuple[float, ...]
) -> NDArray[np.float32]:
    places = np.empty((len(shape), *shape), np.float32)
    for axis, (size, first, sigma) in enumerate(zip(shape, start, sigmas, strict=True)):
        steps = (np.arange(first, first + size) / sigma).astype(np.float32)
        places[axis] = steps.reshape(-1, *[1] * (len(shape) - axis - 1))
    return places.reshape(len(shape), -1)


def _check(
    image: NDArray[Any],
    probabilities: NDArray[Any],
    start: tuple[int, ...],
    kernels: Kernels,
) -> None:
    shape = probabilities.shape[1:]
    sigmas = (*kernels.smoothness_sigmas, *kernels.appearance_sigmas)
    problems = {
        "no pixels": probabilities.size == 0 or not shape,
        "fewer than two classes": len(probabilities) < 2,
        f"image {image.shape}": image.shape[1:] != shape,
        f"image of {image.dtype}": image.dtype != np.float32,
        f"probabilities of {probabilities.dtype}": probabilities.dtype.kind != "f",
        f"block at {start}": len(start) != len(shape),
        "numbers that are not finite": not (
            np.isfinite(image).all() and np.isfinite(probabilities).all()
        ),
        f"sigmas {sigmas}": len(sigmas) != 2 * len(shape)
        or not all(s > 0 for s in (*sigmas, kernels.intensity_sigma)),
        f"{kernels.iterations} iterations": not (
            0 <= kernels.iterations <= _MOST_ITERATIONS
        ),
    }
    for found, is_wrong in problems.items():
        if is_wrong:
            raise ImageError("The CRF cannot work on this", found)
