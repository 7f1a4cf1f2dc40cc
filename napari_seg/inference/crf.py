"""The dense CRF: one function, two engines, images of any size."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_seg.errors import ImageError, NapariSegError
from napari_seg.imaging.normalise import (
    intensity_range,
    rescale_intensity,
    sampled,
)
from napari_seg.refine.crf import (
    CrfParams,
    check_probabilities,
    fold,
    spatial_image,
    unfold,
)
from napari_seg.refine.crf_blocks import HALO_SIGMAS, CrfBlock, plan_crf_blocks
from napari_seg.refine.crf_solver import INSTALL, SOLVE, Kernels, is_installed
from napari_seg.types import Progress, run
from napari_seg.workers import Call, Workers

__all__ = ["ENGINES", "CrfParams", "choose_engine", "dense_crf", "iter_dense_crf"]

ENGINES = ("auto", "pydensecrf", "torch")
PRELOAD = ("napari_seg.refine.crf_solver", "pydensecrf.densecrf")

ReadBlock = Callable[[tuple[slice, ...]], NDArray[np.float32]]
"""Gives a window of the normalised image, shape (C, *window)."""

Answers = Generator[tuple[CrfBlock, NDArray[np.float32] | None], None, None]
"""Finished blocks; None for signs of life in between."""


def dense_crf(
    image: ArrayLike,
    probabilities: ArrayLike,
    *,
    params: CrfParams | None = None,
    spacing: tuple[float, ...] | None = None,
    engine: str = "auto",
    device: str = "auto",
    normalise: bool = True,
) -> NDArray[np.float32]:
    """Let class probabilities follow the edges of the image.

    Mean-field inference in a fully connected CRF (Kraehenbuehl & Koltun, Efficient
    Inference in Fully Connected CRFs with Gaussian Edge Potentials, NIPS 2011,
    algorithm 1).

    Parameters
    ----------
    image : array_like
        Any real dtype, of the spatial shape [Z,] Y, X of the probabilities; channels
        in an axis before or behind these.
    probabilities : array_like of float, shape (K, [Z,] Y, X)
        Class probabilities that sum to 1, background first.
    params : CrfParams, optional
        Weights, sigmas, iterations.
    spacing : tuple of float, optional
        Distance between pixels along each of [Z,] Y, X, e.g. in um.
    engine : str, optional
        ``"pydensecrf"`` (in helper processes), ``"torch"``, or ``"auto"``: the first
        if it is installed. Both give the same probabilities.
    device : str, optional
        For torch: ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    normalise : bool, optional
        Whether percentiles 1 and 99.8 of each channel become 0 and 1. Otherwise the
        image is taken as it is.

    Returns
    -------
    ndarray of float32, shape of the probabilities

    Raises
    ------
    ImageError
        If image, probabilities or parameters cannot be used; nothing native has run.
    OffloadError
        If a helper process ended.
    """
    return run(
        iter_dense_crf(
            image,
            probabilities,
            params=params,
            spacing=spacing,
            engine=engine,
            device=device,
            normalise=normalise,
        )
    )


def iter_dense_crf(
    image: ArrayLike,
    probabilities: ArrayLike,
    *,
    params: CrfParams | None = None,
    spacing: tuple[float, ...] | None = None,
    engine: str = "auto",
    device: str = "auto",
    normalise: bool = True,
    workers: Workers | None = None,
) -> Generator[Progress, None, NDArray[np.float32]]:
    """Do what `dense_crf` does, step by step; closing it stops within a block.

    Parameters
    ----------
    image, probabilities, params, spacing, engine, device, normalise
        See `dense_crf`.
    workers : Workers, optional
        Helper processes; by default those that all scripts of this process share.

    Yields
    ------
    Progress
        Stage ``"refine"``.

    Returns
    -------
    ndarray of float32, shape of the probabilities
    """
    checked = check_probabilities(probabilities)
    given = image if hasattr(image, "shape") else np.asarray(image)
    channels = spatial_image(given, checked.shape[1:])
    result = np.empty(checked.shape, np.float32)
    solver = CrfSolver(params or CrfParams(), engine, device, workers)
    read = _normaliser(channels) if normalise else _plain_reader(channels)
    yield from solver.iter_solve(read, checked, result, spacing)
    return result


def choose_engine(engine: str) -> str:
    """Return the engine in use; NapariSegError if it is not there."""
    if engine not in ENGINES:
        raise ImageError(
            "Unknown engine of the CRF", repr(engine), f"Use one of {ENGINES}"
        )
    if engine == "pydensecrf" and not is_installed():
        raise NapariSegError(
            "pydensecrf is not installed",
            remedy=f'Install it ({INSTALL}), or use engine="torch"',
        )
    if engine == "auto":
        return "pydensecrf" if is_installed() else "torch"
    return engine


@dataclass
class CrfSolver:
    """Parameters and engine, for one image or the planes of many.

    Parameters
    ----------
    params : CrfParams
    engine, device : str
        See `dense_crf`.
    workers : Workers, optional
        See `iter_dense_crf`.
    """

    params: CrfParams
    engine: str = "auto"
    device: str = "auto"
    workers: Workers | None = None
    threshold: float | None = None
    """Foreground probability where objects end, see `fold`; None takes that of a
    segmentation, or 0.5."""

    def __post_init__(self) -> None:
        """Check what can be checked without an image."""
        self.params.check()
        self.engine = choose_engine(self.engine)

    @property
    def middle(self) -> float:
        """Foreground probability at which nothing is decided."""
        return 0.5 if self.threshold is None else self.threshold

    def kernels(self, ndim: int, spacing: tuple[float, ...] | None) -> Kernels:
        """Return the kernels in pixels."""
        smoothness, appearance = self.params.sigmas_px(ndim, spacing)
        return Kernels(
            tuple(smoothness.tolist()),
            float(self.params.smoothness_weight),
            tuple(appearance.tolist()),
            float(self.params.intensity_sigma),
            float(self.params.appearance_weight),
            int(self.params.iterations),
        )

    def halo(self, kernels: Kernels) -> tuple[int, ...]:
        """Return how far a pixel looks along each axis."""
        kinds = (
            (kernels.smoothness_sigmas, kernels.smoothness_weight),
            (kernels.appearance_sigmas, kernels.appearance_weight),
        )
        sigmas = [s for s, weight in kinds if weight > 0 and kernels.iterations]
        if not sigmas:
            return (0,) * len(kernels.appearance_sigmas)
        return tuple(int(np.ceil(HALO_SIGMAS * s)) for s in np.max(sigmas, axis=0))

    def iter_solve(
        self,
        read: ReadBlock,
        probabilities: NDArray[np.floating],
        result: NDArray[np.float32],
        spacing: tuple[float, ...] | None = None,
        window: tuple[slice, ...] | None = None,
    ) -> Generator[Progress, None, None]:
        """Fill the result, block by block.

        Parameters
        ----------
        read : callable
            Gives windows of the normalised image.
        probabilities : ndarray of float, shape (K, *spatial)
            Checked.
        result : ndarray of float32, shape (K, *window)
            Filled.
        spacing : tuple of float, optional
            See `dense_crf`.
        window : tuple of slice, optional
            The part that is wanted; by default all.
        """
        shape = probabilities.shape[1:]
        kernels = self.kernels(len(shape), spacing)
        parts = self._workers().count if self.engine == "pydensecrf" else 1
        blocks = plan_crf_blocks(shape, self.halo(kernels), parts, window)
        yield Progress("refine", 0, len(blocks))
        first = [s.start for s in window] if window else [0] * len(shape)
        done = 0
        answers = self._iter_blocks(read, probabilities, kernels, blocks)
        with closing(answers):
            for block, found in answers:
                if found is not None:
                    core = (slice(None), *block.core)
                    found = found[(slice(None), *block.inner)]
                    if self.params.foreground_only:
                        given = np.asarray(probabilities[core])
                        found = unfold(found, given, self.middle)
                    into = (c.start - o for c, o in zip(block.core, first, strict=True))
                    place = zip(into, found.shape[1:], strict=True)
                    result[(slice(None), *(slice(a, a + n) for a, n in place))] = found
                    done += 1
                yield Progress("refine", done, len(blocks))

    def _iter_blocks(
        self,
        read: ReadBlock,
        probabilities: NDArray[np.floating],
        kernels: Kernels,
        blocks: list[CrfBlock],
    ) -> Answers:
        def arguments(block: CrfBlock) -> tuple[Any, ...]:
            part = np.asarray(probabilities[(slice(None), *block.read)])
            if self.params.foreground_only:
                part = fold(part, self.middle)
            part = np.ascontiguousarray(part, np.float32)
            return read(block.read), part, block.start, kernels

        if self.engine == "torch":
            yield from self._iter_torch(arguments, blocks)
            return
        calls = (Call(block, SOLVE, arguments(block)) for block in blocks)
        with closing(self._workers().imap(calls)) as answers:
            for answer in answers:
                yield (blocks[0], None) if answer is None else answer

    def _iter_torch(
        self, arguments: Callable[[CrfBlock], tuple[Any, ...]], blocks: list[CrfBlock]
    ) -> Answers:
        from napari_seg.inference.device import choose_device
        from napari_seg.inference.lattice import iter_mean_field

        name = choose_device(self.device).name
        for block in blocks:
            image, part, start, kernels = arguments(block)
            steps = iter_mean_field(image, part, start, kernels, name)
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    yield block, stop.value
                    break
                yield block, None

    def _workers(self) -> Workers:
        return self.workers or _shared_workers()


@cache
def _shared_workers() -> Workers:
    """Return the helper processes of scripts: starting them costs 0.2 s each."""
    return Workers(preload=PRELOAD, niceness=0)  # no window waits for a script


def _normaliser(channels: Any) -> ReadBlock:
    """Return a reader that scales each channel by its own percentiles."""
    ranges = [intensity_range(sampled(channels, c)) for c in range(channels.shape[0])]

    def read(window: tuple[slice, ...]) -> NDArray[np.float32]:
        block = np.asarray(channels[(slice(None), *window)])
        parts = zip(block, ranges, strict=True)
        return np.stack([rescale_intensity(c, r) for c, r in parts])

    return read


def _plain_reader(channels: Any) -> ReadBlock:
    def read(window: tuple[slice, ...]) -> NDArray[np.float32]:
        block = np.asarray(channels[(slice(None), *window)], np.float32)
        return np.ascontiguousarray(block)

    return read
