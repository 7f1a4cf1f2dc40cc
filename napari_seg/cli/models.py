"""``napari-seg models``: what there is to segment with and to train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_seg.cli.output import emit_json, say


def models(
    add: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Copy a checkpoint into your models first."),
    ] = None,
    rename: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="OLD NEW", help="Rename one of your models first."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Delete one of your models first."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """List shipped and user checkpoints, and every architecture."""
    from napari_seg.models.catalogue import list_models
    from napari_seg.models.collection import (
        add_checkpoint,
        remove_checkpoint,
        rename_checkpoint,
    )

    for path in add or ():
        add_checkpoint(path)
    if rename:
        rename_checkpoint(*rename)
    for name in remove or ():
        remove_checkpoint(name)
    entries = list_models()
    if as_json:
        emit_json({"models": [_as_dict(entry) for entry in entries]})
        return
    titles = {
        "shipped": "Checkpoints that come with napari-seg",
        "user": "Your checkpoints",
        "architecture": "Architectures to train",
    }
    for kind, title in titles.items():
        listed = [entry for entry in entries if entry.kind == kind]
        if listed:
            width = max(len(entry.name) for entry in listed)
            say(title)
            for entry in listed:
                say(f"  {entry.name:<{width}}  {entry.summary}")


def _as_dict(entry: Any) -> dict[str, Any]:
    """Return a ModelEntry as plain values."""
    from dataclasses import asdict

    return {
        "name": entry.name,
        "kind": entry.kind,
        "path": str(entry.path) if entry.path else None,
        "summary": entry.summary,
        "card": asdict(entry.card) if entry.card else None,
    }
