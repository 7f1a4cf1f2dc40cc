"""A volume on disk, segmented by workers while its labels are watched.

No Qt: the box is anything with its signals and fields.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_seg.data.volume_source import path_of
from napari_seg.gui.engine import Engine
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.layers import (
    Source,
    labels_kwargs,
    labels_view,
    take_source,
)
from napari_seg.gui.meter import format_seconds
from napari_seg.gui.own_layers import add_unselected
from napari_seg.gui.view import full_data
from napari_seg.imaging.axes import spatial_axes, spatial_shape
from napari_seg.inference.pyramid import preview_steps
from napari_seg.inference.volumes import VolumeOptions
from napari_seg.state import Scope
from napari_seg.types import Progress

_PREVIEW_PX = 1 << 24
"""Voxels of the labels that are shown while they are made: 64 MB."""
_SHOW_S = 0.5
_STATUS_S = 0.2
_SHARES = {
    "load": (0.0, 0.02),
    "size": (0.02, 0.03),
    "blocks": (0.05, 0.8),
    "join": (0.85, 0.03),
    "write": (0.88, 0.12),
}
"""Where a stage begins on the bar, and how much of it it is."""
_TEXTS = {
    "load": "Loading the network",
    "size": "Estimating the object size",
    "join": "Joining objects",
    "write": "Writing the final numbers",
}


class VolumeController:
    """Wires the box to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the labels.
    box : VolumeBox
        Or anything with the same signals, fields and setters.
    engine : Engine
        The core.
    segmenter : SegmentController
        Knows image and settings.
    jobs : Jobs
        Its own: a volume takes hours, and small runs go on meanwhile.
    """

    def __init__(
        self, viewer: ViewerModel, box: Any, engine: Engine, segmenter: Any, jobs: Jobs
    ) -> None:
        self._viewer = viewer
        self._box = box
        self._engine = engine
        self._segmenter = segmenter
        self._jobs = jobs
        self._job: Job | None = None
        self._source: Source | None = None
        self._labels: np.ndarray | None = None
        self._layer: Labels | None = None
        self._steps: tuple[int, ...] = ()
        self._began: dict[str, tuple[float, int]] = {}
        self._said = ""
        self._fraction = 0.0
        self._is_closed = False
        box.run_requested.connect(self.run)
        box.stop_requested.connect(self.stop)
        box.set_workers(1)

    def close(self) -> None:
        """Stop; a second time does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.close()

    def run(self) -> None:
        """Segment the chosen image with the settings as they are."""
        layer, form = self._segmenter.form.layer, self._segmenter.form
        problems = list(form.problems().values())
        if self._job is not None:
            return
        if layer is None or problems:
            self._box.set_note(problems[0] if problems else "Open an image first.")
            return
        request = self._segmenter.settings.snapshot()
        kept = spatial_axes(request.axes)
        if kept != "".join(a for a in "TZYX" if a in kept):
            self._box.set_note(f"The axes must be in the order TZYX (found: {kept}).")
            return
        places = _places(layer)
        out = _target(self._box.out.text().strip(), places)
        if out is None:
            self._box.set_note(
                "This image is only in memory. Save it as Zarr or TIFF and open that."
            )
            return
        self._source = take_source(self._viewer, layer, request.axes, Scope.IMAGE)
        shape = tuple(int(n) for n in full_data(layer).shape)
        size = spatial_shape(request.axes, shape)
        self._steps = preview_steps(size, kept, _PREVIEW_PX)
        small = [-(-n // s) for n, s in zip(size, self._steps, strict=True)]
        self._labels, self._layer = np.zeros(small, np.int32), None
        self._began.clear()
        address = self._box.scheduler.text().strip()
        options = VolumeOptions(
            workers=0 if address else int(self._box.workers.value()),
            scheduler=address or None,
            mode="restart" if self._box.anew.isChecked() else _mode(out),
            preview_px=_PREVIEW_PX,
        )
        spacing = form.pixel_size_um()
        steps = self._engine.iter_volume(places, shape, request, spacing, out, options)
        self._box.set_note("Starting")
        self._box.set_progress(0.0)
        self._job = self._jobs.start(
            Job(
                steps,
                on_done=self._on_done,
                on_progress=self._on_progress,
                on_error=self._on_error,
                on_stopped=lambda: self._end(
                    "Stopped; finished blocks are kept, and the next run goes on."
                ),
            )
        )

    def stop(self) -> None:
        """Stop; finished blocks are kept."""
        if self._job is not None:
            self._job.cancel()
            self._box.set_note("Stopping")

    def _on_progress(self, progress: Progress) -> None:
        start, share = _SHARES.get(progress.stage, (0.0, 0.0))
        self._fraction = max(self._fraction, start + share * progress.fraction)
        self._said = self._words(progress)
        self._jobs.later("volume status", _STATUS_S, self._show_progress)
        region = progress.region
        if region is None or self._labels is None:
            return
        index = tuple(
            slice(-(-part.start // step), -(-part.stop // step))
            for part, step in zip(region.index, self._steps, strict=True)
            if isinstance(part, slice)
        )
        self._labels[index] = region.labels
        self._jobs.later("volume show", _SHOW_S, self._show)

    def _words(self, progress: Progress) -> str:
        stage = progress.stage
        text = progress.message or _TEXTS.get(stage, stage.capitalize())
        now = time.perf_counter()
        began, first = self._began.setdefault(stage, (now, progress.done))
        done, left = progress.done - first, progress.total - progress.done
        if done and left:
            text += f" · {format_seconds((now - began) / done * left)} left"
        return text

    def _show_progress(self) -> None:
        if self._job is not None and not self._job.is_cancelled:
            self._box.set_progress(self._fraction)
            self._box.set_note(self._said)

    def _show(self) -> None:
        """Show what is done so far, every n-th voxel of it."""
        if self._labels is None or self._source is None:
            return
        if self._layer is None:
            self._layer = self._make_layer(self._labels)
            add_unselected(self._viewer, self._layer)
        elif self._layer in self._viewer.layers:
            self._layer.refresh()

    def _make_layer(self, labels: np.ndarray) -> Labels:
        source = self._source
        assert source is not None
        known = dict(labels_kwargs(source))
        if labels.ndim == len(known["scale"]):
            steps = np.array(self._steps)
            scale = np.asarray(known["scale"])
            # A voxel of the copy stands in the middle of those it stands for.
            known["translate"] = known["translate"] + scale * (steps - 1) / 2
            known["scale"] = scale * steps
        name = f"{source.layer.name} labels (in work)"
        return Labels(labels_view(source, labels), name=name, **known)

    def _on_done(self, found: tuple[Any, list[Any]]) -> None:
        result, levels = found
        source, preview = self._source, self._layer
        text = f"{result.objects:,} objects in {result.out}".replace(",", "\u2009")
        if result.errors:
            text = f"⚠ {result.failed} of {result.blocks} blocks failed. "
            text += result.errors[0]
        if source is not None and source.layer in self._viewer.layers:
            known = labels_kwargs(source)
            if len(known["scale"]) == levels[0].ndim:
                data, several = levels[0], len(levels) > 1
                layer = Labels(
                    levels if several else data,
                    multiscale=several,
                    name=f"{source.layer.name} labels",
                    **known,
                )
                add_unselected(self._viewer, layer)
        if preview is not None and preview in self._viewer.layers:
            self._viewer.layers.remove(preview)
        self._end(text)

    def _on_error(self, error: BaseException) -> None:
        text, is_fault = explained(error)
        self._end(f"⚠ {text}")
        if is_fault:
            notify(error)

    def _end(self, text: str) -> None:
        self._job = self._labels = self._layer = self._source = None
        self._fraction = 0.0
        for key in ("volume status", "volume show"):
            self._jobs.forget(key)
        self._box.set_progress(None)
        self._box.set_note(text)


def _places(layer: Image) -> list[Path]:
    """Return where the image may lie on disk, the likeliest first."""
    found = path_of(full_data(layer))
    places = [] if found is None else [found]
    if found is not None and layer.multiscale:
        places.insert(0, found.parent)  # the levels lie side by side
    if layer.source.path:
        places.append(Path(layer.source.path))
    return places


def _target(text: str, places: list[Path]) -> Path | None:
    """Return the folder for the labels; None if the image is nowhere."""
    if not places:
        return None
    if text:
        path = Path(text).expanduser()
        return path if path.suffix == ".zarr" else path.with_name(path.name + ".zarr")
    image = places[0]
    return image.with_name(f"{image.name.split('.')[0]}-labels.zarr")


def _mode(out: Path) -> Any:
    """Go on with a run that was stopped."""
    from napari_seg.data.volume_run import VolumeRun

    return "resume" if VolumeRun(out).exists else "new"
