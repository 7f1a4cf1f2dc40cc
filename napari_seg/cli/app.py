"""The ``napari-seg`` application: its commands and how errors are shown."""

from __future__ import annotations

import typer

app = typer.Typer(name="napari-seg", help="Segment microscopy images.")


@app.command()
def models() -> None:
    """List shipped and user checkpoints, and every architecture."""


def main() -> None:
    """Run the command line."""
    app()
