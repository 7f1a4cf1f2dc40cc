"""Fixtures of all tests; those that need Qt import it only when asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest


def has_display() -> bool:
    """Whether a window can be opened; asked late, because pytest-xvfb opens one."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY"))


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    if not has_display():
        # Plain widgets need no screen; a viewer does, see below.
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # Its LLVM cannot be loaded after Mesa's (see gui/llvm_clash.py), and these tests
    # open windows and train in one process.
    with suppress(ImportError):
        import_module("triton")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if has_display():
        return
    reason = "needs OpenGL and so a display: run under `xvfb-run -a`"
    for item in items:
        if item.get_closest_marker("gui"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep journals out of the user's folder, and tests out of each other's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_SEG_AUTOSAVE", str(tmp_path_factory.mktemp("autosave")))
        # The last bits must not depend on what processor the tests run on.
        patch.setenv("NAPARI_SEG_PRECISION", "full")
        yield


class Outcome(NamedTuple):
    """What a command of napari-seg ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Call the command line in this process."""
    from napari_seg.cli import main

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["napari-seg", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a U-Net whose weights pass grey values on: bright means interior."""
    from benchmarks.volumes_scale import stand_in

    path = tmp_path_factory.mktemp("model") / "bright.safetensors"
    return stand_in(path, "bright")
