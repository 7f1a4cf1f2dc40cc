"""What a worker of a cluster needs of its own: the model, and a device nobody has."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from filelock import FileLock, Timeout

from napari_seg.errors import CheckpointError, DeviceError, NapariSegError
from napari_seg.inference.device import Device, choose_device
from napari_seg.inference.segment import load

if TYPE_CHECKING:
    from napari_seg.inference.volume_plan import VolumePlan
    from napari_seg.models.checkpoint import Checkpoint

_claims: list[tuple[FileLock, Device]] = []
"""Held until the process ends, however it ends."""


def load_model_of(plan: VolumePlan) -> Checkpoint:
    """Load the model of a run, and see that it is the same one.

    Raises
    ------
    CheckpointError
        If it is not on this machine, or another.
    """
    host = socket.gethostname()
    try:
        found = load([_known(name) for name in plan.model])
    except NapariSegError as error:
        raise CheckpointError(
            f"The checkpoint {', '.join(plan.model)} cannot be loaded on {host}",
            str(error),
            "Put it where all workers find it under the same path",
        ) from error
    if found.sha256 != plan.sha256:
        raise CheckpointError(
            f"The checkpoint {', '.join(plan.model)} on {host} is another one",
            f"sha256 {found.sha256[:12]}, not {plan.sha256[:12]}",
            "Copy the same file to all workers",
        )
    return found


def _known(name: str) -> str:
    """Return a path as it is, or the name of a model that is installed elsewhere."""
    path = Path(name)
    return name if path.is_file() or not path.is_absolute() else path.stem


def claim_device(request: str) -> Device:
    """Return the device of a worker: of several graphics cards one that is free.

    Parameters
    ----------
    request : str
        As for `choose_device`. With ``"auto"`` or ``"cuda"`` each process of a machine
        takes a card of its own, which is free again when the process ends.

    Raises
    ------
    DeviceError
        If there are more workers than cards.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if request not in ("auto", "cuda") or not count:
        return choose_device(request)
    if _claims:
        return _claims[0][1]  # an earlier run of this process took it
    for number in range(count):
        lock = FileLock(_lock_file(number))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        name = f"CUDA: {torch.cuda.get_device_name(number)}"
        device = Device(f"cuda:{number}", name)
        _claims.append((lock, device))
        return device
    raise DeviceError(
        f"All {count} graphics cards of {socket.gethostname()} have a worker",
        remedy="Start one worker for each card",
    )


def _lock_file(number: int) -> Path:
    """Return the same file for a card in all processes, whatever number it has."""
    card = torch.cuda.get_device_properties(number).uuid
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir()) / f"napari-seg-{user}-{card}.lock"
