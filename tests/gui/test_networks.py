"""The choice of a network to train from scratch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QImage, QPainter
from train_fakes import FakeTrainEngine, FakeTrainPanel

from napari_seg.gui.panels.sketch import (
    KINDS,
    SKETCHES,
    SketchView,
    paint_sketch,
    read_sketch,
    words_of,
)
from napari_seg.gui.panels.train import TrainPanel
from napari_seg.gui.training.data import TrainingData
from napari_seg.gui.training.form import (
    TrainForm,
    settings_from,
    settings_to_store,
)
from napari_seg.gui.training.settings import SCRATCH, TrainSettings
from napari_seg.models.registry import ARCHITECTURES


@pytest.fixture
def form():
    from napari.components import ViewerModel

    made = TrainForm(FakeTrainPanel(), TrainSettings(), TrainingData(ViewerModel()))
    made.set_models(FakeTrainEngine().list_models())
    return made


def shown(form, name):
    return form._panel.shown_values[name]


def test_networks_are_offered_only_where_nothing_is_started_from(form):
    assert shown(form, "networks") == ([], "unet")
    form._panel.start_from_requested.emit(SCRATCH)
    networks, current = shown(form, "networks")
    assert {name for _, name, _ in networks} == set(ARCHITECTURES)
    assert networks[0][:2] == ("U-Net (2015)", "unet")
    assert current == "unet"
    for _, name, about in networks:
        spec = ARCHITECTURES[name]
        for fact in (str(spec.year), spec.family[1:], spec.good_at, "parameters"):
            assert fact in about


def test_only_settings_with_an_effect_are_offered(form):
    panel = form._panel
    assert {"rehearse", "w0"} <= shown(form, "offered")
    assert "volumes" not in shown(form, "offered")
    panel.start_from_requested.emit(SCRATCH)
    assert "w0" in shown(form, "offered")
    assert "rehearse" not in shown(form, "offered")
    assert "volumes" in shown(form, "offered")
    panel.network_requested.emit("maskrcnn")
    assert not {"w0", "sigma_px", "volumes"} & shown(form, "offered")
    assert {"minutes", "batch"} <= shown(form, "offered")


def test_the_choice_reaches_the_core_and_the_next_session(form):
    form._panel.start_from_requested.emit(SCRATCH)
    form._panel.network_requested.emit("bisenet")
    params = form.params(resume=False)
    assert (params.architecture, params.arguments) == ("bisenet", None)
    stored = settings_to_store(form.settings)
    assert settings_from(stored).architecture == "bisenet"
    assert settings_from(stored | {"architecture": "vnet"}).architecture == "unet"
    other = TrainForm(FakeTrainPanel(), TrainSettings(), form._data)
    other.set_models(FakeTrainEngine().list_models())
    other.take(form.record())
    assert other.settings.architecture == "bisenet"


def test_volumes_are_learnt_only_by_networks_that_can(form):
    panel = form._panel
    panel.advanced_requested.emit(replace(form.settings.advanced, volumes=True))
    assert form.params(resume=False).ndim == 2  # goes on as the model it starts from
    form.settings.start = SCRATCH
    assert form.params(resume=False).ndim == 3
    form.settings.architecture = "segnet"
    assert form.params(resume=False).ndim == 2


@pytest.mark.gui
def test_the_row_comes_and_goes_and_shows_the_structure(qtbot):
    panel = TrainPanel()
    qtbot.addWidget(panel)
    panel.resize(320, 900)
    panel.show()
    asked = []
    panel.network_requested.connect(asked.append)
    rows = [("U-Net (2015)", "unet", "for cells"), ("DPT (2021)", "dpt", "for scenes")]
    panel.set_networks(rows, "unet")
    assert panel.networks.isVisible()
    assert panel.networks.sketch.name == "unet"
    assert not asked
    panel.networks.combo.setCurrentIndex(1)
    assert asked == ["dpt"]
    panel.set_networks(rows, "dpt")
    assert panel.networks.sketch.name == "dpt"
    assert "transformer" in panel.networks.sketch.toolTip()
    panel.set_networks([], "dpt")
    assert not panel.networks.isVisible()
    panel.fold.set_open(True)
    panel.set_offered({"minutes"})
    assert panel.advanced.native("minutes").isVisible()
    assert not panel.advanced.native("w0").isVisible()


def test_every_network_has_a_picture_whose_links_join_maps():
    assert set(SKETCHES) == set(ARCHITECTURES)
    for name in SKETCHES:
        sketch = read_sketch(name)
        assert 4 <= len(sketch.maps) <= 12
        assert {kind for _, kind in sketch.maps} <= set(KINDS)
        for start, end, _ in sketch.links:
            assert 0 <= start < end < len(sketch.maps)
        assert KINDS[sketch.maps[-1][1]].words in words_of(name)
    assert len(set(SKETCHES.values())) > 18


def painted(name, size=(240, 58)):
    image = QImage(*size, QImage.Format.Format_RGB32)
    image.fill(QColor("black"))
    painter = QPainter(image)
    paint_sketch(painter, QRectF(0, 0, *size), name, QColor("white"))
    painter.end()
    bits = image.constBits()
    if hasattr(bits, "setsize"):
        bits.setsize(image.sizeInBytes())
    return np.frombuffer(bits, np.uint8).reshape(size[1], size[0], 4)[..., :3].copy()


def test_pictures_fit_their_rectangle_and_show_their_kinds(qtbot):
    for name in SKETCHES:
        pixels = painted(name)
        assert pixels.any()
        sides = pixels[:, [0, -1]]
        assert not sides.any()
        for kind in {kind for _, kind in read_sketch(name).maps}:
            colour = QColor(KINDS[kind].colour)
            wanted = (colour.blue(), colour.green(), colour.red())
            near = np.abs(pixels.astype(int) - wanted).max(axis=2) < 40
            assert near.any(), (name, kind)


def test_a_network_nobody_has_drawn_is_shown_as_a_plain_one(qtbot):
    view = SketchView()
    qtbot.addWidget(view)
    view.set_name("my-own")
    assert read_sketch("my-own").links == []
    assert painted("my-own").any()
