"""The npe2 manifest, and the sample data it offers."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.resources import files

import numpy as np
import pytest
from napari._app_model.constants import MenuId
from napari.layers import Image, Layer
from npe2 import PluginManifest

from napari_seg.data.samples import SAMPLES, Sample, read_sample, read_sample_truth


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-seg")


def test_npe2_validates_manifest_and_every_import() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "napari-seg", "--imports"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout


def test_widget_is_offered_in_the_plugins_and_the_segment_menu(
    manifest: PluginManifest,
) -> None:
    (widget,) = manifest.contributions.widgets
    assert widget.display_name == "napari-seg"
    for menu, items in manifest.contributions.menus.items():
        assert menu in {known.value for known in MenuId}
        assert [item.command for item in items] == [widget.command]


def test_every_sample_is_in_the_menu_under_its_title(manifest: PluginManifest) -> None:
    offered = [(s.key, s.display_name) for s in manifest.contributions.sample_data]
    assert offered == [(sample.key, sample.title) for sample in SAMPLES]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.key)
def test_sample_data_makes_an_image_layer(
    manifest: PluginManifest, sample: Sample
) -> None:
    contributions = manifest.contributions
    (offer,) = [s for s in contributions.sample_data if s.key == sample.key]
    (command,) = [c for c in contributions.commands if c.id == offer.command]
    module, _, function = command.python_name.partition(":")
    (layer_data,) = getattr(import_module(module), function)()
    layer = Layer.create(*layer_data)
    assert isinstance(layer, Image)
    assert layer.name == sample.title
    assert layer.metadata["source"] == sample.source
    assert layer.ndim == (3 if "stack" in sample.title else 2)
    low, high = layer.contrast_limits
    assert low < high <= layer.data.max()


def test_known_pixel_size_reaches_the_layer() -> None:
    from napari_seg.gui.sample_data import axons

    layer = Layer.create(*axons()[0])
    np.testing.assert_allclose(layer.scale, 0.13)
    assert {str(unit) for unit in layer.units} == {"micrometer"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.key)
def test_source_and_licence_of_every_sample_are_written_down(sample: Sample) -> None:
    sources = (files("napari_seg.resources") / "samples" / "SOURCES.md").read_text()
    (row,) = [line for line in sources.splitlines() if f"`{sample.key}.tif`" in line]
    assert sample.licence in row
    assert sample.source.split(",")[0] in row


@pytest.mark.parametrize(("key", "objects"), [("nuclei", 135), ("chloroplasts", 19)])
def test_truth_fits_its_sample(key: str, objects: int) -> None:
    truth = read_sample_truth(key)
    image = read_sample(key)
    assert truth.array.shape == image.array.shape
    assert truth.axes == image.axes
    assert len(np.unique(truth.array)) == objects + 1


def test_samples_are_small() -> None:
    folder = files("napari_seg.resources") / "samples"
    sizes = [len(entry.read_bytes()) for entry in folder.iterdir() if entry.is_file()]
    assert sum(sizes) < 3_000_000
