"""Many images, one after the other: what fails is noted, and the rest is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.batch_plan import PlannedFile
from napari_seg.data.run_manifest import DONE, FAILED, Stamp
from napari_seg.data.tracks_table import tracks_path
from napari_seg.errors import FAILURES, FormatError
from napari_seg.files import remove_leftovers
from napari_seg.imaging.axes import spatial_axes
from napari_seg.inference.batch_file import (
    FileResult,
    classes_path,
    iter_segment_file,
    read_result,
    unwritten,
)
from napari_seg.inference.segment import iter_segment

if TYPE_CHECKING:
    from napari_seg.data.batch_table import BatchTables
    from napari_seg.data.run_manifest import RunManifest
    from napari_seg.inference.batch_file import Steps
    from napari_seg.inference.params import SegmentParams
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.types import Progress

SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    file: PlannedFile
    state: str
    """``done``, ``skipped`` or ``failed``."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What `iter_file` tells, of an image that was done."""
    error: str = ""
    """Why it failed, naming the file."""


def run_about(
    checkpoint: Checkpoint, params: SegmentParams, *, classes: bool
) -> dict[str, Any]:
    """Return what makes the labels of a run what they are, as JSON can hold it."""
    known = params.compared()
    for name in ("threshold", "seed_threshold"):
        if known[name] is None:  # a window says it in so many words
            known[name] = getattr(checkpoint.card, name)
    return {
        "model": checkpoint.card.name,
        "sha256": checkpoint.sha256,
        "parameters": {**known, "classes": classes},
    }


class Batch:
    """Segments the images of a plan, and keeps manifest and tables up to date.

    Parameters
    ----------
    files : list of PlannedFile
    checkpoint : Checkpoint
    params : SegmentParams
        Of all images.
    classes : bool, optional
        Whether the class of each pixel is written too.
    manifest : RunManifest, optional
        Finished images that it names are skipped if `resume`.
    tables : BatchTables, optional
        For counts and measurements.
    resume : bool, optional
    steps : callable, optional
        Does one image, as `iter_segment` does.
    axes_of : callable, optional
        Takes the path of an image, and returns its axes instead of those of `params`.
    """

    def __init__(
        self,
        files: list[PlannedFile],
        checkpoint: Checkpoint,
        params: SegmentParams,
        *,
        classes: bool = False,
        manifest: RunManifest | None = None,
        tables: BatchTables | None = None,
        resume: bool = False,
        steps: Steps = iter_segment,
        axes_of: Callable[[Path], str | None] | None = None,
    ) -> None:
        self.files = list(files)
        if resume and manifest is not None:
            self.files += _lost(manifest, files)
        self.checkpoint = checkpoint
        self.params = params
        self.classes = classes
        self.manifest = manifest
        self.tables = tables
        self.finished = {f for f in self.files if resume and self._is_finished(f)}
        """Those that are not segmented again."""
        self._resume = resume
        self._steps = steps
        self._axes_of = axes_of
        self._unsaved = ""

    def begin(self, *, overwrite_tables: bool = False) -> None:
        """Write manifest and tables, so that nothing is computed that cannot be kept.

        Raises
        ------
        OSError, FormatError
            If the folder cannot be written or the tables are there already.
        """
        if self._resume:
            remove_leftovers(self._outputs())
        names = {file.name for file in self.finished}
        if self.tables is not None:
            others = set() if self.manifest is None else _done(self.manifest)
            again = {file.name for file in self.files} - names
            self.tables.begin(others - again, overwrite=overwrite_tables)
        if self.manifest is not None:
            waiting = (f for f in self.files if f not in self.finished)
            self.manifest.begin({f.key: f.path for f in waiting})

    def iter_file(self, file: PlannedFile) -> Generator[Progress, None, Outcome]:
        """Do one image; closing the generator leaves it to be done.

        Yields
        ------
        Progress
            As `iter_segment` does.

        Returns
        -------
        Outcome
            Also where it fails.
        """
        try:
            if file in self.finished:
                self._measure_again(file)
                return Outcome(file, SKIPPED)
            if file.problem is not None:
                raise file.problem
            stamp = _look(file.path)
            started = time.perf_counter()
            params = self.params
            if self._axes_of is not None:
                params = replace(params, axes=self._axes_of(file.path))
            result = yield from iter_segment_file(
                file.path, file.target, self.checkpoint, params,
                classes=self.classes, steps=self._steps,
            )  # fmt: skip
            self._measure(file, result, result.report["diameter_px"])
        except FAILURES as error:
            text = _sentence(file, error)
            self._note(file, {"state": FAILED, "error": text})
            return Outcome(file, FAILED, error=text)
        seconds = round(time.perf_counter() - started, 3)
        about = {"seconds": seconds, "objects": result.report["objects"]}
        diameter = {"diameter_px": result.report["diameter_px"]}
        entry = {"state": DONE, **about, **diameter, **asdict(stamp)}
        self._note(file, {**entry, "output": f"{file.name}.tif"})
        return Outcome(file, DONE, {**result.report, "seconds": seconds})

    def end(self) -> str:
        """Save what could not be saved before; return why that failed again, if so."""
        if self._unsaved:
            self._save()
        return self._unsaved

    def _outputs(self) -> Iterator[Path]:
        """Yield all files that the batch writes."""
        for file in self.files:
            yield from self._results(file)
        if self.manifest is not None:
            yield self.manifest.path
        if self.tables is not None:
            yield from (self.tables.objects.path, self.tables.counts.path)

    def _is_finished(self, file: PlannedFile) -> bool:
        if self.manifest is None or file.problem is not None:
            return False
        outputs = list(self._results(file))
        try:
            stamp = Stamp.of(file.path)
        except OSError:
            return False
        return self.manifest.finished(file.name, stamp, outputs) is not None

    def _results(self, file: PlannedFile) -> Iterator[Path]:
        """Yield the files that are written for one image."""
        yield file.target
        if self.classes:
            yield classes_path(file.target)
        if self.params.track is not None:
            yield tracks_path(file.target)

    def _note(self, file: PlannedFile, entry: dict[str, Any]) -> None:
        if self.manifest is not None:
            entry["input"] = str(file.path.absolute())
            self.manifest.record(file.key, entry)
            self._save()

    def _save(self) -> None:
        """Save the manifest; on a full disk it is tried again after the next image."""
        assert self.manifest is not None
        try:
            self.manifest.save()
            self._unsaved = ""
        except (OSError, FormatError) as error:
            self._unsaved = f"cannot write {self.manifest.path}: {error}"

    def _measure(self, file: PlannedFile, found: FileResult, diameter: float) -> None:
        if self.tables is None:
            return
        image = found.image
        # what does not fit the memory is not read whole for its mean intensity
        is_small = isinstance(image.array, np.ndarray)
        item = AnnotatedImage(
            file.name,
            found.labels,
            image.axes if is_small else spatial_axes(image.axes),
            image.array if is_small else None,
            image.spacing,
            scores=found.scores,
        )
        objects = len(item.ids)
        count = {"input": file.path, "objects": objects, "diameter_px": diameter}
        try:
            self.tables.add(item, count)
        except OSError as error:
            raise unwritten(self.tables.objects.path, error) from error

    def _measure_again(self, file: PlannedFile) -> None:
        """Add a finished image that is not in the tables, from its labels."""
        if self.tables is None or file.name in self.tables.images:
            return
        assert self.manifest is not None
        found = read_result(file.path, file.target, self.params)
        diameter = self.manifest.files[file.name].get("diameter_px", "")
        self._measure(file, found, diameter)


def _done(manifest: RunManifest) -> set[str]:
    return {name for name, e in manifest.files.items() if e.get("state") == DONE}


def _lost(manifest: RunManifest, files: list[PlannedFile]) -> list[PlannedFile]:
    """Return images of the run before that nobody could do any more."""
    known = {file.name for file in files}
    out = manifest.path.parent
    return [
        PlannedFile(
            path,
            out / f"{name}.tif",
            name,
            FormatError(f"{path} is gone", remedy="Put it back."),
        )
        for name, path in manifest.lost().items()
        if name not in known
    ]


def _look(path: Path) -> Stamp:
    """Note how a file is before it is read, and whether it can be."""
    try:
        if path.is_file():
            path.open("rb").close()
        return Stamp.of(path)
    except FileNotFoundError as error:
        raise FormatError(f"{path} does not exist", remedy="Check the path.") from error
    except OSError as error:
        raise FormatError(
            f"cannot read {path}",
            error.strerror or str(error),
            "Check its permissions.",
        ) from error


def _sentence(file: PlannedFile, error: BaseException) -> str:
    """Say why a file failed, with its name and on one line."""
    text = " ".join(str(error).split()) or "not enough memory"
    return text if str(file.path) in text else f"{file.path}: {text}"
