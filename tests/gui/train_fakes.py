"""Stand-ins for the Train panel and a network that learns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fakes import FakeEngine, fake_card
from psygnal import Signal

from napari_seg.gui.engine import DeviceInfo
from napari_seg.gui.training.data import Part
from napari_seg.imaging.metrics import Metrics, evaluate
from napari_seg.models.catalogue import ModelEntry
from napari_seg.training.params import TrainParams
from napari_seg.training.progress import Picture, TrainProgress
from napari_seg.types import Progress

SIGNALS = {
    "shown": (),
    "hidden": (),
    "used_requested": (str, bool),
    "counts_requested": (str, object),
    "folder_requested": (str,),
    "remove_requested": (str,),
    "mark_plane_requested": (),
    "start_from_requested": (str,),
    "network_requested": (str,),
    "name_requested": (str,),
    "preset_requested": (str,),
    "advanced_requested": (object,),
    "start_requested": (),
    "pause_requested": (),
    "stop_requested": (),
    "resume_requested": (),
    "discard_requested": (),
    "picture_requested": (),
}


class _Recorder:
    """Remembers the last call of every setter, and all that was said."""

    def __init__(self) -> None:
        self.shown_values: dict[str, Any] = {}
        self.said: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("set_"):
            raise AttributeError(name)

        def set_(*values: Any) -> None:
            self.shown_values[name[4:]] = values[0] if len(values) == 1 else values
            if name == "set_status":
                self.said.append(values[2])

        return set_


FakeTrainPanel = type(
    "FakeTrainPanel",
    (_Recorder,),
    {name: Signal(*types) for name, types in SIGNALS.items()},
)
"""Has the signals of the panel."""


class FakeTrainEngine(FakeEngine):
    """Learns step by step, and writes its model at every second one.

    With `is_stepwise` each step waits for `step`; otherwise steps come at once.
    """

    def __init__(self, *, steps: int = 6, is_stepwise: bool = False) -> None:
        super().__init__(is_stepwise=is_stepwise)
        self.steps = steps
        self.trained: list[tuple[Sequence[Part], Path, TrainParams]] = []
        self.train_error: Exception | None = None
        self.gpu: tuple[str, ...] = ()
        self.was_broken_off = False

    def iter_device(self, request: str) -> Generator[Progress, None, DeviceInfo]:
        yield Progress("load", 1, 1)
        return DeviceInfo("cpu", "CPU: no CUDA device found", ("cpu", *self.gpu))

    def list_models(self) -> list[ModelEntry]:
        known = {entry.name for entry in self.models}
        own = {out.stem: out for _, out, _ in self.trained if out.is_file()}
        return [
            *self.models,
            *(
                ModelEntry(name, "user", path, _trained_card(name), "")
                for name, path in own.items()
                if name not in known
            ),
        ]

    def iter_train(
        self,
        parts: Sequence[Part],
        out: Path,
        params: TrainParams,
        stop: threading.Event,
    ) -> Generator[Progress, None, Any]:
        self.trained.append((parts, out, params))
        yield Progress("load", 0, 1)
        if self.train_error is not None:
            raise self.train_error
        try:
            for number in range(1, self.steps + 1):
                if self.is_stepwise:
                    self._permits.acquire(timeout=10)
                yield _step(number, self.steps, out)
                if stop.is_set():
                    break
        except GeneratorExit:
            self.was_broken_off = True
            raise
        finally:
            out.with_name(f"{out.name}.state").write_text("state")
        yield Progress("calibrate", 1, 1)
        return _trained_card(out.stem)


def _trained_card(name: str) -> Any:
    return replace(fake_card(name), scores={"ap_0.50": 0.9, "mean_ap": 0.7})


def _step(number: int, steps: int, out: Path) -> TrainProgress:
    """One step; every second one is scored, has a picture, and writes the model."""
    if number % 2:
        return TrainProgress("train", number, steps, loss=1 / number, remaining_s=9.0)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(b"weights")
    image = np.zeros((1, 32, 48), np.float32)
    truth = np.zeros((32, 48), np.int32)
    truth[4:20, 4:20] = 1
    labels = np.roll(truth, 6, axis=1)
    return TrainProgress(
        "train",
        number,
        steps,
        loss=1 / number,
        metrics=_metrics(),
        picture=Picture("cells", image, labels, truth),
    )


def _metrics() -> Metrics:
    labels = np.zeros((8, 8), np.int32)
    labels[2:6, 2:6] = 1
    return evaluate(labels, labels)
