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
    from napari_seg.data.io import open_labels, write_image
    from napari_seg.errors import NapariSegError
    from napari_seg.imaging.weight_blocks import iter_border_weights
    from napari_seg.imaging.weightmap import BorderWeights
    from napari_seg.inference.room import make_room

    data = open_labels(labels)
    # frames are separate pictures: a cell has no neighbours in another one
    spatial = [i for i, axis in enumerate(data.axes) if axis != "T"]
    weights = make_room(tuple(int(n) for n in data.array.shape))
    if weights is None:
        raise NapariSegError(
            "There is no room for the weights",
            f"shape {tuple(data.array.shape)}, 4 bytes each",
            "Free some disk space.",
        )
    low, high = float("inf"), 0.0
    for box, found in iter_border_weights(
        data.array, spatial, BorderWeights(w0, sigma)
    ):
        weights[box] = found
        low, high = min(low, float(found.min())), max(high, float(found.max()))
    write_image(out, weights, data.axes, data.spacing)
    say(f"{out}: weights {low:.3f} to {high:.3f}")
