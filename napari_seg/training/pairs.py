"""Training data: images with labels, read from a folder of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.data.io import read_image, read_labels
from napari_seg.errors import DatasetError
from napari_seg.imaging.normalise import (
    Normalisation,
    intensity_range,
    rescale_intensity,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABEL_FOLDERS = ("labels", "masks")
VALIDATION_SHARE = 0.15
"""Share of the source files held out where a data set names no validation set."""


@dataclass(frozen=True)
class TrainingPair:
    """One plane with its labels."""

    name: str
    """File stem, and the plane's number for stacks."""
    image: NDArray[np.float32]
    """Normalised, shape (C, Y, X)."""
    labels: NDArray[np.int32]
    """Instance ids, shape (Y, X)."""
    diameter_px: float
    """Median object diameter; 0 without objects."""
    source: str = ""
    """File the plane came from: planes of one stack never part company in a split."""


def read_pairs(
    folder: str | Path,
    *,
    in_channels: int | None = None,
    normalisation: Normalisation | None = None,
) -> list[TrainingPair]:
    """Read ``images/`` and ``labels/`` (or ``masks/``) paired by file stem.

    Parameters
    ----------
    folder : str or Path
        Holds ``images`` and ``labels``.
    in_channels : int, optional
        Channels every image must have; by default those of the first.
    normalisation : Normalisation, optional
        Percentiles that become 0 and 1 in each image.

    Returns
    -------
    list of TrainingPair
        Stacks give one pair a plane.

    Raises
    ------
    DatasetError
        If a folder is missing or empty, or a pair does not fit; the file is named.
    """
    folder = Path(folder)
    labels_dir = next(
        (folder / n for n in LABEL_FOLDERS if (folder / n).is_dir()), None
    )
    if not (folder / "images").is_dir() or labels_dir is None:
        raise DatasetError(
            f"{folder} is not a training set",
            "no images/ beside labels/ or masks/",
            "Put images into images/ and labels of the same names into labels/.",
        )
    images = {file.stem: file for file in sorted((folder / "images").iterdir())}
    labels = {file.stem: file for file in sorted(labels_dir.iterdir())}
    lonely = sorted(images.keys() ^ labels.keys())
    if lonely or not images:
        raise DatasetError(
            f"Images and labels in {folder} do not pair up",
            f"unpaired: {', '.join(lonely[:5])}" if lonely else "no files",
            "Give every image a label file of the same name.",
        )
    pairs: list[TrainingPair] = []
    for stem, file in images.items():
        found = _read_pair(stem, file, labels[stem], normalisation)
        expected = in_channels or (pairs or found)[0].image.shape[0]
        if found and found[0].image.shape[0] != expected:
            raise DatasetError(
                f"{file} does not have the channels of the others",
                f"{found[0].image.shape[0]} instead of {expected}",
            )
        pairs += found
    return pairs


def split_folders(dataset: str | Path) -> tuple[Path, Path | None]:
    """Folders of training and validation pairs; None if there is no ``val/``."""
    dataset = Path(dataset)
    if not dataset.is_dir():
        raise DatasetError(f"There is no data set folder {dataset}")
    if not (dataset / "train").is_dir():
        return dataset, None
    return dataset / "train", dataset / "val" if (dataset / "val").is_dir() else None


def median_diameter(labels: NDArray[np.integer]) -> float:
    """Median equivalent diameter (px) of the objects of a plane; 0 without any."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(2 * np.sqrt(np.median(areas) / np.pi)) if areas.size else 0.0


def dense_ids(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Renumber ids 1..N in their order, background stays 0."""
    ids, dense = np.unique(labels, return_inverse=True)
    shift = 0 if ids.size and ids[0] == 0 else 1
    return (dense.reshape(labels.shape) + shift).astype(np.int32)


def _read_pair(
    stem: str, image_file: Path, label_file: Path, normalisation: Normalisation | None
) -> list[TrainingPair]:
    source = read_image(image_file)
    image, axes = np.asarray(source.array), source.axes
    labels = np.asarray(read_labels(label_file).array)
    spatial = [n for n, axis in zip(image.shape, axes, strict=True) if axis != "C"]
    if list(labels.shape) != spatial:
        raise DatasetError(
            f"{label_file} does not fit {image_file}",
            f"labels {labels.shape}, image {image.shape} ({axes})",
            "Labels must have the image's shape without channels.",
        )
    image = np.moveaxis(image, axes.index("C"), 0) if "C" in axes else image[None]
    planes = labels.reshape(-1, *labels.shape[-2:])
    stack = image.reshape(image.shape[0], -1, *image.shape[-2:])
    pairs = []
    for z, plane in enumerate(planes):
        channels = [
            rescale_intensity(c, intensity_range(c, normalisation)) for c in stack[:, z]
        ]
        ids = dense_ids(plane)
        name = stem if len(planes) == 1 else f"{stem}-{z:04d}"
        diameter = median_diameter(ids)
        pairs.append(TrainingPair(name, np.stack(channels), ids, diameter, stem))
    return pairs


def hold_out(
    pairs: Sequence[TrainingPair], seed: int
) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Split into training and validation by source file.

    Parameters
    ----------
    pairs : sequence of TrainingPair
    seed : int
        Same seed and files: same split.

    Returns
    -------
    train, val : list of TrainingPair
        Planes of one stack are never on both sides. A single source is both.
    """
    sources = sorted({pair.source for pair in pairs})
    if len(sources) < 2:
        return list(pairs), list(pairs)
    n_val = max(1, round(len(sources) * VALIDATION_SHARE))
    chosen = set(np.random.default_rng(seed).permutation(sources)[:n_val])
    train = [pair for pair in pairs if pair.source not in chosen]
    return train, [pair for pair in pairs if pair.source in chosen]
