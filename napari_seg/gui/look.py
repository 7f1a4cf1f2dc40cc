"""Clicks on the image, and layers that show what the network's answer depends on.

No Qt: the box is anything with its signals and setters.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_seg.gui.engine import Engine
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Job
from napari_seg.gui.layers import Source, labels_kwargs, labels_view, take_source
from napari_seg.gui.own_layers import OWN_KEY, add_unselected
from napari_seg.state import Scope

if TYPE_CHECKING:
    from napari_seg.gui.controller import SegmentController
    from napari_seg.inference.sight import Sight

_HINT = "Click on a pixel of the image."
_NO_IMAGE = "Open an image first."
_COLORMAPS = {"receptive field": "inferno", "attention": "viridis"}
_GAMMA = 0.5
"""The field falls off steeply: as it is, nothing but its middle could be seen."""


class LookController:
    """Wires the box to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layers.
    box : LookBox
        Or anything with the same signals and setters.
    engine : Engine
        The core.
    segmenter : SegmentController
        Knows image and model, and whose jobs use the network.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        box: Any,
        engine: Engine,
        segmenter: SegmentController,
    ) -> None:
        self._viewer = viewer
        self._box = box
        self._engine = engine
        self._segmenter = segmenter
        self._job: Job | None = None
        self._layers: list[Image] = []
        self._is_on = False
        box.on_requested.connect(self.set_on)

    def close(self) -> None:
        """Let go of the viewer; a second time does nothing."""
        self.set_on(False)

    def set_on(self, is_on: bool) -> None:
        """Wait for clicks, or no more; then the layers go."""
        if is_on == self._is_on:
            return
        self._is_on = is_on
        self._box.set_on(is_on)
        callbacks = self._viewer.mouse_drag_callbacks
        if is_on:
            callbacks.append(self._on_press)
            image = self._segmenter.form.layer
            if image is not None:
                # A brush would paint where she clicks.
                self._viewer.layers.selection.active = image
            self._box.set_note(_HINT if image is not None else _NO_IMAGE)
            return
        if self._on_press in callbacks:
            callbacks.remove(self._on_press)
        self._drop()
        self._remove_layers()
        self._box.set_note("")

    def _on_press(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        """Take a click with the left button; leave drags and held keys to napari."""
        if event.button != 1 or event.modifiers or viewer.dims.ndisplay != 2:
            return
        position = event.position
        yield
        if event.type != "mouse_move":  # then she moves the image
            self.look(position)

    def look(self, position: tuple[float, ...]) -> None:
        """Show what the answer at a place of the world depends on."""
        segmenter, layer = self._segmenter, self._segmenter.form.layer
        if layer is None or segmenter.form.problems():
            problems = list(segmenter.form.problems().values())
            self._box.set_note(problems[0] if problems else _NO_IMAGE)
            return
        request = segmenter.settings.snapshot()
        source = take_source(self._viewer, layer, request.axes, Scope.PLANE)
        at = layer.world_to_data(position[-layer.ndim :])
        starts = [part.start for part in source.index[: layer.ndim]]
        found = {
            axis: float(value - start)
            for axis, value, start in zip(source.axes, at, starts, strict=False)
        }
        known = segmenter.form.estimate.of(layer)
        request = replace(request, diameter_px=request.diameter_px or known)
        self._drop()
        self._box.set_note("Looking…")
        steps = self._engine.iter_sight(
            source, request, segmenter.form.pixel_size_um(), (found["Y"], found["X"])
        )
        done = partial(self._show, source)
        job = Job(steps, on_done=done, on_error=self._tell, poll_s=0.02)
        self._job = segmenter.start_network_job(job)

    def _show(self, source: Source, sight: Sight) -> None:
        self._job = None
        if source.layer not in self._viewer.layers:
            return
        self._remove_layers()
        self._add(source, sight, "receptive field", sight.field)
        if sight.attention is not None:
            self._add(source, sight, "attention", sight.attention)
        if self._segmenter.settings.diameter_px is None:
            # The next click need not estimate it again.
            self._segmenter.form.take_estimate(source.layer, sight.diameter_px)
        self._box.set_note(_words(sight))

    def _add(self, source: Source, sight: Sight, what: str, values: np.ndarray) -> None:
        index = list(source.index)
        for axis, part in zip("YX", sight.window, strict=True):
            i = source.axes.index(axis)
            start = source.index[i].start
            index[i] = slice(start + part.start, start + part.stop)
        source = replace(source, index=tuple(index))
        planes = sum(axis in "TZ" for axis in source.axes)
        data = labels_view(source, values.reshape((1,) * planes + values.shape))
        layer = Image(
            data,
            name=f"{source.layer.name} {what}",
            colormap=_COLORMAPS[what],
            blending="additive",
            contrast_limits=(0.0, 1.0),
            gamma=_GAMMA,
            metadata={OWN_KEY: what},
            **labels_kwargs(source),
        )
        add_unselected(self._viewer, layer)
        self._layers.append(layer)

    def _remove_layers(self) -> None:
        for layer in self._layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._layers = []

    def _drop(self) -> None:
        if self._job is not None:
            self._job.drop()
        self._job = None

    def _tell(self, error: BaseException) -> None:
        self._job = None
        message, is_fault = explained(error)
        if is_fault:
            notify(error)
        self._box.set_note(message)


def _words(sight: Sight) -> str:
    text = (
        f"Here the answer is {sight.answer}. 90 % of what decides it lies within "
        f"{sight.reach_px:.0f} px."
    )
    return (
        text if sight.attention is not None else f"{text} No attention in this model."
    )
