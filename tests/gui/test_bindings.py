"""The window with the other Qt binding: napari is about to leave the first one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_in_a_window_works_with_pyqt6_too() -> None:
    command = [sys.executable, "-m", "pytest", str(HERE), "-q", "-m", "gui"]
    command += [f"--ignore={__file__}", "-o", "qt_api=pyqt6", "-p", "no:cacheprovider"]
    # One process has one binding: this one has PyQt5.
    done = subprocess.run(
        command,
        env=os.environ | {"QT_API": "pyqt6"},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        timeout=850,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
