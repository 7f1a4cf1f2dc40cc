"""Which images a batch is of, and where the labels of each go."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_seg.data.io import IMAGE_SUFFIXES, READABLE_SUFFIXES
from napari_seg.errors import FormatError, NapariSegError


@dataclass(frozen=True)
class PlannedFile:
    """One image of a batch."""

    path: Path
    """The image."""
    target: Path
    """File for its labels."""
    name: str
    """Path of the labels below the folder of results without suffix, with ``/``."""
    problem: NapariSegError | None = None
    """Why it cannot be done at all."""

    @property
    def key(self) -> str:
        """Its name in lists and records; of what has none to itself, the path."""
        return self.name if self.problem is None else str(self.path)


@dataclass(frozen=True)
class _Found:
    """What one input stands for."""

    paths: Sequence[Path]
    root: Path | None = None
    """Folder that the places below are kept of; None for a file given by itself."""
    problem: NapariSegError | None = None


def plan(inputs: Sequence[Path], out: Path) -> list[PlannedFile]:
    """Give each image its output file, and refuse what would overwrite something.

    Parameters
    ----------
    inputs : sequence of pathlib.Path
        Images, folders of images, or patterns such as ``plates/**/*.tif``.
    out : pathlib.Path
        Folder of the labels. A file given by itself becomes ``<stem>.tif``; images of
        folders and patterns keep their place below the folder that all these share.

    Returns
    -------
    list of PlannedFile
        In the order of the inputs, each folder sorted; an image found twice is there
        once.
    """
    found = [_expand(given, out) for given in inputs]
    root = _common([f.root for f in found if f.root is not None])
    files: list[PlannedFile] = []
    taken: dict[Path, Path] = {}
    for one in found:
        for path in one.paths:
            file = _place(path, (root or one.root) if one.root else None, out)
            other = taken.setdefault(file.target, path)
            if other is not path and os.path.abspath(other) == os.path.abspath(path):
                continue
            problem = one.problem or _problem(file, other)
            files.append(replace(file, problem=problem))
    return files


def _place(path: Path, root: Path | None, out: Path) -> PlannedFile:
    """Return where the labels of an image go."""
    parent = Path()
    if root is not None:
        parent = Path(os.path.relpath(Path(os.path.abspath(path)).parent, root))
    name = (parent / path.stem).as_posix()
    return PlannedFile(path, out / f"{name}.tif", name)


def _problem(file: PlannedFile, other: Path) -> NapariSegError | None:
    """Return why a file cannot be done; `other` has its target."""
    if file.target.resolve() == file.path.resolve():
        return FormatError(
            "the labels would overwrite the image", remedy="Choose another --out."
        )
    if other is not file.path:
        return FormatError(
            f"the labels would overwrite those of {other}",
            f"both are called {file.path.stem}",
            "Segment them into different folders; sub-folders are kept where a "
            "pattern is given in quotes.",
        )
    if file.path.is_dir() and not is_zarr(file.path):
        return FormatError(
            "the folder holds no image that can be read",
            remedy="Give image files, a folder of them or a pattern in quotes.",
        )
    return None


def _expand(given: Path, out: Path) -> _Found:
    """Return the images of a folder or pattern; a file or a Zarr image is itself."""
    if given.is_dir() and not is_zarr(given):
        # macOS leaves "._image.tif" beside every file on foreign disks
        visible = sorted(p for p in given.iterdir() if not p.name.startswith("."))
        images = [p for p in visible if p.suffix.lower() in READABLE_SUFFIXES]
        root = Path(os.path.abspath(given))
        # a folder without images stands for itself, and that is a problem
        return _Found(images, root) if images else _Found([given])
    # a name may hold brackets without being a pattern
    if not glob.has_magic(str(given)) or given.exists():
        return _Found([given])
    return _match(given.expanduser(), out)


def is_pattern(given: Path) -> bool:
    """Whether an input stands for several images."""
    if given.exists():
        return given.is_dir() and not is_zarr(given)
    return glob.has_magic(str(given))


def _match(pattern: Path, out: Path) -> _Found:
    """Return the images that a pattern matches, but none that lie in `out`."""
    fixed = 0
    while not glob.has_magic(pattern.parts[fixed]):
        fixed += 1
    root = Path(os.path.abspath(Path(*pattern.parts[:fixed])))
    matches = (Path(p) for p in glob.iglob(str(pattern), recursive=True))
    images = sorted(p for p in set(matches) if p.suffix.lower() in IMAGE_SUFFIXES)
    folders = {image: _folders(image, root) for image in images}
    # what is inside a Zarr image is no image of its own
    inner = {f for f in {f for fs in folders.values() for f in fs} if is_zarr(f)}
    hidden = {*inner, Path(os.path.abspath(out))}
    images = [p for p in images if not hidden & folders[p]]
    if images:
        return _Found(images, root)
    problem = FormatError(
        f"no image is called {pattern}",
        remedy="Check the folder; ** stands for any number of folders.",
    )
    return _Found([pattern], problem=problem)


def _folders(path: Path, root: Path) -> set[Path]:
    """Return the folders that a file is in, those below `root`."""
    return {f for f in Path(os.path.abspath(path)).parents if root in f.parents}


def _common(roots: Sequence[Path]) -> Path | None:
    """Return the folder that all have in common; None on several drives."""
    try:
        return Path(os.path.commonpath([os.path.abspath(r) for r in roots]))
    except ValueError:
        return None


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr image."""
    names = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
    return path.suffix.lower() == ".zarr" or any((path / n).is_file() for n in names)
