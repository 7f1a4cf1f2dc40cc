"""Stand-ins for the core and the panel: small, fast, and obedient."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from psygnal import Signal

from napari_seg.data.image_data import ImageData
from napari_seg.errors import CheckpointError
from napari_seg.gui.engine import DeviceInfo, Engine
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.layers import Source
from napari_seg.models.card import Card
from napari_seg.models.catalogue import ModelEntry
from napari_seg.state import Scope, SegmentRequest
from napari_seg.types import Progress, Region

TILE_PX = 32


@dataclass
class FakeSegmentation:
    """What the controller uses of a `Segmentation`."""

    labels: np.ndarray
    original: np.ndarray
    diameter_px: float = 20.0
    provenance: dict[str, Any] = field(default_factory=lambda: {"model": "fake"})
    network_probabilities: None = None


def fake_card(name: str = "nuclei-unet", threshold: float = 0.5) -> Card:
    return Card(
        name=name,
        architecture="unet",
        arguments={},
        in_channels=1,
        classes=("background", "interior", "border"),
        threshold=threshold,
    )


class FakeEngine:
    """Segments by making every tile one object, tile by tile, nearest first.

    With `is_stepwise` each tile waits for `step`; otherwise tiles come at once.
    """

    def __init__(self, *, is_stepwise: bool = False, error_at: int = -1) -> None:
        self.is_stepwise = is_stepwise
        self.error_at = error_at
        self.error: Exception = ValueError("tile went wrong")
        self.device_error: Exception | None = None
        self.requests: list[SegmentRequest] = []
        self.sources: list[Source] = []
        self.derived: list[SegmentRequest] = []
        self.released = 0
        self.is_closed = threading.Event()
        self.models = [
            self._entry("nuclei-unet", "Nuclei in fluorescence images."),
            self._entry("other-unet", "Something else.", threshold=0.3),
        ]
        self._permits = threading.Semaphore(0)

    @staticmethod
    def _entry(
        name: str, summary: str, threshold: float = 0.5, kind: str = "shipped"
    ) -> ModelEntry:
        card = fake_card(name, threshold)
        return ModelEntry(name, kind, None, card, summary)

    iter_count = Engine.iter_count
    iter_unfinished = Engine.iter_unfinished

    def step(self, tiles: int = 1) -> None:
        """Let so many tiles be computed."""
        self._permits.release(tiles)

    def list_models(self) -> list[ModelEntry]:
        return list(self.models)

    def iter_device(self, request: str) -> Generator[Progress, None, DeviceInfo]:
        yield Progress("load", 1, 1)
        if self.device_error is not None:
            raise self.device_error
        return DeviceInfo("cpu", "CPU: no CUDA device found", ("cpu",))

    def iter_segment(
        self, source: Source, request: SegmentRequest, spacing: Any
    ) -> Generator[Progress, None, FakeSegmentation]:
        self.requests.append(request)
        self.sources.append(source)
        labels = np.zeros(source.shape, np.int32)
        tiles = list(_tiles(source))
        try:
            yield Progress("load", 1, 1)
            for done, tile in enumerate(tiles, start=1):
                if self.is_stepwise:
                    self._permits.acquire(timeout=10)
                if done == self.error_at:
                    raise self.error
                labels[tile] = done
                region = Region(tile, labels[tile].copy())
                yield Progress("predict", done, len(tiles), region)
        finally:
            self.is_closed.set()
        return FakeSegmentation(labels, labels.copy())

    def iter_predict(
        self, data: ImageData, request: SegmentRequest
    ) -> Generator[Progress, None, tuple[SegmentRequest, FakeSegmentation]]:
        index = tuple(slice(0, n) for n in data.array.shape)
        focus = (0.0,) * len(data.axes.replace("C", ""))
        source = Source(None, data.array, data.axes, index, focus, Scope.IMAGE)
        return request, (yield from self.iter_segment(source, request, None))

    def iter_add_model(self, path: str) -> Generator[Progress, None, str]:
        """Take in what ends in .safetensors."""
        yield Progress("load", 1, 1)
        if not path.endswith(".safetensors"):
            raise CheckpointError(f"{path} is not a checkpoint")
        name = path.rpartition("/")[2].removesuffix(".safetensors")
        self.models.append(self._entry(name, "Mine.", kind="user"))
        return name

    def iter_rename_model(self, old: str, new: str) -> Generator[Progress, None, str]:
        yield Progress("models", 0, 1)
        names = [entry.name for entry in self.models]
        self.models[names.index(old)] = self._entry(new, "Mine.", kind="user")
        return new

    def iter_remove_model(self, name: str) -> Generator[Progress, None, str]:
        yield Progress("models", 0, 1)
        self.models = [entry for entry in self.models if entry.name != name]
        return ""

    def iter_estimate(
        self, source: Source, request: SegmentRequest, spacing: Any
    ) -> Generator[Progress, None, float]:
        yield Progress("size", 1, 1)
        return 24.0

    def iter_derive(
        self, segmentation: FakeSegmentation, request: SegmentRequest
    ) -> Generator[Progress, None, tuple[np.ndarray, dict[int, float]]]:
        """Keep as many objects as the threshold leaves: all at 0, none at 1."""
        self.derived.append(request)
        yield Progress("instances", 1, 2)
        labels = segmentation.original.copy()
        labels[labels > labels.max() * (1 - request.threshold)] = 0
        yield Progress("instances", 2, 2)
        ids = np.unique(labels[labels > 0]).tolist()
        return labels, {i: 1 / i for i in ids}

    def iter_release(self) -> Generator[Progress, None, None]:
        self.released += 1
        yield Progress("release", 1, 1)


def _tiles(source: Source) -> list[tuple[slice | int, ...]]:
    """Cut the labels into tiles, those in focus first; planes are indexed by int."""
    shape, focus = source.shape, source.focus
    leading = list(np.ndindex(*shape[:-2]))
    corners = [
        (y, x)
        for y in range(0, shape[-2], TILE_PX)
        for x in range(0, shape[-1], TILE_PX)
    ]
    middle = TILE_PX / 2

    def distance(tile: tuple[slice | int, ...]) -> float:
        starts = [t if isinstance(t, int) else t.start + middle for t in tile]
        return float(
            np.hypot.reduce([a - b for a, b in zip(starts, focus, strict=True)])
        )

    tiles = [
        (*plane, slice(y, y + TILE_PX), slice(x, x + TILE_PX))
        for plane in leading
        for y, x in corners
    ]
    return sorted(tiles, key=distance)


class FakeModelBox:
    """Has the signals of the choice of models, and remembers what it was told."""

    add_requested = Signal(str)
    rename_requested = Signal(str, str)
    remove_requested = Signal(str)
    about_requested = Signal(str)

    def __init__(self) -> None:
        self.about: tuple[str, list[tuple[str, str]]] | None = None

    def show_about(self, name: str, rows: list[tuple[str, str]]) -> None:
        self.about = name, rows


class FakePanel:
    """Has the panel's signals, and remembers the last call of every setter."""

    image_requested = Signal(str)
    axes_requested = Signal(str)
    channel_requested = Signal(object)
    model_requested = Signal(str)
    device_requested = Signal(str)
    diameter_requested = Signal(object)
    estimate_requested = Signal()
    scope_requested = Signal(object)
    threshold_requested = Signal(float)
    min_size_requested = Signal(float)
    advanced_requested = Signal(object)
    run_requested = Signal()
    cancel_requested = Signal()

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}
        self.messages: list[str] = []
        self.models = FakeModelBox()

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("set_"):
            raise AttributeError(name)

        def setter(*args: Any) -> None:
            self.shown[name[4:]] = args[0] if len(args) == 1 else args
            if name == "set_status":
                self.messages.append(args[2])

        return setter

    @property
    def status(self) -> tuple[Any, float, str]:
        return self.shown["status"]


def pump_until(
    jobs: Jobs, condition: Callable[[], bool], timeout_s: float = 60
) -> None:
    """Deliver news until a condition holds."""
    end = time.perf_counter() + timeout_s
    while not condition():
        assert time.perf_counter() < end, "nothing happened in time"
        jobs.pump()
        time.sleep(0.002)
