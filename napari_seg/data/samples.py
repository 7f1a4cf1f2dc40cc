"""The sample images that come with the package."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from napari_seg.data.io import read_image, read_labels

if TYPE_CHECKING:
    from napari_seg.data.image_data import ImageData


@dataclass(frozen=True)
class Sample:
    """A sample image and where it comes from; resources/samples/SOURCES.md has more."""

    key: str
    """File name without its suffix."""
    title: str
    """What the user sees in napari's sample menu."""
    source: str
    """Data set the image was taken from."""
    licence: str
    """Licence of the image."""
    has_truth: bool = False
    """Whether the annotators' labels are there too."""


SAMPLES = (
    Sample(
        "nuclei",
        "Nuclei (fluorescence)",
        "BBBC038, 2018 Data Science Bowl (Caicedo et al., Nature Methods 2019)",
        "CC0",
        has_truth=True,
    ),
    Sample(
        "axons",
        "Axons (SEM)",
        "data_axondeepseg_sem, doi:10.5281/zenodo.5498378 (Zaimi et al., 2018)",
        "MIT",
    ),
    Sample(
        "cells",
        "Cells (phase contrast)",
        "Usiigaci, T98G glioblastoma (Tsai et al., SoftwareX 2019)",
        "MIT",
    ),
    Sample(
        "chloroplasts",
        "Chloroplasts (EM stack, 3D)",
        "WSU_PlantBio_ML, serial-section EM of a leaf (Brookhouse, 2021)",
        "MIT",
        has_truth=True,
    ),
)


def read_sample(key: str) -> ImageData:
    """Read a sample image.

    Parameters
    ----------
    key : str
        One of the keys in `SAMPLES`.

    Returns
    -------
    ImageData
        Image, axes and, where the source states it, the voxel size in um.
    """
    with as_file(files("napari_seg.resources") / "samples" / f"{key}.tif") as path:
        return read_image(path)


def read_sample_truth(key: str) -> ImageData:
    """Read the annotators' labels of a sample whose `has_truth` is set."""
    name = f"{key}_labels.tif"
    with as_file(files("napari_seg.resources") / "samples" / name) as path:
        return read_labels(path)
