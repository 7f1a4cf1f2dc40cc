"""Write table and pictures of "Which model?": ``python -m docs.make_network_table``.

Sizes are counted here. Scores and speed are those of ``benchmarks/family.py``: give the
folder of its ``--cache`` to take over new ones. They are kept in
``resources/networks.json``, for the Train panel and for ``napari-seg models``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from napari_seg.models.registry import ARCHITECTURES, build_network

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "which-model.md"
PICTURES = Path(__file__).parent / "images" / "networks"
FACTS = ROOT / "resources" / "networks.json"
START, END = "<!-- networks -->\n", "<!-- /networks -->"
COLUMNS = {
    "AP@0.5": "{:.3f}",
    "mean IoU": "{:.3f}",
    "boundary F": "{:.3f}",
    "Mpx/s": "{:.2f}",
    "training MB": "{:.0f}",
}
"""Columns of the benchmark, and their format."""
UNKNOWN = "-"
CHANNELS, CLASSES = 1, 3
"""Of the networks counted: background, interior and border in a grey image."""


def facts(results: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return what is counted and what was measured, by name.

    Parameters
    ----------
    results : Path, optional
        Folder with a file a network, as the benchmark keeps them; those it has take the
        place of older ones.
    """
    known = json.loads(FACTS.read_text(encoding="utf-8")) if FACTS.is_file() else {}
    for file in results.glob("*.json") if results is not None else ():
        known[file.stem] = json.loads(file.read_text(encoding="utf-8"))
    found = {}
    for name in sorted(ARCHITECTURES):
        own = known.get(name, {})
        measured = {key: round(own[key], 4) for key in COLUMNS if key in own}
        found[name] = {"parameters": count_parameters(name), **measured}
    return found


def count_parameters(name: str) -> int:
    """Count the parameters of what is trained by default."""
    import torch

    with torch.device("meta"):
        network = build_network(
            name,
            in_channels=CHANNELS,
            num_classes=CLASSES,
            **ARCHITECTURES[name].training_arguments,
        )
    return sum(parameter.numel() for parameter in network.parameters())


def table(known: dict[str, dict[str, Any]]) -> str:
    """Return one row for each network, by year.

    Returns
    -------
    str
        Markdown, with a line break at the end.
    """
    head = ("network", "year", "family", "good at", "parameters", *COLUMNS)
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for spec in sorted(ARCHITECTURES.values(), key=lambda s: (s.year, s.name)):
        own = known[spec.name]
        cells = (
            f"`{spec.name}`",
            str(spec.year),
            spec.family,
            spec.good_at,
            f"{own['parameters'] / 1e6:.2f} M",
            *(
                form.format(own[key]) if key in own else UNKNOWN
                for key, form in COLUMNS.items()
            ),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def with_table(page: str, known: dict[str, dict[str, Any]]) -> str:
    """Return the page's text with the table between its markers renewed."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + START + table(known) + END + after


def paint_pictures() -> None:
    """Paint the structure of each network, for light and dark pages alike."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from qtpy.QtCore import QRectF, Qt
    from qtpy.QtGui import QColor, QGuiApplication, QImage, QPainter

    from napari_seg.gui.panels.sketch import paint_sketch

    application = QGuiApplication.instance() or QGuiApplication([])
    assert application is not None
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in ARCHITECTURES:
        image = QImage(480, 116, QImage.Format.Format_ARGB32)
        image.fill(Qt.GlobalColor.transparent)
        image.setDevicePixelRatio(2)
        painter = QPainter(image)
        paint_sketch(painter, QRectF(0, 0, 240, 58), name, QColor("gray"))
        painter.end()
        image.save(str(PICTURES / f"{name}.png"))


if __name__ == "__main__":
    found = facts(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    FACTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_table(page, found), encoding="utf-8")
    paint_pictures()
    print(table(found))
