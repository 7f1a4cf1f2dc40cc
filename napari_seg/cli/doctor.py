"""``napari-seg doctor``: what to paste into a bug report."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from napari_seg import __version__
from napari_seg.cli.output import emit_json, say

PACKAGES = (
    "napari", "npe2", "magicgui", "superqt", "psygnal", "qtpy", "PyQt5", "PyQt6",
    "torch", "numpy", "scipy", "scikit-image", "dask", "zarr", "tifffile", "edt",
    "pydensecrf2",
    "laptrack",
)  # fmt: skip

PROBE_SECONDS = 60


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Show versions, Qt binding, OpenGL, devices and memory, for a bug report."""
    report: dict[str, Any] = {
        "napari-seg": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "window": _probe_window(),
        "devices": _devices(),
        "memory": _memory(),
        "models": _models(),
        "your models go to": _user_models(),
    }
    if as_json:
        emit_json(report)
        return
    for key, value in report.items():
        if isinstance(value, dict):
            say(f"{key}:")
            for name, text in value.items():
                say(f"  {name}: {text}")
        elif isinstance(value, list):
            say(f"{key}:")
            for text in value:
                say(f"  {text}")
        else:
            say(f"{key}: {value}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _probe_window() -> dict[str, str]:
    """Ask for Qt and OpenGL in another process: a broken driver kills only that."""
    try:
        probe = subprocess.run(
            [sys.executable, "-m", "napari_seg.gui.probe"],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"opening a window took more than {PROBE_SECONDS} s"}
    if probe.returncode == 0:
        found: dict[str, str] = json.loads(probe.stdout.splitlines()[-1])
        return found
    lines = [line for line in probe.stderr.splitlines() if line.strip()]
    # Qt says first what went wrong, and then much else
    said = [line for line in lines if "could not" in line.lower()] or lines[-1:]
    return {
        "problem": "no window can be opened here",
        "found": said[0] if said else f"exit status {probe.returncode}",
        "remedy": "Without a display, run under xvfb-run or use --headless.",
    }


def _devices() -> list[str]:
    from napari_seg.inference.device import choose_device, list_devices

    chosen = choose_device()
    lines = [f"{device.name}: {device.reason}" for device in list_devices()]
    return [*lines, f"chosen: {chosen.name} ({chosen.reason})"]


def _memory() -> dict[str, str]:
    import psutil

    memory = psutil.virtual_memory()
    return {
        "total": f"{memory.total / 2**30:.1f} GiB",
        "available": f"{memory.available / 2**30:.1f} GiB",
        "cores": str(psutil.cpu_count()),
    }


def _user_models() -> str:
    from napari_seg.models.catalogue import user_models_dir

    return str(user_models_dir())


def _models() -> list[str]:
    from napari_seg.models.catalogue import list_models

    checkpoints = [entry for entry in list_models() if entry.path is not None]
    return [f"{e.name} ({e.kind}): {e.path}" for e in checkpoints]
