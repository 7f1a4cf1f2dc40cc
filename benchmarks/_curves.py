"""A picture of learning curves, for who would rather look than read a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator


def draw_curves(
    rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], path: Path
) -> None:
    """Draw AP over the number of images, a panel a set and a line a mode.

    Parameters
    ----------
    rows : sequence of mapping
        With ``set``, ``images``, ``mode``, ``AP before`` and ``AP after``.
    names : mapping
        Modes in the order of the legend, and what they are called there.
    path : Path
        Its suffix decides on the format.
    """
    sets = list(dict.fromkeys(row["set"] for row in rows))
    figure = Figure(figsize=(3.1 * len(sets), 3.2), layout="constrained")
    panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, sets, strict=True):
        here = [row for row in rows if row["set"] == name]
        for mode, label in names.items():
            line = sorted(
                (r["images"], r["AP after"]) for r in here if r["mode"] == mode
            )
            if line:
                panel.plot(*zip(*line, strict=True), marker="o", label=label)
        start = here[0]["AP before"]
        panel.axhline(start, color="grey", linestyle=":", label="before")
        panel.set_title(name, fontsize=10)
        panel.set_xlabel("training images")
        panel.xaxis.set_major_locator(FixedLocator(sorted({r["images"] for r in here})))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("AP at IoU 0.5")
    panels[0].set_ylim(0, None)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.savefig(path, dpi=110)
