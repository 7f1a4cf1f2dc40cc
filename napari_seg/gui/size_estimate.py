"""What is known about the size of the objects in each image."""

from __future__ import annotations

from collections.abc import Callable, Generator
from weakref import WeakKeyDictionary

from napari.layers import Image

from napari_seg.gui.jobs import Job, Jobs
from napari_seg.types import Progress


class SizeEstimate:
    """Remembers one estimate for each image, until the model changes."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Image, float] = WeakKeyDictionary()
        self._job: Job | None = None

    def of(self, layer: Image | None) -> float | None:
        """Return the estimated diameter in pixels, if there is one."""
        return None if layer is None else self._known.get(layer)

    def take(self, layer: Image, diameter_px: float) -> None:
        """Remember an estimate."""
        self._known[layer] = float(diameter_px)

    def forget(self) -> None:
        """Forget all: another model sees other objects."""
        self._known.clear()

    def start(
        self,
        jobs: Jobs,
        steps: Generator[Progress, None, float],
        layer: Image,
        *,
        on_done: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Estimate in the background."""

        def on_answer(diameter_px: float) -> None:
            self.take(layer, diameter_px)
            on_done()

        self._job = jobs.start(Job(steps, on_done=on_answer, on_error=on_error))

    def drop(self) -> None:
        """Ignore the estimate under way."""
        if self._job is not None:
            self._job.drop()


def describe_size(diameter_px: float, pixel_um: float | None) -> str:
    """Write a diameter for people.

    Examples
    --------
    >>> describe_size(24.26, 0.325)
    '24.3 px (7.88 µm)'
    >>> describe_size(312.4, None)
    '312 px'
    """
    text = f"{diameter_px:.3g} px" if diameter_px < 1000 else f"{diameter_px:.0f} px"
    return text if pixel_um is None else f"{text} ({diameter_px * pixel_um:.3g} µm)"


def size_note(
    diameter_px: float | None, estimate_px: float | None, pixel_um: float | None
) -> str:
    """Say what automatic means for this image, or what was estimated.

    Parameters
    ----------
    diameter_px : float or None
        What the user set; None is automatic.
    estimate_px : float or None
        What was estimated.
    pixel_um : float or None
        Edge of a pixel.
    """
    if estimate_px is not None:
        return f"Estimated: {describe_size(estimate_px, pixel_um)}"
    if diameter_px is None:
        return "Estimated from the image at each run."
    return ""
