"""What the README and the guide promise is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from docs.make_model_table import with_table
from napari_seg.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fenced(marker: str) -> list[str]:
    """Return the lines of the block after a marker comment."""
    block = README.partition(f"<!-- {marker} -->\n```sh\n")[2].partition("```")[0]
    return block.splitlines()


@pytest.mark.parametrize("marker", ["demo-line", "test-line", "debian-packages"])
def test_set_up_is_one_line_each(marker: str) -> None:
    (line,) = fenced(marker)
    assert line.startswith(("python3 -m venv .venv && ", "apt-get install -y "))


def test_lines_install_extras_that_exist() -> None:
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    extras = setup.partition("[options.extras_require]")[2].partition("\n[")[0]
    named = set(re.findall(r'"\.\[(\w+)\]"', README))
    assert {"pyqt5", "test", "dev"} <= named
    assert named <= set(re.findall(r"^(\w+) =", extras, re.MULTILINE))


def commands() -> list[str]:
    """Return every napari-seg command line in the fenced blocks of the pages."""
    lines = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            lines += re.findall(r"^napari-seg .*$", block, re.MULTILINE)
    return sorted(set(lines))


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_pages_are_understood(line: str) -> None:
    words = shlex.split(line, comments=True)
    known = typer.main.get_command(app).commands[words[1]]
    # parsing, not running: an unknown option or a missing argument raises
    assert known.make_context(words[1], words[2:]).params


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_model_table_is_what_the_cards_say() -> None:
    assert with_table(README) == README
    assert "| `nuclei-unet` |" in README


def test_guide_names_every_key() -> None:
    from napari_seg.gui.shortcuts import ALL, CORRECTION

    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    keys = set(ALL) - set(CORRECTION)
    assert len(keys) > 2
    assert [key.key for key in keys if key.key not in pages] == []


def test_key_table_is_what_the_program_binds() -> None:
    from docs.make_key_table import GUIDE, table, with_table

    guide = GUIDE.read_text(encoding="utf-8")
    assert with_table(guide) == guide
    assert "| `Shift+K` |" in table()
