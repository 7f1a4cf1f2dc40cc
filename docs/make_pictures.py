"""Make the pictures of the README and the guide: ``python -m docs.make_pictures``.

Needs a display (``xvfb-run -a`` will do) and the shipped model. Each picture is what a
user sees who runs the same command.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from docs import (
    batch_pictures,
    correct_pictures,
    folder_pictures,
    network_pictures,
    refine_pictures,
    train_pictures,
)

IMAGES = Path(__file__).parent / "images"


def napari_seg(*arguments: str) -> None:
    """Run a command of napari-seg, as a user would."""
    command = [sys.executable, "-m", "napari_seg", *arguments]
    print("+ napari-seg", *arguments)
    subprocess.run(command, check=True)


def main() -> None:
    """Write everything in ``docs/images``."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # Neither the user's unsaved work in the pictures, nor theirs in the user's.
        os.environ["NAPARI_SEG_AUTOSAVE"] = str(Path(folder) / "autosave")
        napari_seg("demo", "--screenshot", str(IMAGES / "demo.png"))
        napari_seg("demo", "--headless", "--out", folder)
        shutil.copy(Path(folder) / "overlay.png", IMAGES / "overlay.png")
        correct_pictures.make(IMAGES)
        folder_pictures.make(IMAGES)
        batch_pictures.make(IMAGES)
        train_pictures.make(IMAGES)
        refine_pictures.make(IMAGES)
        network_pictures.make(IMAGES)


if __name__ == "__main__":
    main()
