"""The loss curve on disk: one line a step, joined when a run is resumed."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_seg.imaging.metrics import Metrics
    from napari_seg.training.state import Progression

HEAD = ("step", "seconds", "loss", "learning_rate", "ap_0.50", "mean_ap")


@dataclass(frozen=True)
class CurvePoint:
    """One step of a run."""

    step: int
    """Number of the step, from 1."""
    seconds: float
    """Seconds of training until then, pauses left out."""
    loss: float
    """Training loss."""
    learning_rate: float
    """Learning rate."""
    ap: float | None = None
    """Validation AP at IoU 0.5, where it was validated."""
    mean_ap: float | None = None
    """Validation mean AP, where it was validated."""


def curve_path(out: Path) -> Path:
    """Where the loss curve of a run with this output lies."""
    return out.with_name(out.name + ".log.csv")


def read_curve(out: str | Path) -> list[CurvePoint]:
    """Read the loss curve of a run; empty if there is none.

    Parameters
    ----------
    out : str or Path
        The checkpoint that the run writes.

    Returns
    -------
    list of CurvePoint
        By step. A last line that was cut off by a crash is left out.
    """
    path = curve_path(Path(out))
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    rows = list(csv.reader(whole))[1:]
    return [_point(row) for row in rows if len(row) == len(HEAD)]


def _point(row: list[str]) -> CurvePoint:
    ap, mean_ap = (float(cell) if cell else None for cell in row[4:])
    return CurvePoint(
        int(row[0]), float(row[1]), float(row[2]), float(row[3]), ap, mean_ap
    )


class CurveLog:
    """Writes the curve line by line, so that a killed run leaves all of its steps.

    Parameters
    ----------
    out : Path
        The checkpoint that the run writes.
    first_step : int
        Steps the run has already done. Lines after them were written by a sitting
        that died before it saved its state; those steps are done again.
    """

    def __init__(self, out: Path, first_step: int) -> None:
        kept = [point for point in read_curve(out) if point.step <= first_step]
        path = curve_path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(HEAD)
        for point in kept:
            self._write(point)
        self._file.flush()

    def __enter__(self) -> CurveLog:
        """Return the log itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def add(
        self,
        done: Progression,
        loss: float,
        learning_rate: float,
        found: Metrics | None,
    ) -> None:
        """Append the step that was just done, with its validation if there was one."""
        ap = None if found is None else found.average_precision(0.5)
        mean = None if found is None else found.mean_ap
        self._write(
            CurvePoint(done.step, done.elapsed_s, loss, learning_rate, ap, mean)
        )
        self._file.flush()

    def _write(self, point: CurvePoint) -> None:
        scores = ["" if v is None else f"{v:.4f}" for v in (point.ap, point.mean_ap)]
        loss = f"{point.loss:.9g}" if math.isfinite(point.loss) else "nan"
        self._writer.writerow(
            [
                point.step,
                f"{point.seconds:.3f}",
                loss,
                f"{point.learning_rate:.6g}",
                *scores,
            ]
        )
