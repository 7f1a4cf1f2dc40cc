"""Cellpose: ``<name>_seg.npy`` beside the image, as its window saves and opens it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.formats.files import Names, image_of_stem, new_folder
from napari_seg.data.formats.pickled import as_array, read_dict
from napari_seg.data.io import read_image, write_picture
from napari_seg.errors import FormatError

SUFFIX = "_seg.npy"
IDS = "napari_seg_ids"
"""Our own key: the ids before Cellpose's numbering from 1 without gaps."""


def write_cellpose(items: Iterable[AnnotatedImage], out: Path) -> None:
    """Write ``<name>_seg.npy`` and ``<name>.tif`` for each image.

    Cellpose numbers objects 1, 2, ... without gaps; the ids are kept beside. Ignored
    objects are left out. Films are refused.
    """
    names = Names()
    with new_folder(out) as folder:
        for item in items:
            if "T" in item.label_axes:
                raise FormatError(
                    f"Cellpose cannot hold {item.name}",
                    f"axes {item.axes}",
                    "Export the frames of a film as separate images.",
                )
            name = names.take(item)
            if item.image is not None:
                picture = folder / f"{name}.tif"
                write_picture(picture, item.image, item.axes, item.spacing)
            content: Any = _content(item, f"{name}.tif")
            np.save(folder / f"{name}{SUFFIX}", content, allow_pickle=True)


def _content(item: AnnotatedImage, filename: str) -> dict[str, Any]:
    ids, dense = np.unique(np.append(np.asarray(item.kept), 0), return_inverse=True)
    kind = np.uint16 if len(ids) <= 2**16 else np.uint32
    masks = dense[:-1].reshape(item.labels.shape).astype(kind)
    count = len(ids) - 1
    areas = np.bincount(masks.ravel(), minlength=count + 1)[1:]
    diameter = 2 * np.sqrt(np.median(areas) / np.pi) if count else 30.0
    colours = np.random.default_rng(0).integers(60, 256, (count, 3), dtype=np.uint8)
    return {
        "masks": masks,
        "outlines": _outlines(masks),
        "colors": colours,
        "ismanual": np.array([item.states.get(int(i)) == "edited" for i in ids[1:]]),
        "filename": filename,
        "flows": [],
        "manual_changes": [],
        "chan_choose": [0, 0],
        "est_diam": float(diameter),
        IDS: ids[1:].astype(np.int32),
    }


def _outlines(masks: NDArray[Any]) -> NDArray[Any]:
    """Return the ids on the rim of each object, plane by plane."""
    outlines = np.zeros_like(masks)
    for index in np.ndindex(masks.shape[:-2]):
        rim = find_boundaries(masks[index], mode="inner")
        outlines[index] = np.where(rim, masks[index], 0)
    return outlines


def read_cellpose(path: Path, images: Path | None = None) -> Iterator[AnnotatedImage]:
    """Read ``_seg.npy`` files; only arrays, numbers, texts, lists and dictionaries.

    Parameters
    ----------
    path : pathlib.Path
        The file, or a folder of some.
    images : pathlib.Path, optional
        Where the images lie, else beside. Without an image the masks come alone; a
        file name that leads elsewhere is not followed.

    Raises
    ------
    FormatError
        If a file holds anything else, or masks of another shape than its image.
    """
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    for file in files:
        content = read_dict(file)
        if "masks" not in content:
            raise FormatError(
                f"{file.name} holds no masks", f"{sorted(map(str, content))[:9]}"
            )
        stem = file.name.removesuffix(SUFFIX)
        masks = _with_ids(as_array(content["masks"], file.name), content, file.name)
        picture = _picture(stem, content.get("filename"), images or file.parent)
        if picture is None:
            axes = "YX" if masks.ndim == 2 else "ZYX"
            yield AnnotatedImage(stem, masks, axes)
            continue
        data = read_image(picture)
        yield AnnotatedImage(stem, masks, data.axes, data.array, data.spacing)


def _with_ids(
    masks: NDArray[Any], content: dict[str, Any], name: str
) -> NDArray[np.int32]:
    """Put back the ids that Cellpose's numbering replaced."""
    if masks.dtype.kind not in "iu" or masks.ndim not in (2, 3):
        raise FormatError(
            f"the masks of {name} are none", f"{masks.dtype}, shape {masks.shape}"
        )
    if masks.size and masks.min() == -1:
        masks = masks.astype(np.int64) + 1  # as its oldest versions counted
    if IDS not in content:
        return masks
    ids = np.concatenate([[0], as_array(content[IDS], name)])
    # objects were added or removed in Cellpose: its numbers are the only ones now
    if masks.max(initial=0) != len(ids) - 1:
        return masks
    return ids.astype(np.int64)[masks]


def _picture(stem: str, named: object, folder: Path) -> Path | None:
    """Find the image: of the same name, else what the file calls it, in the folder."""
    found = image_of_stem(stem, [folder])
    if found is None and isinstance(named, str) and named:
        bare = PureWindowsPath(named).name
        found = folder / bare if bare and (folder / bare).is_file() else None
    return found
