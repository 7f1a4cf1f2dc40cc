"""Tables of a batch: rows are added after each image, and none is there twice."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seg.data.formats.table import LEADING, measured
from napari_seg.errors import FormatError
from napari_seg.files import atomic_path

if TYPE_CHECKING:
    from napari_seg.data.annotated import AnnotatedImage

COUNTS = ("image", "input", "objects", "diameter_px")
_IMAGE = "image"


class AppendedTable:
    """A CSV file that grows by whole rows.

    Parameters
    ----------
    path : pathlib.Path
    columns : sequence of str
        The first of them; others are added when rows have them. One is ``image``.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = list(columns)
        self.images: set[str] = set()

    def read(self) -> None:
        """Find out which columns and images are there.

        Raises
        ------
        FormatError
            If it is another table.
        """
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = csv.reader(file)
                columns = next(rows, [])
                at = columns.index(_IMAGE)
                # a row that was cut short by a crash has too few fields
                self.images = {row[at] for row in rows if len(row) == len(columns)}
        except (OSError, ValueError, csv.Error) as error:
            raise FormatError(
                f"{self.path} is not a table of a run",
                str(error),
                "Choose another --csv.",
            ) from error
        self.columns = columns

    def write(self, keep: Set[str] = frozenset()) -> None:
        """Write it anew with the rows of some images, or with none."""
        with (
            atomic_path(self.path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            if keep:
                writer.writerows(self._rows(keep))
        self.images &= keep

    def _rows(self, keep: Set[str]) -> Iterable[dict[str, str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            columns = next(rows)
            for row in rows:
                if len(row) == len(columns):
                    known = dict(zip(columns, row, strict=True))
                    if known[_IMAGE] in keep:
                        yield known

    def append(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Add rows all at once.

        Returns
        -------
        int
            Size of the file before, for `cut`.

        Raises
        ------
        OSError
            If the disk is full; the file is as it was.
        """
        new = dict.fromkeys(key for row in rows for key in row)
        missing = [key for key in new if key not in self.columns]
        if missing:
            self._widen(missing)
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns).writerows(rows)
        size = self.path.stat().st_size
        try:
            with self.path.open("ab") as file:
                file.write(text.getvalue().encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.cut(size)
            raise
        self.images.update(str(row[_IMAGE]) for row in rows)
        return size

    def _widen(self, columns: Sequence[str]) -> None:
        before = self.columns
        self.columns = [*before, *columns]
        try:
            self.write(frozenset(self.images))
        except (OSError, FormatError):
            self.columns = before
            raise

    def cut(self, size: int) -> None:
        """Take back what was added since the file had `size` bytes."""
        with suppress(OSError):
            os.truncate(self.path, size)


class BatchTables:
    """A row for each object, and beside it a row for each image.

    Parameters
    ----------
    path : pathlib.Path
        Of the measurements; the counts are in ``<stem>-counts.csv``.
    """

    def __init__(self, path: Path) -> None:
        self.objects = AppendedTable(path, LEADING)
        counts = path.with_name(f"{path.stem}-counts{path.suffix}")
        self.counts = AppendedTable(counts, COUNTS)

    def begin(self, keep: Set[str], *, overwrite: bool) -> None:
        """Make the files, or keep the rows of the images that are finished.

        Parameters
        ----------
        keep : set of str
            Names of images.
        overwrite : bool
            Whether files that are there may be changed.

        Raises
        ------
        FormatError
            If they may not, or are other tables.
        """
        tables = (self.objects, self.counts)
        for table in tables:
            if table.path.exists():
                if not overwrite:
                    raise FormatError(
                        f"{table.path} exists already",
                        remedy="Choose another --csv, go on with --resume or "
                        "begin anew with --restart.",
                    )
                table.read()
        # Without its count, an image is not finished in the tables.
        both = keep & self.counts.images if self.objects.path.exists() else frozenset()
        self.counts.images = self.objects.images = set(both)
        for table in tables:
            table.write(both)

    @property
    def images(self) -> set[str]:
        """Images that are in the tables."""
        return self.counts.images

    def add(self, item: AnnotatedImage, count: Mapping[str, Any]) -> None:
        """Add the rows of an image: all of them or none.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        size = self.objects.append(list(measured(item)))
        try:
            self.counts.append([{_IMAGE: item.name, **count}])
        except OSError:
            self.objects.cut(size)
            raise
