"""The core, imported when first needed and off the main thread.

Importing torch takes seconds, so nothing here imports it at the top: every method
that needs it is a generator, whose body runs in the thread of the job.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from napari_seg.data.image_data import ImageData, spacing_axes
from napari_seg.gui.layers import Source
from napari_seg.gui.llvm_clash import keep_triton_out
from napari_seg.gui.training.counting import iter_count, iter_snapshot
from napari_seg.gui.training.data import Part
from napari_seg.gui.training.monitor import Before
from napari_seg.gui.training.unfinished import Unfinished, find_unfinished
from napari_seg.imaging.axes import spatial_axes
from napari_seg.inference.volumes import VolumeOptions
from napari_seg.models.catalogue import ModelEntry, list_models
from napari_seg.models.collection import (
    add_checkpoint,
    remove_checkpoint,
    rename_checkpoint,
)
from napari_seg.state import SegmentRequest
from napari_seg.training.curve import read_curve
from napari_seg.training.params import TrainParams
from napari_seg.types import Progress


@dataclass(frozen=True)
class DeviceInfo:
    """The device in use, why, and what else there is."""

    name: str
    reason: str
    names: tuple[str, ...] = ()


class Engine:
    """All that the controller asks of the core; tests bring their own.

    The checkpoint used last stays loaded until `iter_release`.
    """

    def __init__(self) -> None:
        self._checkpoint: Any = None
        self._loaded: tuple[str, float] | None = None

    def list_models(self) -> list[ModelEntry]:
        """Return the models a user can run; reads headers, no torch."""
        return [entry for entry in list_models() if entry.kind != "architecture"]

    def iter_add_model(self, path: str) -> Generator[Progress, None, str]:
        """Take a checkpoint into the user's models; returns its name."""
        yield from import_torch()
        return add_checkpoint(path)

    def iter_rename_model(self, old: str, new: str) -> Generator[Progress, None, str]:
        """Rename one of the user's models; returns the name it has now."""
        yield Progress("models", 0, 1)
        return rename_checkpoint(old, new)

    def iter_remove_model(self, name: str) -> Generator[Progress, None, str]:
        """Delete one of the user's models; returns no name."""
        yield Progress("models", 0, 1)
        remove_checkpoint(name)
        return ""

    def iter_device(self, request: str) -> Generator[Progress, None, DeviceInfo]:
        """Find the device for a request such as ``"auto"``."""
        yield from import_torch()
        from napari_seg.inference.device import choose_device, list_devices

        chosen = choose_device(request)
        names = tuple(device.name for device in list_devices())
        return DeviceInfo(chosen.name, chosen.reason, names)

    def iter_segment(
        self, source: Source, request: SegmentRequest, spacing: Any
    ) -> Generator[Progress, None, Any]:
        """Run the model; returns a `Segmentation`."""
        yield from _prepare_labels_layer()
        checkpoint = yield from self._iter_load(request.model)
        from napari_seg.inference.segment import iter_segment

        params = _params(source, request, spacing)
        return (yield from iter_segment(source.data, checkpoint, params))

    def iter_predict(
        self, data: ImageData, request: SegmentRequest
    ) -> Generator[Progress, None, tuple[SegmentRequest, Any]]:
        """Run the model on an image from a file.

        Returns the request, without a channel where the image has none, and the
        `Segmentation`.
        """
        yield from _prepare_labels_layer()
        if "C" not in data.axes:
            request = replace(request, channel=None)
        checkpoint = yield from self._iter_load(request.model)
        from napari_seg.inference.segment import iter_segment

        spacing = None
        if data.spacing is not None:
            sizes = dict(zip(spacing_axes(data.axes), data.spacing, strict=True))
            # Frames count as one pixel each, as the core wants it.
            spacing = tuple(sizes.get(a, 1.0) for a in spatial_axes(data.axes))
        params = params_of(request, data.axes, None, spacing)
        found = yield from iter_segment(data.array, checkpoint, params)
        return request, found

    def iter_estimate(
        self, source: Source, request: SegmentRequest, spacing: Any
    ) -> Generator[Progress, None, float]:
        """Estimate the diameter of the objects, in pixels of the image."""
        checkpoint = yield from self._iter_load(request.model)
        from napari_seg.inference.segment import estimate_diameter

        yield Progress("size", 0, 0)
        params = _params(source, request, spacing)
        return float(estimate_diameter(source.data, checkpoint, params))

    def iter_sight(
        self,
        source: Source,
        request: SegmentRequest,
        spacing: Any,
        pixel: tuple[float, float],
    ) -> Generator[Progress, None, Any]:
        """Look what the answer at a pixel of a plane depends on; returns a `Sight`."""
        checkpoint = yield from self._iter_load(request.model)
        from napari_seg.inference.sight import iter_sight

        params = _params(source, request, spacing)
        return (yield from iter_sight(source.data, checkpoint, params, pixel))

    def iter_derive(
        self, segmentation: Any, request: SegmentRequest
    ) -> Generator[Progress, None, tuple[np.ndarray, dict[int, float]]]:
        """Make labels again from the probabilities of an earlier run.

        Returns them with the scores of a detector's objects.
        """
        from napari_seg.inference.result import iter_derive_scored

        advanced = request.advanced
        params = segmentation.instance_params(
            threshold=request.threshold,
            seed_threshold=advanced.seed_threshold,
            min_size_px=request.min_size_px,
        )
        derive = iter_derive_scored(segmentation, params, link_z=advanced.link_z)
        return (yield from derive)

    def iter_mirrored(
        self, source: Source, request: SegmentRequest, segmentation: Any
    ) -> Generator[Progress, None, list[np.ndarray]]:
        """Segment mirrored copies as an earlier run did; returns labels, one a flip.

        Parameters
        ----------
        source : Source
            Of the earlier run.
        request : SegmentRequest
            Its settings; what is tuned afterwards as the labels have it now.
        segmentation : Segmentation
            Its result: the size of the objects and of a pixel.
        """
        checkpoint = yield from self._iter_load(request.model)
        from napari_seg.gui.review.mirrored import iter_mirrored

        spacing = segmentation.provenance["parameters"]["spacing"]
        size = segmentation.diameter_px
        params = _params(source, replace(request, diameter_px=size), spacing)
        return (yield from iter_mirrored(source.data, checkpoint, params))

    def iter_count(self, parts: Mapping[str, Part]) -> Generator[Progress, None, None]:
        """Count images and objects of training data; yields a `Counted` each."""
        yield from iter_count(parts)

    def iter_unfinished(
        self, folder: Path
    ) -> Generator[Progress, None, list[Unfinished]]:
        """Find trainings in a folder that can be taken up again."""
        yield Progress("look", 0, 1)
        return find_unfinished(folder)

    def iter_train(
        self, parts: Sequence[Part], out: Path, params: TrainParams, stop: Event
    ) -> Generator[Progress, None, Any]:
        """Train a model and write it to `out`; returns its card.

        Parameters
        ----------
        parts : sequence of ArraySource or Path
            Training data; labels are copied before anything else.
        out : Path
            The checkpoint.
        params : TrainParams
            With `resume`, the curve so far is yielded first, as a `Before`.
        stop : threading.Event
            Set, the training ends as if its time were over.
        """
        if params.resume:
            yield Before("load", 0, 0, points=tuple(read_curve(out)))
        data = yield from iter_snapshot(parts)
        yield from import_torch()
        import torch

        from napari_seg.training.trainer import iter_train

        try:
            checkpoint = yield from iter_train(data, out, params, stop=stop)
            return checkpoint.card
        finally:
            # The last scoring held some after the training had let go of its own.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def iter_release(self) -> Generator[Progress, None, None]:
        """Free the memory of the network, on the GPU too."""
        self._checkpoint = self._loaded = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        yield Progress("release", 1, 1)

    def iter_volume(
        self,
        places: Sequence[Path],
        shape: tuple[int, ...],
        request: SegmentRequest,
        spacing: Any,
        out: Path,
        options: VolumeOptions,
    ) -> Generator[Progress, None, tuple[Any, list[Any]]]:
        """Segment a volume on disk into OME-Zarr labels.

        Takes the first of some places that holds an image of that shape; returns a
        `VolumeResult`, and the levels of the labels as dask arrays.
        """
        yield from _prepare_labels_layer()
        yield from import_torch()
        from dask import array as da

        from napari_seg.data.volume_source import find_volume, open_volume
        from napari_seg.inference.volumes import iter_segment_volume

        path = find_volume(places, shape)
        params = params_of(request, request.axes, None, spacing)
        result = yield from iter_segment_volume(
            path, out, request.model, params, options
        )
        return result, [da.from_zarr(level) for level in open_volume(out).arrays]

    def _iter_load(self, model: str) -> Generator[Progress, None, Any]:
        """Load a checkpoint, unless it is the one already loaded."""
        yield from import_torch()
        from napari_seg.models.checkpoint import load_model

        key = (model, _modified(self.list_models(), model))
        if key != self._loaded:
            self._checkpoint = load_model(model)
            self._loaded = key
        yield Progress("load", 2, 2)
        return self._checkpoint


def _modified(entries: list[ModelEntry], name: str) -> float:
    """Return when the file of a model was written: it may be trained again."""
    paths = [Path(e.path) for e in entries if e.name == name and e.path is not None]
    with suppress(OSError):
        return max((path.stat().st_mtime for path in paths), default=0.0)
    return 0.0


def _params(source: Source, request: SegmentRequest, spacing: Any) -> Any:
    """Build the parameters of the core."""
    return params_of(request, source.axes, source.focus, spacing)


def params_of(
    request: SegmentRequest, axes: str | None, focus: Any, spacing: Any
) -> Any:
    """Return the parameters of the core that settings of the panel stand for."""
    from napari_seg.inference.segment import SegmentParams

    advanced = request.advanced
    return SegmentParams(
        axes=axes,
        channel=request.channel,
        spacing=spacing,
        diameter_px=request.diameter_px,
        device=request.device,
        tile_px=advanced.tile_px,
        batch=advanced.batch,
        threshold=request.threshold,
        seed_threshold=advanced.seed_threshold,
        min_size_px=request.min_size_px,
        link_z=advanced.link_z,
        tta=advanced.tta,
        focus=focus,
    )


def import_torch() -> Generator[Progress, None, None]:
    """Import torch in the thread of the job."""
    keep_triton_out()
    if "torch" not in sys.modules:
        yield Progress("load", 0, 2, message="Starting PyTorch")
        _open_torch_libraries()
        importlib.import_module("torch")
    yield Progress("load", 1, 2)


def _open_torch_libraries() -> None:
    """Open torch's shared libraries while the window goes on.

    ``import torch`` opens them under the interpreter lock, which stops every
    thread, for 0.2 s to 0.9 s (measured). A foreign call to dlopen does not hold
    the lock; the import then finds them open.
    """
    spec = importlib.util.find_spec("torch")
    if os.name != "posix" or spec is None or not spec.submodule_search_locations:
        return
    folder = Path(spec.submodule_search_locations[0]) / "lib"
    process = ctypes.CDLL(None)
    process.dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
    process.dlopen.restype = ctypes.c_void_p
    flags = {"libtorch_global_deps": os.RTLD_GLOBAL, "libtorch_python": 0}
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    for name, flag in flags.items():
        # A failure is harmless: the import opens them again, and can say why not.
        process.dlopen(os.fsencode(folder / (name + suffix)), os.RTLD_NOW | flag)


def _prepare_labels_layer() -> Generator[Progress, None, None]:
    """Let napari load what the first labels layer of a session needs.

    pandas and scipy.linalg take half a second to import, the line patterns of its
    outlines 0.1 s to compute; the window need not wait for either.
    """
    from napari.layers import Labels

    yield Progress("load", 0, 2)
    Labels(np.zeros((1, 1), np.int32))
    with suppress(ImportError):
        from vispy.visuals.line.dash_atlas import DashAtlas

        DashAtlas()  # vispy keeps the patterns, not this
