"""CSV: one row of measurements per object, with its units in the column names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.measure import regionprops_table

from napari_seg.data.formats.files import new_file
from napari_seg.data.image_data import spacing_axes
from napari_seg.errors import FormatError

if TYPE_CHECKING:
    from napari_seg.data.annotated import AnnotatedImage

LEADING = ("image", "frame", "label", "class", "state", "score", "uncertainty")


def write_table(items: Iterable[AnnotatedImage], out: Path) -> None:
    """Write one CSV file of all objects that are not ignored.

    Lengths are in um where the voxel size is known, else in pixels; boxes are always
    pixels and half-open. Volumes are measured as volumes, frames of films one by one.
    """
    rows = [row for item in items for row in measured(item)]
    columns = list(dict.fromkeys([*LEADING, *(key for row in rows for key in row)]))
    with new_file(out) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def measured(item: AnnotatedImage) -> Iterator[dict[str, Any]]:
    """Measure the objects of an image.

    Yields
    ------
    dict of str to object
        Area or volume, diameter of the disc or ball of that size, centre, box, and the
        mean intensity of each channel.
    """
    frames: list[tuple[int | None, Any, Any]] = [(None, item.kept, item.image)]
    if "T" in item.label_axes:
        time, image_time = item.label_axes.index("T"), item.axes.index("T")
        frames = [
            (
                t,
                item.kept.take(t, time),
                None if item.image is None else np.take(item.image, t, image_time),
            )
            for t in range(item.labels.shape[time])
        ]
    for t, labels, image in frames:
        for row in _rows(item, labels, image):
            yield {"image": item.name, "frame": "" if t is None else t, **row}


def _rows(item: AnnotatedImage, labels: Any, image: Any) -> Iterator[dict[str, Any]]:
    # measured with dense ids: a table as long as the largest id could not be kept
    labels = np.asarray(labels)
    ids, dense = np.unique(np.append(labels, 0), return_inverse=True)
    dense = dense[:-1].reshape(labels.shape)
    properties = ["label", "area", "equivalent_diameter_area", "centroid", "bbox"]
    if image is not None:
        axes = item.axes.replace("T", "")
        image = np.asarray(image)
        image = (
            np.moveaxis(image, axes.index("C"), -1) if "C" in axes else image[..., None]
        )
        properties.append("intensity_mean")
    table = regionprops_table(
        dense,
        intensity_image=image,
        properties=properties,
        spacing=item.spacing or (1.0,) * labels.ndim,
    )
    names = _columns(item, labels.ndim)
    for number in range(len(table["label"])):
        object_id = int(ids[table["label"][number]])
        yield {
            "label": object_id,
            "class": item.class_of(object_id),
            "state": item.states.get(object_id, ""),
            "score": item.scores.get(object_id, ""),
            "uncertainty": item.uncertainties.get(object_id, ""),
        } | {names[k]: v[number].item() for k, v in table.items() if k != "label"}


def _columns(item: AnnotatedImage, ndim: int) -> dict[str, str]:
    """Return what the columns of regionprops are called, with their units."""
    unit = "um" if item.spacing else "px"
    letters = spacing_axes(item.label_axes).lower()
    size = "area" if ndim == 2 else "volume"
    names = {
        "area": f"{size}_{unit}{ndim}",
        "equivalent_diameter_area": f"equivalent_diameter_{unit}",
    }
    for number, letter in enumerate(letters):
        names[f"centroid-{number}"] = f"centroid_{letter}_{unit}"
        names[f"bbox-{number}"] = f"{letter}0_px"
        names[f"bbox-{number + ndim}"] = f"{letter}1_px"
    sizes = dict(zip(item.axes, getattr(item.image, "shape", ()), strict=False))
    for number in range(sizes.get("C", 1)):
        known = number < len(item.channels)
        channel = item.channels[number] if known else f"channel{number}"
        names[f"intensity_mean-{number}"] = f"mean_intensity_{channel}"
    return names


def read_table(path: Path, images: Path | None = None) -> Iterator[AnnotatedImage]:
    """Refuse: measurements hold no masks.

    Raises
    ------
    FormatError
        Always.
    """
    del images
    raise FormatError(
        f"{path.name} holds measurements, not masks",
        remedy="Give the data set, the labels or the annotations it was made from.",
    )
