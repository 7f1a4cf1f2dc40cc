"""CSV of tracks: one row for each object in each frame, with units in the names."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seg.data.image_data import spacing_axes
from napari_seg.files import atomic_path

if TYPE_CHECKING:
    from napari_seg.imaging.tracks import Tracks


def write_tracks(
    path: Path, tracks: Tracks, spacing: tuple[float, ...] | None = None
) -> None:
    """Write tracks as a table, complete or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The ``.csv`` file.
    tracks : Tracks
    spacing : tuple of float, optional
        Pixel size in um for each of Z, Y, X in the axes of the tracks, in that order;
        without it, lengths are in pixels.

    Notes
    -----
    ``track`` is the id in the labels, ``parent`` the track that divided, if one did.
    """
    unit = "um" if spacing else "px"
    letters = [letter for letter in "ZYX" if letter in tracks.axes]
    known = dict(zip(spacing_axes(tracks.axes), spacing or (), strict=False))
    sides = [known.get(letter, 1.0) for letter in letters]
    voxel = 1.0
    for side in sides:
        voxel *= side
    size = "area" if len(letters) == 2 else "volume"
    columns = [
        "track", "parent", "frame",
        *(f"centroid_{letter.lower()}_{unit}" for letter in letters),
        f"{size}_{unit}{len(letters)}",
    ]  # fmt: skip
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        for track, frame, row in tracks.rows():
            objects = tracks.objects[frame]
            centre = objects.centres[row].tolist()
            places = [c * side for c, side in zip(centre, sides, strict=True)]
            writer.writerow(
                [
                    track,
                    tracks.parents.get(track, ""),
                    frame,
                    *(f"{place:.6g}" for place in places),
                    f"{int(objects.sizes[row]) * voxel:.6g}",
                ]
            )


def tracks_path(target: Path) -> Path:
    """Return where the tracks are written, for where the labels are."""
    return target.with_name(f"{target.stem}_tracks.csv")
