"""Training data on disk: folders of pairs, and exported data sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seg.data.pairing import paired_files
from napari_seg.errors import DatasetError
from napari_seg.training.checked import Checked
from napari_seg.training.sources import FileSource, Reading, iter_read
from napari_seg.types import run

if TYPE_CHECKING:
    from napari_seg.imaging.normalise import Normalisation
    from napari_seg.training.pairs import TrainingPlane

SEMANTIC_FOLDER = "semantic"
"""Holds the classes beside the objects, by the same names."""
INDEX = "dataset.json"
"""Names the pairs of an exported data set."""


def folder_sources(folder: str | Path) -> list[FileSource]:
    """Find the pairs of a data set, of whatever kind.

    Parameters
    ----------
    folder : str or Path
        Holds ``dataset.json``; or ``train/`` and perhaps ``val/``, each with pairs; or
        ``images/`` and ``labels/`` (or ``masks/``) paired by file stem.

    Returns
    -------
    list of FileSource
        Not opened yet. Those of ``train/`` and ``val/`` say so if both are there.

    Raises
    ------
    DatasetError
        If there is no such folder, a part of it is missing, or pairs are incomplete.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(
            f"There is no data set folder {folder}", remedy="Check the path."
        )
    if (folder / INDEX).is_file():
        return _exported(folder / INDEX)
    if not (folder / "train").is_dir():
        return pair_files(folder)
    if not (folder / "val").is_dir():
        return pair_files(folder / "train")
    train = [replace(s, for_validation=False) for s in pair_files(folder / "train")]
    val = [replace(s, for_validation=True) for s in pair_files(folder / "val")]
    return train + val


def pair_files(folder: Path) -> list[FileSource]:
    """Pair ``images/`` and ``labels/`` (or ``masks/``) by file stem."""
    semantic: dict[str, Path] = {}
    if (folder / SEMANTIC_FOLDER).is_dir():
        semantic = {file.stem: file for file in (folder / SEMANTIC_FOLDER).iterdir()}
    return [
        FileSource(image, labels, semantic=semantic.get(image.stem))
        for image, labels in paired_files(folder)
    ]


def read_pairs(
    folder: str | Path,
    *,
    in_channels: int | None = None,
    normalisation: Normalisation | None = None,
) -> list[TrainingPlane]:
    """Read a whole folder of pairs; see `pair_files` and `iter_read`."""
    sources = pair_files(Path(folder))
    return run(iter_read(sources, Reading(in_channels, normalisation)))


def _exported(index: Path) -> list[FileSource]:
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["pairs"]
        sources = [_entry(index.parent, entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{index} does not describe a data set",
            f"{type(error).__name__}: {error}",
            'It needs {"pairs": [{"image": ..., "labels": ...}]}: export it again.',
        ) from error
    missing = [s for s in sources if not (s.image.exists() and s.labels.exists())]
    if missing or not sources:
        raise DatasetError(
            f"{index} names files that are not there",
            ", ".join(source.image.name for source in missing[:5]) or "no pairs",
            "Keep the exported folder together.",
        )
    return sources


def _entry(folder: Path, entry: Mapping[str, Any]) -> FileSource:
    split = entry.get("split")
    planes, ids = (_numbers(entry.get(f"correct_{key}")) for key in ("planes", "ids"))
    return FileSource(
        folder / entry["image"],
        folder / entry["labels"],
        str(entry.get("group", "")),
        None if split is None else split == "val",
        None if planes is None and ids is None else Checked(planes, ids),
    )


def _numbers(values: list[int] | None) -> frozenset[int] | None:
    return None if values is None else frozenset(map(int, values))
