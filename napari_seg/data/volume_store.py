"""OME-Zarr labels and probabilities of any size, written chunk by chunk (NGFF 0.5)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from napari_seg.imaging.levels import renew_level

NGFF = "0.5"
SMALLEST_LEVEL_PX = 64
MOST_FILES = 200_000
"""Where there would be more chunks than that, those of a cell share a file."""


def level_shapes(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes of all levels: rows and columns are halved while large."""
    shapes = [tuple(int(n) for n in shape)]
    while min(shapes[-1][-2:]) // 2 >= SMALLEST_LEVEL_PX:
        *leading, rows, columns = shapes[-1]
        shapes.append((*leading, -(-rows // 2), -(-columns // 2)))
    return shapes


def create_pyramid(
    path: Path,
    shape: Sequence[int],
    axes: str,
    dtype: str,
    *,
    chunk: Sequence[int],
    cell: Sequence[int],
    spacing: Mapping[str, float] | None,
    levels: bool = True,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Make an empty OME-Zarr image; whatever was there is replaced.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    shape, axes : sequence of int, str
        Of level 0, axes in the order T, C, Z, Y, X.
    dtype : str
    chunk : sequence of int
        Of all levels.
    cell : sequence of int
        Multiple of `chunk` that one program writes at once.
    spacing : mapping of str to float, optional
        Voxel size in um by axis.
    levels : bool, optional
        Whether there are levels of half the size.
    more : mapping, optional
        Further entries under ``ome``.
    """
    import zarr

    if path.exists():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    shapes = level_shapes(shape) if levels else [tuple(shape)]
    names = [axis.lower() for axis in axes]
    for number, size in enumerate(shapes):
        files = prod(-(-n // c) for n, c in zip(size, chunk, strict=True))
        group.create_array(
            str(number),
            shape=size,
            chunks=tuple(chunk),
            shards=tuple(cell) if files > MOST_FILES and number == 0 else None,
            dtype=dtype,
            compressors=_codec(),
            fill_value=0,
            dimension_names=names,
        )
    factors = [shapes[0][-1] / n[-1] for n in shapes]
    datasets = [
        _dataset(str(i), axes, spacing, 2**i if factor > 1 else 1)
        for i, factor in enumerate(factors)
    ]
    image: Any = {"axes": _axes(axes, spacing), "datasets": datasets, "name": path.stem}
    group.attrs["ome"] = {"version": NGFF, "multiscales": [image], **(more or {})}


def create_local(path: Path, shape: Sequence[int], cell: Sequence[int]) -> None:
    """Make an empty array for the ids that each cell gives; a file for each cell."""
    import zarr

    zarr.create_array(
        path,
        shape=tuple(shape),
        chunks=tuple(min(c, n) for c, n in zip(cell, shape, strict=True)),
        dtype="int32",
        compressors=_codec(),
        fill_value=0,
    )


def open_local(path: Path) -> Any:
    """Open what `create_local` made."""
    import zarr

    return zarr.open_array(path, mode="r+")


def _codec() -> Any:
    from zarr.codecs import BloscCodec

    return BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")


def _dataset(
    path: str, axes: str, spacing: Mapping[str, float] | None, factor: int
) -> dict[str, Any]:
    sizes = spacing or {}
    scale = [sizes.get(a, 1.0) * (factor if a in "YX" else 1) for a in axes]
    return {
        "path": path,
        "coordinateTransformations": [{"type": "scale", "scale": scale}],
    }


def _axes(axes: str, spacing: Mapping[str, float] | None) -> list[dict[str, str]]:
    kinds = {"T": "time", "C": "channel"}
    found = []
    for axis in axes:
        entry = {"name": axis.lower(), "type": kinds.get(axis, "space")}
        if spacing and axis in spacing:
            entry["unit"] = "micrometer"
        found.append(entry)
    return found


def register_labels(path: Path) -> None:
    """Name labels inside an OME-Zarr image (``image.zarr/labels/NAME``) in its list."""
    import zarr

    if path.parent.name != "labels":
        return
    group = zarr.open_group(path.parent, mode="a")
    known: dict[str, Any] = dict(group.attrs.asdict()).get("ome", {})  # type: ignore[assignment]
    names = list(known.get("labels", []))
    if path.name not in names:
        names.append(path.name)
        group.attrs["ome"] = {**known, "version": NGFF, "labels": names}


def open_level(path: Path, level: int = 0) -> Any:
    """Open one level for reading and writing."""
    import zarr

    return zarr.open_array(path / str(level), mode="r+")


def note(path: Path, about: Mapping[str, Any]) -> None:
    """Keep what is known of the run beside what NGFF asks for."""
    import zarr

    zarr.open_group(path, mode="r+").attrs["napari_seg"] = dict(about)


def read_note(path: Path) -> dict[str, Any]:
    """Return what `note` kept; empty if there is nothing."""
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    found = group.attrs.asdict().get("napari_seg", {})
    return dict(found) if isinstance(found, Mapping) else {}


def _parts(whole: slice, step: int) -> list[slice]:
    """Cut a slice with bounds into parts of a length; the last may be shorter."""
    stops = range(whole.start, whole.stop, step)
    return [slice(i, min(i + step, whole.stop)) for i in stops]


def halve(level: int, path: Path, region: Sequence[slice]) -> None:
    """Fill a part of a level from the one before.

    Parameters
    ----------
    level : int
        Number of the level that is written.
    path : pathlib.Path
    region : sequence of slice
        In that level, aligned with its chunks.
    """
    finer, own = open_level(path, level - 1), open_level(path, level)
    *leading, rows, columns = region
    sides = [
        slice(2 * s.start, min(2 * s.stop, n))
        for s, n in zip((rows, columns), finer.shape[-2:], strict=True)
    ]
    # A layer of chunks at a time, so that little memory is used.
    layers = [_parts(s, n) for s, n in zip(leading, own.chunks, strict=False)]
    for layer in product(*layers):
        renew_level(finer, own, (*layer, *sides))
