"""Which formats there are, and which one a file is in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.dataset_index import INDEX
from napari_seg.data.formats.cellpose import SUFFIX as CELLPOSE_SUFFIX
from napari_seg.data.formats.cellpose import read_cellpose, write_cellpose
from napari_seg.data.formats.coco import read_coco, write_coco
from napari_seg.data.formats.files import load_json
from napari_seg.data.formats.omezarr import read_omezarr, write_omezarr
from napari_seg.data.formats.pairs import read_pairs, write_pairs
from napari_seg.data.formats.panoptic import read_panoptic, write_panoptic
from napari_seg.data.formats.roi import read_rois, write_rois
from napari_seg.data.formats.table import read_table, write_table
from napari_seg.data.formats.yolo import read_yolo, write_yolo
from napari_seg.errors import FormatError

Writer = Callable[[Iterable[AnnotatedImage], Path], None]
Reader = Callable[[Path, Path | None], Iterator[AnnotatedImage]]


@dataclass(frozen=True)
class Format:
    """One format that annotations can be in."""

    name: str
    """As the command line knows it."""
    summary: str
    """One line for the user."""
    write: Writer
    """Takes the images one at a time; the output appears whole or not at all."""
    read: Reader
    """Yields the images one at a time; the second argument is a folder of images."""


FORMATS = {
    each.name: each
    for each in (
        Format(
            "tiff-pairs",
            "Data set of TIFF images and labels: trains here, opens in ImageJ",
            write_pairs,
            read_pairs,
        ),
        Format(
            "coco",
            "COCO instances: polygons, run lengths where there are holes",
            write_coco,
            read_coco,
        ),
        Format(
            "coco-panoptic",
            "COCO panoptic: PNG of ids and JSON",
            write_panoptic,
            read_panoptic,
        ),
        Format(
            "ome-zarr",
            "OME-Zarr images with their labels inside",
            write_omezarr,
            read_omezarr,
        ),
        Format(
            "cellpose",
            "Cellpose's _seg.npy beside the image",
            write_cellpose,
            read_cellpose,
        ),
        Format(
            "imagej-roi",
            "Zip of ROIs for ImageJ's ROI Manager",
            write_rois,
            read_rois,
        ),
        Format(
            "yolo-seg",
            "YOLO segmentation: polygons as text",
            write_yolo,
            read_yolo,
        ),
        Format(
            "csv",
            "Measurements of every object, one row each",
            write_table,
            read_table,
        ),
    )
}


def find_format(path: Path) -> Format:
    """Tell which format a file or folder is in.

    Raises
    ------
    FormatError
        If it does not exist, or is none of them.
    """
    if not path.exists():
        raise FormatError(f"{path} does not exist", remedy="Check the path.")
    name = _of_folder(path) if path.is_dir() else _of_file(path)
    if name is None:
        raise FormatError(
            f"cannot tell which format {path.name} is in",
            remedy=f"Say so with --from: {', '.join(FORMATS)}.",
        )
    return FORMATS[name]


def _of_folder(path: Path) -> str | None:
    if (path / INDEX).is_file():
        return "tiff-pairs"
    if path.suffix.lower() == ".zarr" or any(path.glob("*.zarr")):
        return "ome-zarr"
    if any((path / name).is_file() for name in ("zarr.json", ".zattrs")):
        return "ome-zarr"
    if any((path / "labels").rglob("*.txt")):
        return "yolo-seg"
    if any((path / name).is_dir() for name in ("labels", "masks", "train")):
        return "tiff-pairs"
    if any(path.glob(f"*{CELLPOSE_SUFFIX}")):
        return "cellpose"
    if any(path.glob("*.zip")):
        return "imagej-roi"
    index = next(iter(sorted(path.glob("*.json"))), None)
    return None if index is None else _of_json(index)


def _of_file(path: Path) -> str | None:
    if path.name.endswith(CELLPOSE_SUFFIX):
        return "cellpose"
    if path.suffix.lower() == ".json":
        return _of_json(path)
    suffixes = {".zip": "imagej-roi", ".txt": "yolo-seg", ".csv": "csv"}
    return suffixes.get(path.suffix.lower())


def _of_json(path: Path) -> str | None:
    annotations = load_json(path).get("annotations")
    if not isinstance(annotations, list):
        return None
    is_panoptic = any(isinstance(a, dict) and "segments_info" in a for a in annotations)
    return "coco-panoptic" if is_panoptic else "coco"
