"""``napari-seg models``: what there is to segment with and to train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seg.cli.output import emit_json, say

if TYPE_CHECKING:
    from napari_seg.models.catalogue import ModelEntry


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
            say(title)
            _say_entries(listed)


def _say_entries(entries: list[ModelEntry]) -> None:
    """Write one line each; architectures by family, the oldest first."""
    from napari_seg.models.registry import ARCHITECTURES

    width = max(len(entry.name) for entry in entries)
    families: dict[str, list[ModelEntry]] = {}
    years = {name: spec.year for name, spec in ARCHITECTURES.items()}
    for entry in sorted(entries, key=lambda entry: years.get(entry.name, 0)):
        is_new = entry.kind == "architecture"
        family = ARCHITECTURES[entry.name].family if is_new else ""
        families.setdefault(family, []).append(entry)
    for family, members in families.items():
        if family:
            say(f"  {family}")
        for entry in members:
            say(f"  {'  ' if family else ''}{entry.name:<{width}}  {entry.summary}")


def _as_dict(entry: Any) -> dict[str, Any]:
    """Return a ModelEntry as plain values."""
    from dataclasses import asdict

    from napari_seg.models.registry import ARCHITECTURES
    from napari_seg.models.specs.measured import measurements

    facts = ("title", "family", "authors", "year", "paper", "good_at", "ndims")
    is_new = entry.kind == "architecture"
    spec = ARCHITECTURES[entry.name] if is_new else None
    return {
        "name": entry.name,
        "kind": entry.kind,
        "path": str(entry.path) if entry.path else None,
        "summary": entry.summary,
        "card": asdict(entry.card) if entry.card else None,
        "architecture": (
            {f: getattr(spec, f) for f in facts} | measurements().get(spec.name, {})
            if spec is not None
            else None
        ),
    }
