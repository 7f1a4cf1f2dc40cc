"""What the commands write: results to stdout, progress and complaints to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import typer

from napari_seg.types import Progress

EXIT_BAD_INPUT = 2
"""Exit code where input could not be used."""

Result = TypeVar("Result")


def say(line: str) -> None:
    """Write one line of the result."""
    typer.echo(line)


def warn(line: str) -> None:
    """Write one line to stderr, whatever line breaks the message came with."""
    typer.echo(f"napari-seg: {' '.join(line.split())}", err=True)


def note(line: str) -> None:
    """Write one line of progress to stderr where no bar shows it."""
    if not sys.stderr.isatty():
        typer.echo(line, err=True)


def time_left(seconds: Sequence[float], left: int) -> str:
    """Say how long the rest will take, from how long each so far took.

    Parameters
    ----------
    seconds : sequence of float
    left : int
        How many are still to be done.

    Returns
    -------
    str
        ``", about 2 h 5 min left"``; empty as long as nothing is known.
    """
    if not seconds or not left:
        return ""
    minutes, rest = divmod(round(sum(seconds) / len(seconds) * left), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f", about {hours} h {minutes} min left"
    return f", about {minutes} min left" if minutes else f", about {rest} s left"


def emit_json(result: dict[str, Any]) -> None:
    """Write the one JSON object of a command run with ``--json``."""
    typer.echo(json.dumps(result, default=str, allow_nan=False))


@contextmanager
def counting(title: str) -> Iterator[Callable[[], None]]:
    """Show on stderr how many images have passed; nobody knows how many there are.

    Yields
    ------
    callable
        To be called for each image.
    """
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    shown = sys.stderr.isatty()
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Bars(*columns, console=Console(stderr=True), disable=not shown) as bars:
        task = bars.add_task(title, total=None)
        count = 0

        def step() -> None:
            nonlocal count
            count += 1
            bars.update(task, description=f"{title}: image {count}")

        yield step


def follow(
    job: Generator[Progress, None, Result],
    title: str,
    on_step: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Drain a job while a bar on stderr shows where it is.

    Parameters
    ----------
    job : generator of Progress
        Closed when this returns or is interrupted, so that it can clean up.
    title : str
        Shown before the bar, e.g. the name of the file.
    on_step : callable, optional
        Called with each `Progress`, for what a bar cannot show.

    Returns
    -------
    object
        What the generator returns.
    """
    from rich.console import Console
    from rich.progress import Progress as Bars

    # Nobody reads a bar in a log file, and each redraw would be a line there.
    shown = sys.stderr.isatty()
    with closing(job), Bars(console=Console(stderr=True), disable=not shown) as bars:
        task = bars.add_task(title, total=None)
        while True:
            try:
                step = next(job)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            on_step(step)
            text = f"{title}: {step.message or step.stage}"
            bars.update(
                task, completed=step.done, total=step.total or None, description=text
            )
