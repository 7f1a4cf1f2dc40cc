"""The upper part of the Train panel: keeps what it shows true to the state."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import date
from typing import Any

from psygnal import Signal

from napari_seg.data.holdout import FEWEST_SOURCES
from napari_seg.gui.engine import DeviceInfo
from napari_seg.gui.training.data import Row, TrainingData, amount_text
from napari_seg.gui.training.settings import (
    ADVANCED_RANGES,
    FROM_A_MODEL,
    OF_PIXELS,
    OF_VOLUMES,
    PRESETS,
    SCRATCH,
    TrainAdvanced,
    TrainSettings,
)
from napari_seg.gui.training.unfinished import RunRecord, now
from napari_seg.models.catalogue import ModelEntry
from napari_seg.models.registry import ARCHITECTURES
from napari_seg.models.specs.measured import measurements
from napari_seg.models.specs.spec import Architecture
from napari_seg.training.params import TrainParams

NO_DATA = "no data"
"""Key of the one problem that is nobody's mistake."""
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]|^\.|[. ]$')
_FROM_SCRATCH = "From scratch"
FIRST = TrainSettings.architecture
"""The network at the top of the list."""


class TrainForm:
    """Carries requests of the panel into settings and data, and both to the panel.

    Parameters
    ----------
    panel : TrainPanel
        Or anything with its signals and setters.
    settings : TrainSettings
        What the user wants.
    data : TrainingData
        What there is to train on.
    """

    changed = Signal()
    """The user asked for something else."""

    def __init__(self, panel: Any, settings: TrainSettings, data: TrainingData) -> None:
        self.settings = settings
        self.can_count = True
        self._panel = panel
        self._data = data
        self._models: list[ModelEntry] = []
        self._device: DeviceInfo | None = None
        self._device_problem = ""
        self._is_own_name = False
        panel.used_requested.connect(lambda key, used: data.choose(key, used))
        panel.counts_requested.connect(
            lambda key, counts: data.choose(key, counts=counts)
        )
        panel.folder_requested.connect(data.add_folder)
        panel.remove_requested.connect(data.remove)
        panel.start_from_requested.connect(self._on_start)
        panel.network_requested.connect(self._on_network)
        panel.name_requested.connect(self._on_name)
        panel.preset_requested.connect(self._on_preset)
        panel.advanced_requested.connect(self._on_advanced)

    def set_models(self, models: list[ModelEntry]) -> None:
        """List the models a training can start from."""
        self._models = [entry for entry in models if entry.card is not None]
        names = [entry.name for entry in self._models]
        if self.settings.start not in (*names, SCRATCH):
            self.settings.start = names[0] if names else SCRATCH
        self.show()

    def set_device(self, info: DeviceInfo | None, problem: str = "") -> None:
        """Take in what computes here."""
        self._device, self._device_problem = info, problem
        self.show()

    def take(self, record: RunRecord) -> list[str]:
        """Ask again for what a record says; return the layers that are not open."""
        settings, asked = self.settings, record.settings
        settings.start, settings.name = asked.start, asked.name
        settings.preset, settings.advanced = asked.preset, asked.advanced
        if asked.architecture in ARCHITECTURES:
            settings.architecture = asked.architecture
        self._is_own_name = True
        there = {row.key for row in self._data.rows() if not row.is_folder}
        for key in there:
            self._data.choose(key, key in record.layers, record.layers.get(key))
        self._data.folders = dict.fromkeys(record.folders, True)
        self._data.changed.emit()
        self.show()
        return sorted(record.layers.keys() - there)

    def record(self) -> RunRecord:
        """Write down what is asked for."""
        used = self._data.used()
        settings = TrainSettings(**vars(self.settings))
        return RunRecord(
            settings,
            {row.key: row.counts for row in used if not row.is_folder},
            tuple(folder for folder, is_used in self._data.folders.items() if is_used),
            now(),
        )

    def params(self, *, resume: bool) -> TrainParams:
        """Build the parameters of the core."""
        rows, amount = self._data.used(), self._data.amount()
        names = ", ".join(row.text for row in rows)
        size = f" ({amount_text(amount)})" if amount else ""
        origin = self.settings.start or "random weights"
        return self.settings.params(
            device=self._device_name(),
            threads=max(1, cores() - 1),
            resume=resume,
            description=f"Trained in the window on {names}{size}, from {origin}.",
            training_data=f"{names}{size}",
        )

    def problems(self, *, is_resumed: bool = False) -> dict[str, str]:
        """Return what keeps a training from being started, by field."""
        problems: dict[str, str] = {}
        rows = self._data.rows()
        if not rows:
            problems[NO_DATA] = "Open an image with labels, or add a folder, first."
        elif reason := self._data_problem(rows):
            problems["data"] = reason
        if not is_resumed and (reason := self._name_problem()):
            problems["name"] = reason
        if self.settings.preset == "gpu" and self._gpu() is None:
            problems["preset"] = self._device_problem or (
                "Looking for a GPU…"
                if self._device is None
                else "There is no GPU here."
            )
        if not self.settings.advanced.minutes and not self.settings.advanced.steps:
            problems["minutes"] = "Set minutes or steps."
        return problems

    def show(self) -> None:
        """Show the settings."""
        settings, panel = self.settings, self._panel
        starts = [(entry.name, entry.name) for entry in self._models]
        panel.set_starts([*starts, (_FROM_SCRATCH, SCRATCH)], settings.start)
        panel.set_start_note(self._start_note())
        self._show_network()
        panel.set_preset(settings.preset)
        panel.set_preset_note(self._preset_note())
        panel.set_advanced(settings.advanced)
        self.show_data()

    def _show_network(self) -> None:
        """Let her choose a network only where none is given, and show what matters."""
        is_new = self.settings.start == SCRATCH
        networks = sorted(ARCHITECTURES.values(), key=_by_use)
        items = [
            (f"{spec.title} ({spec.year})", spec.name, _about(spec))
            for spec in networks
        ]
        self._panel.set_networks(items if is_new else [], self.settings.architecture)
        offered = {field.name for field in fields(TrainAdvanced)}
        if is_new:
            offered -= FROM_A_MODEL
        if not is_new or 3 not in ARCHITECTURES[self.settings.architecture].ndims:
            offered -= OF_VOLUMES
        if self._is_detector():
            offered -= OF_PIXELS
        self._panel.set_offered(offered)

    def _is_detector(self) -> bool:
        if self.settings.start == SCRATCH:
            return ARCHITECTURES[self.settings.architecture].kind == "detector"
        cards = [e.card for e in self._models if e.name == self.settings.start]
        return any(card is not None and card.finds_objects for card in cards)

    def show_data(self) -> None:
        """Show the training data, and what follows from them."""
        self._panel.set_rows(self._data.rows())
        self._panel.set_total(self._total())
        if not self._is_own_name:
            self.settings.name = self._default_name()
        self._panel.set_name(self.settings.name)
        self.show_problems()

    def show_problems(self) -> None:
        """Say what is wrong, or let Start be pressed."""
        self._panel.set_problems(self.problems())

    def suggest_name(self) -> None:
        """Take a free name for the next model."""
        self._is_own_name = False
        self.show_data()

    def _on_start(self, start: str) -> None:
        self.settings.start = start
        self.settings.take_preset()
        self._on_changed()

    def _on_network(self, name: str) -> None:
        self.settings.architecture = name
        self._on_changed()

    def _on_preset(self, preset: str) -> None:
        self.settings.preset = preset
        self.settings.take_preset()
        self._on_changed()

    def _on_advanced(self, advanced: TrainAdvanced) -> None:
        self.settings.advanced = advanced
        self.show_problems()
        self.changed.emit()

    def _on_name(self, name: str) -> None:
        self.settings.name = name.strip()
        self._is_own_name = bool(self.settings.name)
        self._on_changed()

    def _on_changed(self) -> None:
        self.show()
        self.changed.emit()

    def _default_name(self) -> str:
        image = _FORBIDDEN.sub("_", self._data.image_name()) or "model"
        base = f"{image} {date.today().isoformat()}"
        taken = {entry.name for entry in self._models}
        names = [base, *(f"{base} {i}" for i in range(2, len(taken) + 3))]
        return next(name for name in names if name not in taken)

    def _name_problem(self) -> str:
        name = self.settings.name
        if not name:
            return "Give the new model a name."
        if _FORBIDDEN.search(name) or len(name) > 120:
            return "Files cannot be called so; leave out signs such as / and :"
        if name in [entry.name for entry in self._models]:
            return "There is a model of this name already."
        return ""

    def _data_problem(self, rows: list[Row]) -> str:
        used = self._data.used()
        if not used:
            broken = [row.problem for row in rows if row.problem]
            return broken[0] if broken else "Tick what the model shall learn from."
        amount = self._data.amount()
        if amount is not None and amount.objects == 0:
            return "There is no object to learn from in what is ticked."
        return ""

    def _total(self) -> str:
        amount, used = self._data.amount(), self._data.used()
        if not used:
            return ""
        if amount is None:
            return "Counting…" if self.can_count else ""
        text = f"Together {amount_text(amount)}."
        folders = any(row.is_folder for row in used)
        if not folders and len(used) < FEWEST_SOURCES:
            text += (
                f" With fewer than {FEWEST_SOURCES} images or stacks none is held "
                "back for scoring: the scores will flatter."
            )
        return text

    def _start_note(self) -> str:
        if self.settings.start == SCRATCH:
            return "Learns nothing but what these images show."
        found = [e for e in self._models if e.name == self.settings.start]
        return found[0].summary if found else ""

    def _preset_note(self) -> str:
        if self._device_name() == "cpu":
            return f"{max(1, cores() - 1)} of {cores()} cores; the window keeps one."
        return self._device.reason if self._device is not None else ""

    def _device_name(self) -> str:
        if self.settings.preset == "quick":
            return "cpu"
        if self.settings.preset == "gpu":
            return self._gpu() or "cuda"
        return "auto"

    def _gpu(self) -> str | None:
        names = self._device.names if self._device is not None else ()
        return next((name for name in names if name != "cpu"), None)


def _by_use(spec: Architecture) -> tuple[bool, int, str]:
    """Sort the one to begin with first, then the latest first."""
    return spec.name != FIRST, -spec.year, spec.title


def _about(spec: Architecture) -> str:
    dimensions = " and ".join(f"{n}D" for n in spec.ndims)
    family = spec.family[:1].upper() + spec.family[1:]
    text = f"{family}, {spec.year}, {dimensions}. Good at: {spec.good_at}."
    known = measurements().get(spec.name, {})
    facts = []
    if "parameters" in known:
        facts.append(f"{known['parameters'] / 1e6:.1f} million parameters")
    if "Mpx/s" in known:
        facts.append(f"{known['Mpx/s']:.1f} megapixels/s")
    if "AP@0.5" in known:
        facts.append(f"AP {known['AP@0.5']:.2f} on nuclei in a comparison of all")
    return f"{text} {', '.join(facts)}." if facts else text


def cores() -> int:
    """Count the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def settings_from(stored: Mapping[str, Any]) -> TrainSettings:
    """Build settings from what of `stored` makes sense."""
    settings = TrainSettings()
    if isinstance(stored.get("start"), str):
        settings.start = stored["start"]
    if stored.get("preset") in PRESETS:
        settings.preset = stored["preset"]
    if stored.get("architecture") in ARCHITECTURES:
        settings.architecture = stored["architecture"]
    settings.take_preset()
    own = stored.get("advanced")
    values = asdict(settings.advanced)
    for name, default in asdict(TrainAdvanced()).items():
        value: Any = own.get(name) if isinstance(own, dict) else None
        low, high = ADVANCED_RANGES.get(name, (0, 1))
        if type(value) is type(default) and low <= value <= high:
            values[name] = value
    settings.advanced = TrainAdvanced(**values)
    return settings


def settings_to_store(settings: TrainSettings) -> dict[str, Any]:
    """Return what the next session shall find."""
    return {
        "start": settings.start,
        "architecture": settings.architecture,
        "preset": settings.preset,
        "advanced": asdict(settings.advanced),
    }
