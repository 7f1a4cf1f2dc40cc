"""The pictures of docs/train.md: a training and its border weights in the window.

Called by ``python -m docs.make_pictures``. Needs a display.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from docs.correct_pictures import Stage
from napari_seg.data.samples import read_sample_truth
from napari_seg.gui.sample_data import nuclei

if TYPE_CHECKING:
    from PIL import Image

STEPS_SHOWN_MS = 45_000


def weights(stage: Stage) -> Image.Image:
    """Show the weights of the gaps between nuclei."""
    stage.widget.tabs.setCurrentWidget(stage.widget.weights_panel)
    stage.widget.weights_panel.shown_requested.emit(True)
    stage.look_at((352, 404), 260)
    stage.wait(2500)
    return stage.window()


def training(stage: Stage) -> Image.Image:
    """Show a training some steps after its start."""
    stage.widget.tabs.setCurrentWidget(stage.widget.train_panel)
    stage.wait(3000)
    stage.widget.trainer.start()
    stage.wait(STEPS_SHOWN_MS)
    picture = stage.window()
    stage.widget.trainer.cancel()
    stage.wait(5000)
    return picture


def make(images: Path) -> None:
    """Write all pictures into a folder."""
    truth = read_sample_truth("nuclei").array
    with tempfile.TemporaryDirectory() as folder:
        # The model of the picture must not end up among the user's.
        os.environ["NAPARI_SEG_MODELS"] = folder
        for name, scene in {"train-weights": weights, "train-window": training}.items():
            stage = Stage(nuclei()[0], truth, Path(folder))
            scene(stage).save(images / f"{name}.png", optimize=True)
            print(images / f"{name}.png")
            stage.viewer.close()


if __name__ == "__main__":
    make(Path(__file__).parent / "images")
