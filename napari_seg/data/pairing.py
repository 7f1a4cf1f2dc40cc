"""Folders of images and labels that belong together by name."""

from __future__ import annotations

from pathlib import Path

from napari_seg.errors import DatasetError

LABEL_FOLDERS = ("labels", "masks")


def paired_files(folder: Path) -> list[tuple[Path, Path]]:
    """Pair ``images/`` and ``labels/`` (or ``masks/``) by file stem.

    Parameters
    ----------
    folder : pathlib.Path
        Holds the two folders.

    Returns
    -------
    list of (image, labels)
        Sorted by name.

    Raises
    ------
    DatasetError
        If a folder is missing, or a file has no partner.
    """
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
    return [(file, labels[stem]) for stem, file in images.items()]
