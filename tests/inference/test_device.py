"""Choosing a device and saying why."""

from __future__ import annotations

import pytest
import torch

from napari_seg.errors import DeviceError
from napari_seg.inference.device import choose_device, is_out_of_memory, list_devices


def test_the_cpu_is_always_listed_last() -> None:
    assert list_devices()[-1].name == "cpu"


def test_auto_says_why_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    device = choose_device("auto")
    assert (device.name, device.reason) == ("cpu", "CPU: no CUDA device found")


def test_auto_takes_the_first_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"Card {i}")
    assert choose_device().reason == "CUDA: Card 0"
    assert choose_device("cuda").name == "cuda:0"
    assert choose_device("CUDA:1").name == "cuda:1"


def test_a_missing_device_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"'cuda:3'.*cpu"):
        choose_device("cuda:3")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_want_of_memory_is_told_from_other_errors(
    error: RuntimeError, expected: bool
) -> None:
    assert is_out_of_memory(error) is expected
