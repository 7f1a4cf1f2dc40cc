"""The ``napari-seg`` application: its commands and how errors are shown."""

from __future__ import annotations

import sys

import typer

from napari_seg.cli.average import average
from napari_seg.cli.convert import convert
from napari_seg.cli.demo import demo
from napari_seg.cli.doctor import doctor
from napari_seg.cli.evaluate import evaluate
from napari_seg.cli.models import models
from napari_seg.cli.output import EXIT_BAD_INPUT, emit_json, warn
from napari_seg.cli.recipe import run
from napari_seg.cli.segment import segment
from napari_seg.cli.track import track
from napari_seg.cli.train import train
from napari_seg.cli.weightmap import weightmap
from napari_seg.errors import NapariSegError

app = typer.Typer(
    name="napari-seg",
    help="From microscopy image to labels. Without a command: open napari.",
    add_completion=False,
    # Plain text: a bad option is one line that scripts can read, not a drawing.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
COMMANDS = (
    demo, models, segment, track, run, train, average, evaluate, weightmap, convert,
    doctor,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)


@app.callback(invoke_without_command=True)
def _open_napari(context: typer.Context) -> None:
    """From microscopy image to labels. Without a command: open napari."""
    if context.invoked_subcommand is None:
        from napari_seg.gui.launch import open_viewer

        open_viewer()


def main() -> None:
    """Run the command line; an error a user can act on is one line and exit 2."""
    try:
        app()
    except NapariSegError as error:
        warn(str(error))
        if "--json" in sys.argv:
            emit_json({"error": str(error)})
        raise SystemExit(EXIT_BAD_INPUT) from None
