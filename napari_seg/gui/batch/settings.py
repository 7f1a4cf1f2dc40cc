"""What a batch remembers, and what it says of the settings it takes over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_seg.errors import FormatError
from napari_seg.state import SegmentRequest


@dataclass(frozen=True)
class BatchSettings:
    """What the Batch panel remembers; each docstring is the tooltip of its field."""

    folder: str = ""
    """The folder with the images. It is only read."""
    pattern: str = "**/*"
    """Which files below the folder: * is those right in it, **/* those in folders
    inside it, too, and **/*_DAPI.tif only some. What is no image is left out."""
    out: str = ""
    """Where the labels go: one TIFF for each image, in folders as the images are, and
    run.json, the record that lets a run go on."""
    measures: bool = False
    """Also write objects.csv, with the place, size and brightness of every object, and
    objects-counts.csv, with the number of objects of every image."""


def default_out(folder: str) -> str:
    """Return where labels go unless the user says otherwise: beside the images."""
    path = Path(folder)
    return str(path.with_name(f"{path.name}-segmented"))


def summary(request: SegmentRequest) -> str:
    """Say in short how images will be segmented."""
    size = request.diameter_px
    parts = [
        "object size " + ("estimated" if size is None else f"{size:.0f} px"),
        f"threshold {request.threshold:.2f}",
    ]
    if request.min_size_px:
        parts.append(f"from {request.min_size_px:.0f} pixels")
    if "C" in request.axes and request.channel is not None:
        parts.append(f"channel {request.channel + 1}")
    if request.advanced.tta != "none":
        parts.append("several views")
    device = "" if request.device == "auto" else f" on {request.device}"
    text = ", ".join(parts) + device
    return text[0].upper() + text[1:] + ", as on the Segment tab"


def in_the_window(error: BaseException) -> BaseException:
    """Return an error of the command line's engine with the buttons as its remedy."""
    if isinstance(error, FormatError) and "--" in error.remedy:
        return FormatError(
            error.problem,
            error.found,
            "Take the same settings, another folder for the labels, or Begin anew.",
        )
    return error
