"""One true plane carried through a whole object, against a copy of that plane.

DATA holds ``<set>/<split>/images`` and ``<set>/<split>/masks`` of volumes. Of each
object the middle plane is given, and nothing else is known; the labels hold no other
object unless asked. A copy knows where the object ends, the propagation does not::

    python -m benchmarks.propagate DATA
    python -m benchmarks.propagate DATA --sets nuclei_3d --spacing 2.2 1 1
    python -m benchmarks.propagate DATA --neighbours
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._table import report
from benchmarks.robot import iou
from napari_seg.data.io import read_image, read_labels
from napari_seg.imaging.interpolation import interpolate_object
from napari_seg.refine.propagate import iter_propagate
from napari_seg.refine.volume import Volume
from napari_seg.types import run

LEAST_PLANES = 4
"""Objects of fewer planes leave nothing to find out."""

Row = dict[str, Any]


def carried(
    image: Volume,
    truth: NDArray[Any],
    object_id: int,
    spacing: Sequence[float] | None,
    *,
    neighbours: bool,
) -> Row | None:
    """Return the figures of one object, None if it has too few planes."""
    inside = truth == object_id
    planes = np.flatnonzero(inside.any(axis=(1, 2)))
    if len(planes) < LEAST_PLANES:
        return None
    middle = int(planes[len(planes) // 2])
    labels = np.where(inside | (not neighbours), 0, truth)
    labels[middle][inside[middle]] = object_id
    start = time.perf_counter()
    edit = run(
        iter_propagate(image, labels, object_id, axis=0, start=middle, spacing=spacing)
    )
    took = time.perf_counter() - start
    edit.apply(labels)
    found = labels == object_id
    copy = np.zeros_like(inside)
    copy[planes] = inside[middle]
    reached = np.flatnonzero(found.any(axis=(1, 2)))
    beyond = found[: planes[0]].sum() + found[planes[-1] + 1 :].sum()
    return {
        "iou": iou(found, inside),
        "copy": iou(copy, inside),
        "beyond": float(beyond / inside.sum()),
        "short": len(planes) - len(np.intersect1d(reached, planes)),
        "ms": 1000 * took / max(len(reached) - 1, 1),
        "between": interpolated(inside, planes),
    }


def interpolated(inside: NDArray[np.bool_], planes: NDArray[np.intp]) -> float:
    """Return the IoU of the planes between every fourth one, which is drawn."""
    drawn = sorted({*planes[::4].tolist(), int(planes[-1])})
    labels = np.zeros(inside.shape, np.uint8)
    labels[drawn] = inside[drawn]
    interpolate_object(labels, 1, axis=0).apply(labels)
    between = np.setdiff1d(planes, drawn)
    return iou(labels[between] == 1, inside[between])


def figures(name: str, rows: Sequence[Row]) -> Row:
    """Return one row of the table."""

    def column(key: str) -> NDArray[Any]:
        return np.array([row[key] for row in rows])

    return {
        "set": name,
        "objects": len(rows),
        "iou": float(column("iou").mean()),
        "median": float(np.median(column("iou"))),
        "worst": float(column("iou").min()),
        "copy": float(column("copy").mean()),
        "beyond_ends": float(column("beyond").mean()),
        "planes_short": float(column("short").mean()),
        "ms_a_plane": float(column("ms").mean()),
        "interpolated": float(column("between").mean()),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["em_chloroplast_3d"])
    parser.add_argument("--split", default="val")
    parser.add_argument("--spacing", nargs=3, type=float)
    parser.add_argument("--neighbours", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in options.sets:
        folder = options.data / name / options.split
        found = []
        for path in sorted((folder / "images").glob("*.tif")):
            image = Volume(np.asarray(read_image(path).array), 3)
            truth = np.asarray(read_labels(folder / "masks" / path.name).array)
            ids = np.unique(truth[truth > 0]).tolist()
            all_rows = (
                carried(image, truth, i, options.spacing, neighbours=options.neighbours)
                for i in ids
            )
            found += [row for row in all_rows if row is not None]
        rows.append(figures(name, found))
    report("propagate", rows, **{row["set"]: row["iou"] for row in rows})


if __name__ == "__main__":
    main()
