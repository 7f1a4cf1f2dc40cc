"""What the Segment panel says of models that segment volumes."""

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_seg.gui.inputs import find_problems
from napari_seg.models.card import Card
from napari_seg.models.catalogue import ModelEntry
from napari_seg.state import Scope, SegmentSettings

CARD = Card("cube", "unet", {}, 1, ("background", "interior", "border"), ndim=3)


def problems(shape, axes, scope=Scope.IMAGE):
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros(shape, np.uint8))
    settings = SegmentSettings(model="cube", axes=axes, scope=scope)
    entry = ModelEntry("cube", "user", Path("cube.safetensors"), CARD, "")
    return find_problems(viewer, layer, settings, [entry])


def test_a_stack_as_a_whole_can_be_segmented():
    assert problems((5, 20, 20), "ZYX") == {}


@pytest.mark.parametrize("scope", [Scope.PLANE, Scope.FIELD])
def test_a_part_of_one_plane_is_no_volume(scope):
    assert "whole image" in problems((5, 20, 20), "ZYX", scope)["model"]


@pytest.mark.parametrize(("shape", "axes"), [((20, 20), "YX"), ((5, 20, 20), "TYX")])
def test_an_image_without_planes_is_no_volume(shape, axes):
    assert "no Z axis" in problems(shape, axes)["model"]
