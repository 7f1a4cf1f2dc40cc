"""Fixtures of all tests; those that need Qt import it only when asked for."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module

import numpy as np
import pytest
from numpy.typing import NDArray


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


def draw_discs(
    shape: tuple[int, int], centres: list[tuple[int, int]], radius: float
) -> NDArray[np.int32]:
    """Return labels 1..N with one disc for each centre, (row, column) int32."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for number, (row, column) in enumerate(centres, start=1):
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    return labels


@pytest.fixture
def discs() -> NDArray[np.int32]:
    """Sixteen discs of radius 10 in (128, 160) int32 labels, none touching."""
    centres = [(16 + 32 * i, 20 + 40 * j) for i in range(4) for j in range(4)]
    return draw_discs((128, 160), centres, 10)
