"""The classes of a run, as a layer of their own."""

import numpy as np
import pytest

from napari_seg.gui.own_layers import is_labels


@pytest.fixture
def tells_classes(monkeypatch):
    """Let every run tell of myelin in its first row."""
    import fakes

    def semantic(self):
        classes = (self.labels > 0).astype(np.uint8)
        classes[0] = 2
        return classes

    names = ("background", "object", "myelin")
    monkeypatch.setattr(fakes.FakeSegmentation, "stuff", ("myelin",), raising=False)
    monkeypatch.setattr(fakes.FakeSegmentation, "class_names", names, raising=False)
    monkeypatch.setattr(
        fakes.FakeSegmentation, "semantic", property(semantic), raising=False
    )


def names(session):
    return [layer.name for layer in session.viewer.layers]


def test_classes_lie_below_the_labels_and_are_nobodys_labels(session, tells_classes):
    session.run()
    shown = "cells nuclei-unet classes"
    session.pump_until(lambda: shown in names(session))
    assert names(session) == ["cells", shown, "cells nuclei-unet"]
    layer = session.viewer.layers[shown]
    assert not is_labels(layer)
    assert set(np.unique(layer.data[0])) == {2}
    assert list(layer.features["class"]) == ["background", "object", "myelin"]
    assert session.viewer.layers.selection.active is not layer


def test_a_second_run_takes_the_layer_over(session, tells_classes):
    session.run()
    session.pump_until(lambda: len(session.viewer.layers) == 3)
    layer = session.viewer.layers["cells nuclei-unet classes"]
    before = layer.data
    session.run()
    session.pump_until(lambda: layer.data is not before)
    assert len(session.viewer.layers) == 3


def test_a_model_of_objects_alone_shows_no_classes(session):
    session.run()
    session.pump_until(lambda: session.controller.form.estimate is not None)
    assert names(session) == ["cells", "cells nuclei-unet"]
