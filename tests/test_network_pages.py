"""The pages about networks: complete, up to date, and their example runs."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_seg
from docs.make_network_table import FACTS, PAGE, PICTURES, facts, with_table
from napari_seg.models.registry import ARCHITECTURES
from napari_seg.models.specs.measured import measurements

HOW = PAGE.with_name("add-an-architecture.md")
PAGE_TEXT = PAGE.read_text(encoding="utf-8")


def test_table_and_facts_are_what_is_counted_and_measured() -> None:
    known = facts()
    renew = "run `python -m docs.make_network_table`"
    assert json.loads(FACTS.read_text(encoding="utf-8")) == known, renew
    assert with_table(PAGE_TEXT, known) == PAGE_TEXT, renew
    assert measurements() == known


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_network_has_a_picture_three_sentences_and_a_source(name: str) -> None:
    assert (PICTURES / f"{name}.png").stat().st_size > 500
    marker = f"![{name}](images/networks/{name}.png)\n"
    assert marker in PAGE_TEXT
    about = PAGE_TEXT.partition(marker)[2].partition("\n\n")[0]
    spec = ARCHITECTURES[name]
    assert f"(`{name}`)" in about
    assert about.startswith(f"**{spec.title}**")
    for source in re.findall(r"arXiv:[\d.]+\d", spec.paper):
        assert source in about
    sentences = re.split(r"(?<=[a-z0-9)])\. (?=[A-Z])", about.replace("\n", " "))
    assert 3 <= len(sentences) <= 6


def example() -> str:
    text = HOW.read_text(encoding="utf-8").partition("<!-- example -->\n```python\n")[2]
    return text.partition("```")[0]


def test_the_example_is_short() -> None:
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 20


def test_the_example_is_trained_saved_loaded_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    (tmp_path / "shrink.py").write_text(example(), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(ARCHITECTURES)
    try:
        importlib.import_module("shrink")
        assert "shrink" in {entry.name for entry in napari_seg.list_models()}
        image = write_data(tmp_path / "data")
        out = tmp_path / "mine.safetensors"
        napari_seg.train(
            tmp_path / "data",
            architecture="shrink",
            out=out,
            steps=3,
            batch=2,
            patch_px=32,
            device="cpu",
            mixed_precision=False,
        )
        loaded = napari_seg.load_model(out)
        assert loaded.card.architecture == "shrink"
        assert loaded.network.head.in_channels == 8
        found = napari_seg.segment(image, loaded, device="cpu", diameter_px=12)
        assert found.labels.shape == image.shape
        assert found.probabilities.shape[1:] == image.shape
    finally:
        ARCHITECTURES.clear()
        ARCHITECTURES.update(before)
        sys.modules.pop("shrink", None)


def write_data(folder: Path) -> np.ndarray:
    """Write two images of discs with labels; return one."""
    import tifffile

    y, x = np.indices((64, 64))
    labels = np.zeros((64, 64), np.uint16)
    for number, (row, column) in enumerate([(16, 16), (16, 44), (46, 30)], start=1):
        labels[(y - row) ** 2 + (x - column) ** 2 < 6**2] = number
    image = ((labels > 0) * 200).astype(np.uint8)
    for kind, values in (("images", image), ("labels", labels)):
        (folder / kind).mkdir(parents=True)
        for name in ("a", "b"):
            tifffile.imwrite(folder / kind / f"{name}.tif", values)
    return image
