"""The command line's windows, opened for real in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_seg.data.io import read_image

COMMAND = [sys.executable, "-m", "napari_seg"]


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.timeout(900)  # it waits for a network, on a busy machine long
def test_demo_saves_a_picture_of_the_window_with_labels(tmp_path: Path) -> None:
    picture = tmp_path / "demo.png"
    done = subprocess.run(
        [*COMMAND, "demo", "--screenshot", picture],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    window = read_image(picture).array
    assert min(window.shape[:2]) > 500
    canvas = window[200:500, 400:800].astype(int)
    colourful = np.ptp(canvas, axis=-1) > 40  # labels: image and canvas are grey
    assert 0.05 < colourful.mean() < 0.9


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_without_a_command_napari_opens_and_stays(tmp_path: Path) -> None:
    with subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(15)
        was_open = process.poll() is None
        process.send_signal(signal.SIGKILL)
        _, complaints = process.communicate()
    assert was_open, complaints
    assert "Traceback" not in complaints


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_optimiser_does_not_crash_a_window_drawn_by_mesa() -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import napari, numpy as np\n"
        "viewer = napari.Viewer()\n"
        "viewer.add_image(np.eye(9))\n"
        "viewer.screenshot(flash=False)\n"
        "from napari_seg.gui.engine import Engine\n"
        "from napari_seg.types import run\n"
        "run(Engine().iter_device('auto'))\n"
        "import os, torch._dynamo\n"
        "print('survived', flush=True)\n"
        "os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "survived" in done.stdout, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a display")
@pytest.mark.parametrize("command", [[], ["demo"]])
def test_without_a_display_one_line_says_what_to_do(command: list[str]) -> None:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    done = subprocess.run(
        [*COMMAND, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--headless" in done.stderr
    assert len(done.stderr.splitlines()) == 1
