"""The pictures of docs/correct.md: real strokes of a real mouse on the samples.

Called by ``python -m docs.make_pictures``. Needs a display.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari._qt.dialogs.qt_notification import NapariQtNotification
from PIL import Image
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_seg.data.samples import read_sample_truth
from napari_seg.gui.sample_data import chloroplasts, nuclei
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered
from tests.gui.mouse import Mouse, press_key

WINDOW_PX = (1280, 940)
CROP_PX = (430, 330)
GAP_PX = 8


class Stage:
    """A window with the Correct tab open on a sample and its labels.

    Parameters
    ----------
    layer_data : tuple
        Data, keyword arguments and kind of the image layer.
    labels : ndarray of int
        Of the image's shape; the stage corrects a copy.
    folder : Path
        For the settings, which are nobody's.
    """

    def __init__(
        self, layer_data: tuple[Any, dict[str, Any], str], labels: Any, folder: Path
    ) -> None:
        data, options, _ = layer_data
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*WINDOW_PX)
        self.viewer.add_image(data, **options)
        place = {k: options[k] for k in ("scale", "units") if k in options}
        self.labels = self.viewer.add_labels(
            np.array(labels, np.int32), name="labels", **place
        )
        self.widget = SegmentationWidget(
            self.viewer, remembered=Remembered(folder / "settings.json")
        )
        self.viewer.window.add_dock_widget(self.widget, name="napari-seg")
        self.widget.tabs.setCurrentWidget(self.widget.correct_panel)
        self.wait(1500)
        self.viewer.reset_view()
        self.viewer.window._qt_window.activateWindow()
        self.mouse = Mouse(self.viewer, self.labels)
        self.wait(300)

    def wait(self, time_ms: int) -> None:
        """Let the window live."""
        QTest.qWait(time_ms)

    def key(self, name: str) -> None:
        """Press a key over the canvas."""
        press_key(self.viewer.window._qt_viewer.canvas.native, name)
        self.wait(700)

    def look_at(self, pixel: Sequence[float], width_px: float) -> None:
        """Show so many pixels of the labels across a picture, around one of them."""
        world = np.asarray(self.labels.data_to_world(pixel))
        scale = float(self.labels.scale[-1])
        self.viewer.scene.camera.center = tuple(world[-2:])
        self.viewer.scene.camera.zoom = CROP_PX[0] / (width_px * scale)
        self.wait(300)

    def stroke(self, points: Sequence[Sequence[float]], *held: str) -> None:
        """Draw a stroke and wait for its preview."""
        self.mouse.drag(list(points), held)
        self.wait(1500)

    def canvas(self) -> Image.Image:
        """Return the middle of the canvas."""
        self.wait(400)
        picture = Image.fromarray(
            self.viewer.screenshot(canvas_only=True, flash=False)[..., :3]
        )
        x, y = (picture.width - CROP_PX[0]) // 2, (picture.height - CROP_PX[1]) // 2
        return picture.crop((x, y, x + CROP_PX[0], y + CROP_PX[1]))

    def window(self) -> Image.Image:
        """Return the whole window."""
        self.wait(400)
        # napari greets with notices that fade slowly, over the image.
        for notice in QApplication.allWidgets():
            if isinstance(notice, NapariQtNotification):
                notice.close()
        shot = self.viewer.screenshot(canvas_only=False, flash=False)
        return Image.fromarray(shot[..., :3])


def side_by_side(*pictures: Image.Image) -> Image.Image:
    """Return pictures in a row, from before to after."""
    width = sum(p.width for p in pictures) + GAP_PX * (len(pictures) - 1)
    row = Image.new("RGB", (width, pictures[0].height), "white")
    x = 0
    for picture in pictures:
        row.paste(picture, (x, 0))
        x += picture.width + GAP_PX
    return row


def draw_object(stage: Stage) -> Image.Image:
    """Find a nucleus that the labels miss from one stroke."""
    erase(stage, 122)
    stage.look_at((352, 404), 110)
    stage.key("N")
    stage.key("A")
    stage.stroke([(345, 403), (352, 404), (360, 407)])
    proposed = stage.canvas()
    stage.key("Enter")
    return side_by_side(proposed, stage.canvas())


def trim_object(stage: Stage) -> Image.Image:
    """Trim a nucleus with too large an outline by a stroke with Shift."""
    data = stage.labels.data
    mask = ndimage.binary_dilation(data == 68, iterations=7) & (data == 0)
    data[mask] = 68
    stage.labels.refresh()
    stage.look_at((238, 585), 110)
    stage.key("A")
    stage.mouse.click((238, 585), ["Control"])
    stage.stroke([(254, 574), (257, 584), (254, 594)], "Shift")
    proposed = stage.canvas()
    stage.key("Enter")
    return side_by_side(proposed, stage.canvas())


def split_object(stage: Stage) -> Image.Image:
    """Split two nuclei with one number by a stroke on each."""
    stage.labels.data[stage.labels.data == 46] = 106
    stage.labels.refresh()
    stage.look_at((296, 83), 110)
    stage.key("S")
    stage.stroke([(294, 66), (300, 80)])
    stage.stroke([(286, 88), (298, 98)])
    proposed = stage.canvas()
    stage.key("Enter")
    return side_by_side(proposed, stage.canvas())


def join_objects(stage: Stage) -> Image.Image:
    """Join two pieces of a nucleus by a line across."""
    data = stage.labels.data
    half = data == 36
    half[:, :621] = False
    data[half] = 500
    stage.labels.refresh()
    stage.look_at((72, 621), 110)
    stage.key("J")
    stage.mouse.press((72, 608))
    stage.mouse.move((72, 620))
    stage.mouse.move((72, 634))
    drawn = stage.canvas()
    stage.mouse.release((72, 634))
    stage.wait(500)
    return side_by_side(drawn, stage.canvas())


def delete_objects(stage: Stage) -> Image.Image:
    """Delete all objects in a rectangle."""
    stage.look_at((180, 575), 130)
    stage.key("D")
    stage.mouse.press((150, 545))
    stage.mouse.move((170, 580))
    stage.mouse.move((180, 596))
    drawn = stage.canvas()
    stage.mouse.release((180, 596))
    stage.wait(500)
    return side_by_side(drawn, stage.canvas())


def lock_objects(stage: Stage) -> Image.Image:
    """Lock two nuclei that are right."""
    stage.look_at((225, 460), 130)
    before = stage.canvas()
    stage.key("K")
    stage.mouse.click((226, 444))
    stage.mouse.click((223, 476))
    stage.wait(500)
    return side_by_side(before, stage.canvas())


def erase(stage: Stage, object_id: int) -> None:
    """Take an object away behind everybody's back."""
    stage.labels.data[stage.labels.data == object_id] = 0
    stage.labels.refresh()


def carry_through(stage: Stage) -> Image.Image:
    """Carry a chloroplast that was drawn in one plane through the stack."""
    step = float(stage.labels.scale[0])
    stage.viewer.dims.set_point(0, 4 * step)
    stage.wait(300)
    stage.key("I")
    stage.mouse.click((4, 51, 101))
    stage.key("Shift+W")
    for _ in range(60):
        stage.wait(500)
        if (stage.labels.data[[0, 9]] == 2).any(axis=(1, 2)).all():
            break
    stage.look_at((4, 51, 101), 110)
    pictures = []
    for plane in (4, 0, 9):
        stage.viewer.dims.set_point(0, plane * step)
        pictures.append(stage.canvas())
    return side_by_side(*pictures)


def whole_window(stage: Stage) -> Image.Image:
    """Show the window while a stroke waits for Enter."""
    erase(stage, 122)
    stage.look_at((352, 404), 200)
    stage.key("N")
    stage.key("A")
    stage.stroke([(345, 403), (352, 404), (360, 407)])
    return stage.window()


def next_to_correct(stage: Stage) -> Image.Image:
    """Segment the image, and go to what the network is least sure of."""
    stage.viewer.layers.remove(stage.labels)
    ended: list[object] = []
    stage.widget.run_ended.connect(ended.append)
    stage.widget.run()
    while not ended:
        stage.wait(200)
    stage.wait(1500)
    for _ in range(4):
        stage.key(".")
        stage.wait(1500)
    return stage.window()


FLAT: dict[str, Callable[[Stage], Image.Image]] = {
    "correct-window": whole_window,
    "correct-object": draw_object,
    "correct-trim": trim_object,
    "correct-split": split_object,
    "correct-join": join_objects,
    "correct-delete": delete_objects,
    "correct-lock": lock_objects,
    "correct-next": next_to_correct,
}


def make(images: Path, names: Sequence[str] = tuple(FLAT)) -> None:
    """Write pictures into a folder; those of stacks along with all others."""
    with tempfile.TemporaryDirectory() as folder:
        truth = read_sample_truth("nuclei").array
        for name in names:
            # A stage for each: no picture shows what another left behind.
            stage = Stage(nuclei()[0], truth, Path(folder))
            FLAT[name](stage).save(images / f"{name}.png", optimize=True)
            print(images / f"{name}.png")
            stage.viewer.close()
        if tuple(names) != tuple(FLAT):
            return
        stack = np.array(read_sample_truth("chloroplasts").array)
        one_plane = np.zeros_like(stack)
        one_plane[4] = stack[4]
        stage = Stage(chloroplasts()[0], one_plane, Path(folder))
        carry_through(stage).save(images / "correct-planes.png", optimize=True)
        stage.viewer.close()


if __name__ == "__main__":
    make(Path(__file__).parent / "images", sys.argv[1:] or tuple(FLAT))
