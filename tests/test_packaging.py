"""What is in the wheel, the sdist and the editable install."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import napari_seg

ROOT = Path(__file__).parents[1]
DATA_SUFFIXES = {".tif", ".safetensors", ".json", ".svg", ".png", ".md"}
RESOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "resources").rglob("*")
    if path.suffix in DATA_SUFFIXES
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what is packaged: building would leave files in the tree."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("napari_seg", "resources"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an sdist, and a wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_there_are_resources_to_look_for() -> None:
    assert "resources/samples/nuclei.tif" in RESOURCES
    assert "resources/samples/SOURCES.md" in RESOURCES


def test_wheel_holds_resources_manifest_and_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"napari_seg/{name}" for name in RESOURCES}
    expected |= {"napari_seg/napari.yaml", "napari_seg/resources/__init__.py"}
    assert expected <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"napari_seg"}


def test_wheel_names_entry_points_and_no_qt_binding(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    info = f"napari_seg-{napari_seg.__version__}.dist-info"
    points = archive.read(f"{info}/entry_points.txt").decode()
    assert "napari-seg = napari_seg.cli:main" in points
    assert "napari-seg = napari_seg:napari.yaml" in points
    metadata = archive.read(f"{info}/METADATA").decode()
    assert "License: GPL-3.0-or-later" in metadata
    required = [
        line
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist") and "extra ==" not in line
    ]
    assert any("torch" in line for line in required)
    assert not any("Qt5" in line or "Qt6" in line for line in required)


def test_sdist_holds_the_sources_and_resources(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(RESOURCES) <= names
    assert {"setup.cfg", "LICENSE", "napari_seg/napari.yaml"} <= names


def test_editable_install_finds_the_resources(source: Path, tmp_path: Path) -> None:
    make = "import sys, setuptools.build_meta as b; b.build_editable(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", make, tmp_path],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    look = (
        "import site, sys; site.addsitedir(sys.argv[1])\n"
        "from importlib.resources import files\n"
        "found = files('napari_seg.resources') / 'samples' / 'nuclei.tif'\n"
        "assert found.is_file()\n"
        "sys.stdout.write(str(found))"
    )
    done = subprocess.run(
        # without the environment's own packages, where napari_seg may be installed
        [sys.executable, "-I", "-S", "-c", look, site],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout).is_relative_to(source)


def test_every_package_is_listed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options"]["packages"].split()
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "napari_seg").rglob("*.py")
    }
    assert sorted(listed) == sorted(folders | {"napari_seg.resources"})


def test_version_stands_in_one_place() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["metadata"]["version"] == "attr: napari_seg.__version__"
