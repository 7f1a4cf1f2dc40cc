"""What may import what, and how large a file may grow."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import napari_seg

ROOT = Path(napari_seg.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
WINDOW = {"napari", "qtpy", "PyQt5", "PyQt6", "magicgui", "superqt", "vispy"}
OUTWARD = ("napari_seg.gui", "napari_seg.cli", "napari_seg.__main__")
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages([str(ROOT)], "napari_seg.")
    if not info.name.startswith("napari_seg.__main__")
)
CORE = [name for name in MODULES if not name.startswith(OUTWARD)]

MAX_FILE_LINES = 400
MAX_BODY_LINES = 50
MAX_CLASS_LINES = 300


def loaded_by(*modules: str) -> set[str]:
    """Return the top-level packages in memory after importing modules afresh."""
    code = (
        "import importlib, json, sys\n"
        f"for name in {list(modules)!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_imports_point_inwards_only() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--config", ROOT.parent / "pyproject.toml", "--no-cache"],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_import_of_the_package_is_light() -> None:
    loaded = loaded_by("napari_seg")
    assert not loaded & (WINDOW | {"torch", "skimage", "scipy", "dask", "zarr"})


def test_command_line_starts_without_torch_napari_or_qt() -> None:
    assert not loaded_by("napari_seg.cli") & (WINDOW | {"torch", "skimage", "scipy"})


def test_no_core_module_loads_napari_or_qt() -> None:
    assert len(CORE) > 20
    assert not loaded_by(*CORE) & WINDOW


@pytest.mark.parametrize("package", ["imaging", "refine", "data"])
def test_numerics_and_files_load_no_torch(package: str) -> None:
    prefix = f"napari_seg.{package}"
    names = [n for n in CORE if n == prefix or n.startswith(f"{prefix}.")]
    assert names
    assert not loaded_by(*names) & {"torch", "torchvision"}


def test_the_widget_loads_no_torch() -> None:
    assert "torch" not in loaded_by("napari_seg.gui.widget")


def test_the_model_list_loads_no_torch() -> None:
    assert "torch" not in loaded_by("napari_seg.models.catalogue")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_functions_and_classes_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= MAX_BODY_LINES, f"{node.name}: {lines} lines"
        elif isinstance(node, ast.ClassDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_CLASS_LINES, f"{node.name}: {lines} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_code_prints_or_swallows_every_exception(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            names = (
                {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
                if (node.type)
                else {"everything"}
            )
            assert not names & {"everything", "Exception"}, f"line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"line {node.lineno}"
