"""``napari-seg weightmap``: the U-Net paper's border weights of a labels file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_seg.cli.output import say


def weightmap(
    labels: Annotated[Path, typer.Argument(help="Labels, one id per object.")],
    out: Annotated[Path, typer.Option(help="The float32 TIFF to write.")],
    w0: Annotated[float, typer.Option(help="Height of the border term.")] = 10.0,
    sigma: Annotated[
        float, typer.Option(help="Width of the border term, in pixels.")
    ] = 5.0,
) -> None:
    """Write the U-Net paper's weight map of labels: border term and balanced classes.

    The loss adds the same border term, but balances classes over all images, and
    opens a gap between cells that touch; the Weights tab shows that.
    """
    import numpy as np

    from napari_seg.data.io import read_labels, write_image
    from napari_seg.imaging.weightmap import border_weight_map

    data = read_labels(labels)
    ids = np.asarray(data.array)
    if "T" in data.axes:
        # frames are separate pictures: a cell has no neighbours in another one
        time = data.axes.index("T")
        frames = np.moveaxis(ids, time, 0)
        maps = [border_weight_map(frame, w0=w0, sigma=sigma) for frame in frames]
        weights = np.stack(maps, axis=time)
    else:
        weights = border_weight_map(ids, w0=w0, sigma=sigma)
    write_image(out, weights, data.axes, data.spacing)
    say(f"{out}: weights {weights.min():.3f} to {weights.max():.3f}")
