"""Which device computes, and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_seg.errors import DeviceError


@dataclass(frozen=True)
class Device:
    """A compute device.

    Parameters
    ----------
    name : str
        As torch names it: ``"cpu"``, ``"cuda:0"``, ``"mps"``.
    reason : str
        Why this one, for the user: ``"CPU: no CUDA device found"``.
    """

    name: str
    reason: str


def list_devices() -> list[Device]:
    """Return the devices of this machine, the fastest first."""
    devices = [
        Device(f"cuda:{i}", f"CUDA: {torch.cuda.get_device_name(i)}")
        for i in range(_cuda_count())
    ]
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "MPS: Apple graphics processor"))
    threads = torch.get_num_threads()
    devices.append(Device("cpu", f"CPU: {threads} thread{'s' * (threads != 1)}"))
    return devices


def choose_device(request: str = "auto") -> Device:
    """Turn a request into a device that is there.

    Parameters
    ----------
    request : str, optional
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

    Returns
    -------
    Device
        The device and the reason for it.

    Raises
    ------
    DeviceError
        If the device is unknown or missing.
    """
    wanted = request.strip().lower() or "auto"
    devices = list_devices()
    if wanted == "auto":
        first = devices[0]
        if first.name == "cpu":
            return Device("cpu", "CPU: no CUDA device found")
        return first
    if wanted == "cpu":
        return Device("cpu", "CPU: chosen")
    name = "cuda:0" if wanted == "cuda" else wanted
    for device in devices:
        if device.name == name:
            return device
    raise DeviceError(
        f"The device {request!r} is not available",
        ", ".join(d.name for d in devices),
        "Choose one of these or 'auto'",
    )


def _cuda_count() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch failed for want of memory, on any device."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text
