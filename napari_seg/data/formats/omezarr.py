"""OME-Zarr: an image with its labels inside, NGFF 0.4 or 0.5, by ome-zarr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_seg.data.annotated import STATES, AnnotatedImage
from napari_seg.data.formats.files import Names, new_folder
from napari_seg.data.image_data import ImageData, lazy_array, spacing_axes
from napari_seg.data.io import read_image, read_labels
from napari_seg.data.limits import inside, library
from napari_seg.errors import FormatError

LABELS = "objects"
"""Name of the labels that are written."""
SUFFIX = ".ome.zarr"
NGFF_VERSIONS = ("0.4", "0.5")
_SMALLEST_LEVEL_PX = 64


def write_omezarr(
    items: Iterable[AnnotatedImage], out: Path, *, version: str = "0.5"
) -> None:
    """Write ``<name>.ome.zarr`` for each image, with ``labels/objects`` inside.

    Ignored objects are left out. States, classes and scores are properties of the
    labels.

    Parameters
    ----------
    items : iterable of AnnotatedImage
        Each must have an image.
    out : pathlib.Path
        A folder of them; for a single image, a name that ends in ``.zarr`` is it.
    version : str
        Of NGFF: ``0.4`` (Zarr 2) or ``0.5`` (Zarr 3).
    """
    if version not in NGFF_VERSIONS:
        known = ", ".join(NGFF_VERSIONS)
        raise FormatError(f"there is no NGFF {version}", remedy=f"Use one of {known}.")
    is_single, names = out.suffix.lower() == ".zarr", Names()
    with new_folder(out) as folder:
        for number, item in enumerate(items):
            if is_single and number:
                raise FormatError(
                    f"{out.name} holds one image, and there are more",
                    remedy="Give a folder (--out) instead.",
                )
            target = folder if is_single else folder / f"{names.take(item)}{SUFFIX}"
            _write_one(item, target, version)


def _write_one(item: AnnotatedImage, target: Path, version: str) -> None:
    writer = library("ome_zarr.writer")
    zarr = library("zarr")
    if item.image is None:
        raise FormatError(
            f"{item.name} has no image",
            "only masks",
            "Give the folder of the images (--images).",
        )
    fmt = library("ome_zarr.format").format_from_version(version)
    group = zarr.open_group(target, mode="w", zarr_format=fmt.zarr_format)
    order = [item.axes.index(a) for a in "TCZYX" if a in item.axes]
    axes = "".join(item.axes[i] for i in order)
    write = partial(_write_array, item, group, fmt)
    write(writer.write_image, lazy_array(item.image).transpose(order), axes)
    order = [item.label_axes.index(a) for a in "TZYX" if a in item.label_axes]
    write(
        writer.write_labels,
        item.kept.transpose(order),
        axes.replace("C", ""),
        name=LABELS,
        scaler=None,
        label_metadata={
            "source": {"image": "../../"},
            "properties": _properties(item),
        },
    )
    if version != "0.4":
        # NGFF 0.5 asks for the version here too, and ome-zarr leaves it out
        listed = group["labels"].attrs
        listed["ome"] = {**listed["ome"], "version": version}


def _write_array(
    item: AnnotatedImage,
    group: Any,
    fmt: Any,
    function: Any,
    array: Any,
    axes: str,
    **options: Any,
) -> None:
    """Write image or labels, halved in Y and X while they are large."""
    levels: list[dict[str, int]] = []
    side = min(array.shape[-2:]) // 2
    while side >= _SMALLEST_LEVEL_PX:
        levels.append({a: 2 ** (len(levels) + 1) for a in "yx"})
        side //= 2
    scale = dict.fromkeys(axes.lower(), 1.0)
    units = {}
    if item.spacing:
        sizes = zip(spacing_axes(item.axes).lower(), item.spacing, strict=True)
        scale |= dict(sizes)
        units = dict.fromkeys(spacing_axes(axes).lower(), "micrometer")
    function(
        array,
        group,
        fmt=fmt,
        axes=list(axes.lower()),
        scale=scale,
        axes_units=units or None,
        scale_factors=levels,
        **options,
    )


def _properties(item: AnnotatedImage) -> list[dict[str, Any]]:
    known = {
        "state": item.states,
        "class": item.classes,
        "score": item.scores,
        "uncertainty": item.uncertainties,
    }
    return [
        {"label-value": i} | {key: of[i] for key, of in known.items() if i in of}
        for i in item.ids
        if i not in item.ignored
    ]


def read_omezarr(path: Path, images: Path | None = None) -> Iterator[AnnotatedImage]:
    """Read OME-Zarr images with labels.

    Parameters
    ----------
    path : pathlib.Path
        One image, or a folder of some.
    images : pathlib.Path, optional
        Not used: the image is around its labels.

    Raises
    ------
    FormatError
        If an image has no labels or several, or they are of another shape.
    """
    del images
    inner = sorted(p for p in path.iterdir() if p.suffix.lower() == ".zarr")
    for file in inner or [path]:
        yield _read_one(file)


def _read_one(file: Path) -> AnnotatedImage:
    zarr = library("zarr")
    image = read_image(file)
    try:
        group = zarr.open_group(file, mode="r")["labels"]
        found = _attributes(group)["labels"]
        if not isinstance(found, list) or len(found) != 1:
            raise FormatError(
                f"{file.name} does not hold one set of labels",
                f"{found}",
                "Keep one set of labels inside the image.",
            )
        described = _attributes(group[str(found[0])]).get("image-label", {})
        properties = {
            int(entry["label-value"]): dict(entry)
            for entry in described.get("properties", ())
        }
    except (KeyError, OSError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"{file.name} holds no labels that can be read",
            f"{type(error).__name__}: {error}",
            "OME-Zarr keeps labels in the group labels/ of the image.",
        ) from error
    labels = read_labels(inside(file / "labels", found[0]))
    return _item(file, image, labels, properties)


def _attributes(group: Any) -> Mapping[str, Any]:
    """Return what NGFF says of a group; 0.5 has it under ``ome``."""
    attributes: Mapping[str, Any] = group.attrs.asdict()
    return attributes.get("ome", attributes)


def _item(
    file: Path, image: ImageData, labels: ImageData, properties: dict[int, Any]
) -> AnnotatedImage:
    def known(key: str) -> dict[int, Any]:
        return {i: entry[key] for i, entry in properties.items() if key in entry}

    name = file.name
    for suffix in (".zarr", ".ome"):
        name = name.removesuffix(suffix)
    array, axes = np.asarray(labels.array), image.axes
    if "C" in axes and array.ndim == len(axes):
        raise FormatError(
            f"the labels of {file.name} have a channel axis",
            f"shape {array.shape}, image {tuple(image.array.shape)} ({axes})",
            "Labels hold one id per pixel, whatever the channel.",
        )
    return AnnotatedImage(
        name,
        array.astype(np.int32),
        axes,
        image.array,
        image.spacing,
        states={i: s for i, s in known("state").items() if s in STATES},
        classes={i: str(c) for i, c in known("class").items()},
        scores={i: float(s) for i, s in known("score").items()},
        uncertainties={i: float(u) for i, u in known("uncertainty").items()},
    )
