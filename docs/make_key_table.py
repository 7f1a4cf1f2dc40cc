"""Write the keys into the guide: ``python -m docs.make_key_table``."""

from __future__ import annotations

from pathlib import Path

from napari_seg.gui.shortcuts import ALL, CORRECTION, NAPARI

GUIDE = Path(__file__).parent / "correct.md"
START, END = "<!-- keys -->\n", "<!-- /keys -->"


def table() -> str:
    """Return one row for each key: first the Correct tab's, then the other tabs'.

    Returns
    -------
    str
        Markdown, with a line break at the end.
    """
    others = [shortcut for shortcut in ALL if shortcut not in CORRECTION]
    rows = ["| key | on the *Correct* tab |", "|---|---|"]
    rows += [f"| `{key}` | {action} |" for key, action in (*CORRECTION, *NAPARI)]
    rows += ["", "| key | on the other tabs, images of a folder on all |", "|---|---|"]
    rows += [f"| `{key}` | {action} |" for key, action in others]
    return "\n".join(rows) + "\n"


def with_table(guide: str) -> str:
    """Return the guide's text with the table between its markers renewed.

    Parameters
    ----------
    guide : str
        Must have both markers.
    """
    before, _, rest = guide.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}{table()}{END}{after}"


if __name__ == "__main__":
    GUIDE.write_text(with_table(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
