"""Which device computes and why: always on screen, found out in the background."""

from __future__ import annotations

from typing import Any

from psygnal import Signal

from napari_seg.errors import NapariSegError
from napari_seg.gui.engine import DeviceInfo, Engine
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.state import SegmentSettings

_CHECK_AFTER_S = 0.3
"""Long enough for the window to be drawn before torch is imported."""


class DeviceChoice:
    """Keeps the device row of a panel true.

    Parameters
    ----------
    jobs : Jobs
        Asking needs torch, so it is a job.
    engine : Engine
        Knows the devices.
    panel : SegmentPanel
        Or anything with its device setters.
    settings : SegmentSettings
        Holds the device the user asked for.
    """

    changed = Signal()
    """The device became usable, or unusable."""

    def __init__(
        self, jobs: Jobs, engine: Engine, panel: Any, settings: SegmentSettings
    ) -> None:
        self._jobs = jobs
        self._engine = engine
        self._panel = panel
        self._settings = settings
        self._job: Job | None = None
        self._problem = ""
        self._names: tuple[str, ...] = ()
        self._show_names()
        panel.set_device_reason("Looked up when an image is open.")

    def problems(self) -> dict[str, str]:
        """Return what is wrong with the device, by field."""
        return {"device": self._problem} if self._problem else {}

    def check_soon(self) -> None:
        """Find out in a moment, unless that was done or is being done."""
        if self._job is None:
            self._panel.set_device_reason("Checking…")
            self._jobs.later("device", _CHECK_AFTER_S, self._check)

    def choose(self, name: str) -> None:
        """Take the user's choice and find out about it."""
        self._settings.device = name
        self._check()

    def _check(self) -> None:
        self._jobs.forget("device")
        if self._job is not None:
            self._job.drop()
        self._panel.set_device_reason("Checking…")
        self._job = self._jobs.start(
            Job(
                self._engine.iter_device(self._settings.device),
                on_done=self._on_done,
                on_error=self._on_error,
            )
        )

    def _on_done(self, info: DeviceInfo) -> None:
        self._problem = ""
        self._names = info.names
        self._show_names()
        self._panel.set_device_reason(info.reason)
        self.changed.emit()

    def _on_error(self, error: BaseException) -> None:
        is_known = isinstance(error, NapariSegError)
        self._problem = str(error) if is_known else f"PyTorch failed to start: {error}"
        self._show_names()
        self.changed.emit()

    def _show_names(self) -> None:
        wanted = self._settings.device
        names = list(self._names)
        if wanted not in ("auto", *names):
            names.append(wanted)
        devices = [("Automatic", "auto"), *((_text(name), name) for name in names)]
        self._panel.set_devices(devices, wanted)


def _text(name: str) -> str:
    """Write a device as people call it."""
    known = {"cpu": "CPU", "mps": "Apple GPU"}
    return known.get(name, name.replace("cuda:", "GPU "))
