"""Write the README's model table from the cards: ``python -m docs.make_model_table``.

The scores are those in each card; the section below the table
says which commands reproduce them.
"""

from __future__ import annotations

from pathlib import Path

from napari_seg.models.catalogue import list_models

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- models -->\n", "<!-- /models -->"
SCORES = ("ap_0.50", "ap_0.75", "ap_0.90", "mean_ap")


def table() -> str:
    """Return one row for each shipped checkpoint.

    Returns
    -------
    str
        Markdown, with a line break at the end.
    """
    head = ("model", "for", "object diameter", *_titles(), "weights' licence", "size")
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for entry in list_models():
        if entry.kind != "shipped" or entry.card is None or entry.path is None:
            continue
        card = entry.card
        cells = (
            f"`{entry.name}`",
            card.description,
            f"{card.object_diameter_px:.0f} px",
            *(f"{card.scores[score]:.3f}" for score in SCORES),
            card.licence,
            f"{entry.path.stat().st_size / 1e6:.1f} MB",
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _titles() -> tuple[str, ...]:
    return ("AP@0.5", "AP@0.75", "AP@0.9", "AP 0.5..0.95")


def with_table(readme: str) -> str:
    """Return the README's text with the table between its markers renewed."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return before + START + table() + END + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(table())
