"""Layers that are added to show something."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.own_layers import add_unselected


def test_the_selection_stays_and_the_next_layer_is_selected_again() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((9, 9)))
    ids = viewer.add_labels(np.zeros((9, 9), int))
    viewer.layers.selection = {image, ids}
    viewer.layers.selection.active = ids
    before, told = set(viewer.layers.selection), []
    viewer.layers.selection.events.active.connect(told.append)
    add_unselected(viewer, Labels(np.zeros((9, 9), np.uint8), name="own"))
    assert viewer.layers[-1].name == "own"
    assert set(viewer.layers.selection) == before
    assert viewer.layers.selection.active is ids
    assert not told
    other = viewer.add_labels(np.zeros((9, 9), int))
    assert viewer.layers.selection.active is other


@pytest.mark.gui
def test_its_controls_and_tools_still_work_when_it_is_chosen(
    make_napari_viewer, qtbot
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_labels(np.zeros((40, 40), int))
    own = Labels(np.zeros((40, 40), np.uint8), name="own")
    add_unselected(viewer, own)
    viewer.layers.selection.active = own
    for mode in ("paint", "polygon", "pan_zoom"):
        own.mode = mode
        qtbot.wait(20)
        assert own.mode == mode
    viewer.layers.remove(own)
    qtbot.wait(20)
    assert len(viewer.layers) == 1
