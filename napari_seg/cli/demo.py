"""``napari-seg demo``: the sample nuclei, the shipped U-Net, its labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_seg.cli.output import follow, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE = "nuclei"
MODEL = "nuclei-unet"


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Write files; open no window.")
    ] = False,
    screenshot: Annotated[
        Path | None,
        typer.Option(help="Save a picture of the window to this file, and close."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the files of --headless.")
    ] = Path("napari-seg-demo"),
) -> None:
    """Segment the sample nuclei with the shipped U-Net and show the labels."""
    if headless and screenshot is not None:
        raise typer.BadParameter(
            "--headless opens no window to take a picture of; choose one of the two.",
            param_hint="--screenshot",
        )
    if headless:
        _write_files(out)
        return
    from napari_seg.gui.launch import open_demo

    open_demo(sample=SAMPLE, model=MODEL, screenshot=screenshot)
    if screenshot is not None:
        say(str(screenshot))


def _write_files(out: Path) -> None:
    """Write ``masks.tif`` and ``overlay.png``, without Qt or napari."""
    import numpy as np

    from napari_seg.data.io import write_labels
    from napari_seg.data.samples import read_sample
    from napari_seg.files import atomic_path
    from napari_seg.imaging.normalise import intensity_range, rescale_intensity
    from napari_seg.inference.segment import SegmentParams, iter_segment

    image, axes, spacing = read_sample(SAMPLE)
    params = SegmentParams(axes=axes, spacing=spacing)
    result = follow(iter_segment(image, MODEL, params), "demo")
    write_labels(out / "masks.tif", result.labels, result.axes, spacing)
    grey = np.clip(rescale_intensity(image, intensity_range(image)), 0, 1)
    with atomic_path(out / "overlay.png") as path:
        _save_png(path, overlay(grey, result.labels))
    say(f"{out / 'masks.tif'}: {int(result.labels.max())} objects")
    say(f"{out / 'overlay.png'}")


def overlay(grey: NDArray[np.floating], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Draw labels over a grey image: a tint inside, a line around each object.

    Parameters
    ----------
    grey : ndarray of float, shape (Y, X)
        Values in 0..1.
    labels : ndarray of int32, shape (Y, X)

    Returns
    -------
    ndarray of uint8, shape (Y, X, 3)
    """
    import numpy as np
    from skimage.color import label2rgb
    from skimage.segmentation import find_boundaries

    colours = label2rgb(labels, bg_label=0, bg_color=(0, 0, 0))
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    inside = labels > 0
    rgb[inside] = 0.7 * rgb[inside] + 0.3 * colours[inside]
    edge = find_boundaries(labels, mode="inner")
    rgb[edge] = colours[edge]
    picture: NDArray[np.uint8] = np.round(rgb * 255).astype(np.uint8)
    return picture


def _save_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a PNG, whatever the temporary file is called."""
    from PIL import Image

    Image.fromarray(picture).save(path, format="PNG")
