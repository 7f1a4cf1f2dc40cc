"""Workers share the graphics cards of a machine, one each. No card is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock

from napari_seg.errors import DeviceError
from napari_seg.inference import worker_device
from napari_seg.inference.worker_device import claim_device


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Pretend that there are two cards; returns their lock files."""
    claims: list[tuple[FileLock, object]] = []
    monkeypatch.setattr(worker_device, "_claims", claims)
    monkeypatch.setattr(worker_device.tempfile, "gettempdir", lambda: str(tmp_path))
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_name": lambda number: f"card {number}",
        "get_device_properties": lambda number: SimpleNamespace(uuid=f"uuid{number}"),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    yield [worker_device._lock_file(number) for number in range(2)]
    for lock, _ in claims:
        lock.release()


def test_each_process_takes_a_card_that_no_other_has(cards: list[Path]) -> None:
    with FileLock(cards[0]):
        assert claim_device("auto").name == "cuda:1"


def test_the_next_run_of_a_process_has_the_same_card(cards: list[Path]) -> None:
    assert claim_device("cuda").name == "cuda:0"
    assert claim_device("auto").name == "cuda:0"


def test_one_worker_too_many_is_refused(cards: list[Path]) -> None:
    with (
        FileLock(cards[0]),
        FileLock(cards[1]),
        pytest.raises(DeviceError, match="All 2 graphics cards"),
    ):
        claim_device("auto")


HOLD = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_worker_that_dies_gives_its_card_back(cards: list[Path]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cards[0])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        try:
            with pytest.raises(DeviceError), FileLock(cards[1]):
                claim_device("auto")
        finally:
            process.kill()
    assert claim_device("auto").name == "cuda:0"


def test_a_device_that_is_named_is_taken_as_it_is(cards: list[Path]) -> None:
    assert claim_device("cpu").name == "cpu"
