"""What a click depends on, in a real viewer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mouse import Mouse
from torch import nn

from napari_seg.gui.engine import Engine
from napari_seg.gui.own_layers import is_image, is_own
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.models.blocks.attention import PixelAttention
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import save_checkpoint
from napari_seg.models.registry import build_network
from napari_seg.state import Remembered

pytestmark = pytest.mark.gui

CLASSES = ("background", "interior", "border")
TINY = {
    "danet": {
        "encoder": "resnet18",
        "encoder_options": {"channels": [4, 6, 8, 16], "layers": [1, 1, 1, 1]},
    },
    "unet": {"channels": [4, 6, 8], "padding": "same"},
}


@pytest.fixture(autouse=True)
def _models(tmp_path, monkeypatch):
    """Make one small model with attention and one without the only ones of hers."""
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    torch.manual_seed(0)
    for name, arguments in TINY.items():
        network = build_network(name, in_channels=1, num_classes=3, **arguments)
        for layer in network.modules():
            if isinstance(layer, PixelAttention):
                for parameter in layer.parameters():
                    nn.init.normal_(parameter, std=0.3)
        card = Card(name, name, arguments, 1, CLASSES, object_diameter_px=20.0)
        save_checkpoint(tmp_path / "models" / f"my-{name}.safetensors", network, card)


class Window:
    """A viewer with a stack that has a scale and a place, and the section open."""

    def __init__(self, viewer, folder, model):
        self.viewer = viewer
        data = np.random.default_rng(0).integers(0, 255, (3, 96, 120)).astype(np.uint8)
        self.image = viewer.add_image(
            data, name="cells", scale=(2, 0.5, 0.5), translate=(1, 3, 4)
        )
        remembered = Remembered(folder / "settings.json")
        self.widget = SegmentationWidget(viewer, Engine(), remembered)
        viewer.window.add_dock_widget(self.widget, name="napari-seg")
        self.panel = self.widget.segment_panel
        self.box = self.panel.look
        self.panel.look_fold.set_open(True)
        self.widget.controller.form.choose_model(model)
        self.widget.controller.settings.diameter_px = 20.0
        viewer.dims.set_current_step(0, 1)
        viewer.reset_view()

    @property
    def shown(self):
        return {x.name: x for x in self.viewer.layers if is_own(x)}


@pytest.fixture
def make_window(make_napari_viewer, tmp_path, qtbot):
    def make(model):
        window = Window(make_napari_viewer(show=True), tmp_path, model)
        qtbot.waitUntil(lambda: window.panel.footer.can_run, timeout=60_000)
        return window

    return make


def test_a_click_shows_field_and_attention_at_their_place(make_window, qtbot):
    window = make_window("my-danet")
    mouse = Mouse(window.viewer, window.image)
    mouse.click((1, 40, 60))
    qtbot.wait(50)
    assert not window.shown  # nobody asked
    window.box.switch.click()
    assert "Click" in window.box.note.text()
    mouse.click((1, 40, 60))
    qtbot.waitUntil(lambda: len(window.shown) == 2, timeout=60_000)
    field = window.shown["cells receptive field"]
    attention = window.shown["cells attention"]
    for layer in (field, attention):
        assert np.allclose(layer.scale, window.image.scale)
        assert layer.data.shape == (1, 96, 120)
        assert layer.data.max() == 1
        # Its only plane is the one that was clicked on.
        assert np.allclose(layer.data_to_world((0, 0, 0)), (3, 3, 4))
        assert not is_image(layer)
    assert len(np.unique(attention.data)) > 40
    assert "90 %" in window.box.note.text()
    assert window.viewer.layers.selection.active is window.image


def test_the_field_is_brightest_near_the_click_and_the_next_replaces_it(
    make_window, qtbot
):
    window = make_window("my-unet")
    window.box.switch.click()
    mouse = Mouse(window.viewer, window.image)
    for pixel in ((1, 30, 40), (1, 70, 90)):
        before = window.shown.get("cells receptive field")
        mouse.click(pixel)
        qtbot.waitUntil(
            lambda before=before: (
                bool(window.shown)
                and window.shown["cells receptive field"] is not before
            ),
            timeout=60_000,
        )
        (field,) = window.shown.values()
        peak = np.unravel_index(field.data.argmax(), field.data.shape)
        assert np.abs(np.subtract(peak[1:], pixel[1:])).max() <= 8
    assert "No attention" in window.box.note.text()


def test_drags_keys_and_clicks_beside_the_image_show_nothing(make_window, qtbot):
    window = make_window("my-unet")
    window.box.switch.click()
    mouse = Mouse(window.viewer, window.image)
    mouse.drag([(1, 40, 60), (1, 42, 66), (1, 46, 70)])
    mouse.click((1, 40, 60), modifiers=["Shift"])
    mouse.click((1, 40, 60), button="right")
    qtbot.wait(50)
    assert "Click" in window.box.note.text()
    window.viewer.reset_view()
    mouse.click((1, -4, 60))
    qtbot.waitUntil(lambda: "outside" in window.box.note.text(), timeout=60_000)
    assert not window.shown


def test_the_layers_go_with_the_tick_and_with_the_tab(make_window, qtbot):
    window = make_window("my-unet")
    mouse = Mouse(window.viewer, window.image)
    callbacks = list(window.viewer.mouse_drag_callbacks)
    for leave in (
        window.box.switch.click,
        lambda: window.widget.tabs.setCurrentWidget(window.widget.train_panel),
    ):
        window.box.switch.click()
        mouse.click((1, 30, 40))
        qtbot.waitUntil(lambda: bool(window.shown), timeout=60_000)
        leave()
        assert not window.shown
        assert not window.box.switch.isChecked()
        assert window.viewer.mouse_drag_callbacks == callbacks
