"""Files of microscope makers (CZI, ND2, LIF), read through bioio where it is there."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from napari_seg.data.image_data import ImageData
from napari_seg.errors import FormatError

_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError)
READERS = {".czi": "bioio-czi", ".nd2": "bioio-nd2", ".lif": "bioio-lif"}
"""Which package reads a file, by its suffix."""


def read_bioimage(path: Path) -> ImageData:
    """Read the first scene of a microscope's file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    ImageData
        A lazy array with the axes T, C, Z, Y, X that are longer than 1, and the voxel
        size in um.

    Raises
    ------
    FormatError
        If bioio or its reader for the format is not installed, or cannot read it.
    """
    reader = READERS[path.suffix.lower()]
    try:
        bioio = import_module("bioio")
        import_module(reader.replace("-", "_"))
    except ImportError as error:
        raise FormatError(
            f"{path.name} needs the package {reader}",
            str(error),
            f"Install it with: pip install bioio {reader}. "
            "Or export the image as OME-TIFF",
        ) from error
    try:
        image = bioio.BioImage(path)
        sizes = image.physical_pixel_sizes
        array, axes = image.dask_data, image.dims.order
    except _errors() as error:
        raise FormatError(
            f"{path.name} cannot be read by {reader}",
            f"{type(error).__name__}: {error}",
            "Export it as OME-TIFF from the program of the microscope.",
        ) from error
    for letter in "TCZ":  # bioio gives all five, as long as they are
        if letter in axes and array.shape[axes.index(letter)] == 1:
            array = array[(slice(None),) * axes.index(letter) + (0,)]
            axes = axes.replace(letter, "")
    if "S" in axes:  # its name for the colours of a picture
        axes = axes.replace("C", "").replace("S", "C")
    known = {"Z": sizes.Z, "Y": sizes.Y, "X": sizes.X}
    spacing = tuple(known[letter] for letter in axes if letter in "ZYX")
    return ImageData(array, axes, spacing if all(spacing) else None)


def _errors() -> tuple[type[Exception], ...]:
    """Return what is raised for files that are not what they seem."""
    try:
        own = import_module("bioio_base.exceptions").UnsupportedFileFormatError
    except (ImportError, AttributeError):
        return _ERRORS
    return (own, *_ERRORS)
