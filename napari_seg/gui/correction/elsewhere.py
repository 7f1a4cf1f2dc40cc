"""What holds Python's lock for long runs in another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from napari_seg.errors import OffloadCancelled, OffloadError
from napari_seg.offload import Offload
from napari_seg.refine.scene import Scene
from napari_seg.refine.solver import CutParams, predicted_seconds, solve_scene

_IN_PLACE_S = 0.02
"""Longer cuts would hold Python's lock so long that the window feels it."""


class Elsewhere:
    """Runs functions of this package in a helper process.

    Parameters
    ----------
    offload : Offload
        The process.
    """

    def __init__(self, offload: Offload) -> None:
        self._offload = offload
        self._is_usable = True

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of a module there, or here if there is no process."""
        if self._is_usable:
            try:
                name = f"{function.__module__}:{function.__name__}"
                return self._offload.call(name, *args)
            except OffloadCancelled:
                raise
            except OffloadError:
                if self._offload.is_alive:
                    raise
                # A window that stutters is better than a tool that does not work.
                self._is_usable = False
        return function(*args)

    def solve(self, scene: Scene, params: CutParams) -> np.ndarray:
        """Do what `solve_scene` does, in place if that is quick."""
        if predicted_seconds(scene, params) < _IN_PLACE_S:
            return solve_scene(scene, params)
        return np.asarray(self.run(solve_scene, scene, params))
