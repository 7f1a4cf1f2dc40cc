"""Write table and pictures of "Which model?": ``python -m docs.make_network_table``.

Sizes are counted here, scores and speed are those of ``benchmarks/family.py``, where it
has written them. The same facts go to ``resources/networks.json``, for the Train panel.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from napari_seg.models.registry import ARCHITECTURES, build_network

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "which-model.md"
PICTURES = Path(__file__).parent / "images" / "networks"
MEASURED = ROOT / "benchmarks" / "family.json"
FACTS = ROOT / "resources" / "networks.json"
START, END = "<!-- networks -->\n", "<!-- /networks -->"
COLUMNS = {
    "ap_0.50": ("AP@0.5", "{:.3f}"),
    "mean_iou": ("mean IoU", "{:.3f}"),
    "boundary_f": ("boundary F", "{:.3f}"),
    "megapixels_per_s": ("Mpx/s", "{:.2f}"),
    "memory_gb": ("memory, GB", "{:.1f}"),
}
"""Keys of the measurements, with title and format."""
UNKNOWN = "-"
CHANNELS, CLASSES = 1, 3
"""Of the networks counted: background, interior and border in a grey image."""


def facts() -> dict[str, dict[str, Any]]:
    """Return what was counted and measured, by name."""
    measured = {}
    if MEASURED.is_file():
        measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    return {
        name: {"parameters": count_parameters(name)}
        | {key: measured[name][key] for key in COLUMNS if key in measured.get(name, {})}
        for name in sorted(ARCHITECTURES)
    }


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
    titles = [title for title, _ in COLUMNS.values()]
    head = ("network", "year", "family", "good at", "parameters", *titles)
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
                for key, (_, form) in COLUMNS.items()
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
    found = facts()
    FACTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_table(page, found), encoding="utf-8")
    paint_pictures()
    print(table(found))
