"""What a click in the 3D view points at."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray


def first_object_on_ray(layer: Labels, event: Any) -> NDArray[np.intp] | None:
    """Return the first pixel with an object under the mouse, or None.

    Parameters
    ----------
    layer : Labels
        Shown in 3D.
    event : mouse event
        Of napari: with position, view direction and displayed axes.
    """
    start, stop = layer.get_ray_intersections(
        event.position, event.view_direction, event.dims_displayed, world=True
    )
    if start is None or stop is None:
        return None
    # Two samples for each pixel of the way: none on the ray is missed.
    count = 2 * int(np.ceil(np.linalg.norm(stop - start))) + 1
    way = np.rint(start + np.linspace(0, 1, count)[:, None] * (stop - start))
    pixels = np.clip(way, 0, np.array(layer.data.shape) - 1).astype(np.intp)
    # Of dask and zarr only what is under the ray is read.
    data = getattr(layer.data, "vindex", layer.data)
    hits = np.flatnonzero(np.asarray(data[tuple(pixels.T)]))
    return pixels[hits[0]] if len(hits) else None
