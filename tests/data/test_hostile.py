"""Files made to do harm: refused with a clear message, nothing run, little memory."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile
import zarr
from annotations import awkward, image_of
from PIL import Image

from napari_seg.data.formats.files import image_of_stem
from napari_seg.data.formats.pickled import as_array, read_dict
from napari_seg.data.formats.registry import FORMATS
from napari_seg.data.io import read_image, read_labels, write_picture
from napari_seg.data.limits import LARGEST_BYTES, check_density, check_size, inside
from napari_seg.errors import FormatError

TEN_GB = 50_000  # squared, times four bytes
MUCH = 64 * 2**20


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Fail where a test takes much memory, whatever the message is."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MUCH


# Pickles.


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._reduced = (call, arguments)

    def __reduce__(self) -> Any:
        return self._reduced


def touch(path: str) -> None:
    Path(path).write_text("run")


def save(path: Path, content: Any) -> Path:
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        list(FORMATS["cellpose"].read(path, None))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_nothing_in_a_pickle_is_run(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    masks = np.ones((3, 3), np.int32)
    for number, call in enumerate((touch, exec, eval, __import__, getattr, open)):
        text = f"open({str(mark)!r}, 'w')" if call in (exec, eval) else str(mark)
        content = {"masks": masks, "flows": [Bomb(call, text)]}
        path = tmp_path / f"{number}_seg.npy"
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|O", "fortran_order": False, "shape": ()}
            )
            pickle.dump(np.array(content, object), file, protocol=protocol)
        refused(path, r"no array.*Nothing in it was run")
    assert not mark.exists()


def test_what_cellpose_saves_is_read(tmp_path: Path) -> None:
    masks = np.asfortranarray(np.arange(6, dtype=">u2").reshape(2, 3))
    content = {
        "masks": masks, "text": "a", "number": np.float32(0.5), "none": None,
        "list": [1, 2.5, True, b"x"], "big": 2**80, "flag": np.bool_(True),
        "tuple": (np.zeros(3),),
    }  # fmt: skip
    found = read_dict(save(tmp_path / "a_seg.npy", content))
    np.testing.assert_array_equal(as_array(found["masks"], "a"), masks)
    assert as_array(found["masks"], "a").dtype == masks.dtype
    for key in ("text", "number", "none", "list", "big", "flag"):
        assert found[key] == content[key]
    np.testing.assert_array_equal(as_array(found["tuple"][0], "a"), np.zeros(3))
    with pytest.raises(FormatError, match="str and no array"):
        as_array(found["text"], "a")


@pytest.mark.parametrize(
    "content", [[1], 3, {"other": 1}, {"masks": 1}, {"masks": np.zeros(3)}]
)
def test_other_values_are_no_masks(tmp_path: Path, content: Any) -> None:
    refused(save(tmp_path / "a_seg.npy", content), "a_seg.npy")


def patched(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


def test_arrays_that_declare_more_than_they_hold(tmp_path: Path) -> None:
    masks = np.zeros((321, 123), np.int32)
    path = save(tmp_path / "a_seg.npy", {"masks": masks})
    # 321 and 123 as the pickle writes them, to 50000 and 50000
    huge = b"J" + TEN_GB.to_bytes(4, "little")
    patched(path, b"M" + (321).to_bytes(2, "little") + b"K\x7b", huge + huge)
    refused(path, "too large")
    path = save(tmp_path / "b_seg.npy", {"masks": masks})
    rows = [b"M" + n.to_bytes(2, "little") for n in (321, 421)]
    patched(path, *rows)
    refused(path, r"\(421, 123\)")


def opcodes(path: Path, content: bytes) -> Path:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        file.write(b"\x80\x04" + content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        # NumPy's own maker of arrays would take 10 GB here
        b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85"
        b"C\x01bt\x52.",
        b"\x8e" + (10**10).to_bytes(8, "little") + b"x.",  # bytes of 10 GB
        b"\x8d" + (10**10).to_bytes(8, "little") + b"x.",  # text of 10 GB
        b"\x95" + (10**10).to_bytes(8, "little") + b"N.",  # a frame of 10 GB
        b"Nr\xff\xff\xff\x7f.",  # a memo of two thousand million places
        b"cnumpy\ndtype\n}b.",  # changes what makes number types
        b"cnumpy\ndtype\nN}\x8c\x05_makeNs\x86b.",
        b"N.",
        b"",
        b"(" * 1000,
    ],
)
def test_pickles_made_by_hand(tmp_path: Path, content: bytes) -> None:
    refused(opcodes(tmp_path / "a_seg.npy", content), "a_seg.npy")


def test_the_makers_of_arrays_stay_what_they_are(tmp_path: Path) -> None:
    for state in (b"}", b"N}\x8c\x05_makeNs\x86"):
        refused(
            opcodes(tmp_path / "a_seg.npy", b"cnumpy\ndtype\n" + state + b"b."),
            "makes arrays",
        )
    path = save(tmp_path / "b_seg.npy", {"masks": np.ones((2, 2), np.int32)})
    assert as_array(read_dict(path)["masks"], "b").sum() == 4


def test_npy_files_that_hold_no_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "a_seg.npy"
    np.save(path, np.zeros((3, 3)))
    refused(path, r"shape \(3, 3\)")
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (TEN_GB, TEN_GB)}
        )
    refused(path, "50000")
    path.write_bytes(b"\x93NUMPY\x09\x00zzzz")
    refused(path, "a_seg.npy")
    path.write_bytes(b"")
    refused(path, "a_seg.npy")


def test_a_file_name_in_a_pickle_is_not_followed(tmp_path: Path) -> None:
    write_picture(tmp_path / "secret.tif", image_of((2, 3)), "YX")
    (tmp_path / "in").mkdir()
    content = {"masks": np.ones((2, 3), np.int32), "filename": "../secret.tif"}
    (item,) = FORMATS["cellpose"].read(save(tmp_path / "in/a_seg.npy", content), None)
    assert item.image is None


# Names.


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "/etc/passwd",
        "x/../../a.png",
        "..\\a.png",
        "C:\\a.png",
        "",
        3,
        "a\0b",
    ],
)
def test_names_that_lead_out_of_the_folder(tmp_path: Path, name: Any) -> None:
    with pytest.raises(FormatError, match="leads out"):
        inside(tmp_path, name)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").touch()
    (tmp_path / "in/a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(FormatError, match="leads out"):
        inside(tmp_path / "in", "a.png")
    with pytest.raises(FormatError, match="leads out"):
        image_of_stem("../secret", [tmp_path / "in"])
    assert inside(tmp_path, "in/b.png") == tmp_path / "in" / "b.png"


def zip_of(path: Path, *names: str, content: bytes = b"x") -> Path:
    write_picture(path.with_suffix(".tif"), image_of((20, 20)), "YX")
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name", ["../../evil.roi", "/evil.roi", "a/../../b.roi", "..\\x"]
)
def test_zips_with_names_that_lead_out(tmp_path: Path, name: str) -> None:
    good = roifile.ImagejRoi.frompoints(np.array([[1, 1], [5, 1], [5, 5]])).tobytes()
    (tmp_path / "in").mkdir()
    path = zip_of(tmp_path / "in/a.zip", name, content=good)
    with pytest.raises(FormatError, match="leads out of it"):
        list(FORMATS["imagej-roi"].read(path, None))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tif", "a.zip", "in"]


def test_zips_that_unpack_to_too_much(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_picture(tmp_path / "a.tif", image_of((20, 20)), "YX")
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.roi", "w") as member,
    ):
        for _ in range(40):
            member.write(bytes(2**20))
    with pytest.raises(FormatError, match="too much"):
        list(FORMATS["imagej-roi"].read(path, None))


def composite(size: int, numbers: list[float]) -> bytes:
    roi = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, shape_roi_size=size,
        multi_coordinates=np.array(numbers, np.float32), left=1, right=5, bottom=5,
    )  # fmt: skip
    return roi.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"Iout" + bytes(80),
        b"Iout\x00\xe5\x00\x00" + b"\xff" * 100,
        composite(2**30, [0, 1, 1]),
        composite(3, [7, 1, 1]),
        composite(3, [2, 1, 1]),
        composite(2, [0, 1]),
        composite(9, [0, np.nan, 1, 1, 5, 1, 1, np.inf, 5]),
    ],
)
def test_rois_that_are_damaged(tmp_path: Path, content: bytes) -> None:
    path = zip_of(tmp_path / "a.zip", "a.roi", content=content)
    with pytest.raises(FormatError, match=r"a\.zip"):
        list(FORMATS["imagej-roi"].read(path, None))


def test_what_is_no_zip(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip")
    path.write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(FormatError, match="not a zip of ROIs"):
        list(FORMATS["imagej-roi"].read(path, None))


# COCO.


def coco(folder: Path, segmentation: Any = None, **image: Any) -> Path:
    entry = {"id": 1, "file_name": "a.png", "height": 8, "width": 9, **image}
    annotation = {
        "id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation,
    }  # fmt: skip
    stored = {
        "images": [entry],
        "annotations": [annotation] if segmentation is not None else [],
        "categories": [{"id": 1, "name": "cell"}],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(stored))
    return path


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "x/../../secret.png"])
@pytest.mark.parametrize("images", [None, "in"])
def test_coco_images_outside_the_folder(
    tmp_path: Path, name: str, images: str | None
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "secret.png")
    path = coco(tmp_path / "in", file_name=name)
    folder = tmp_path / images if images else None
    with pytest.raises(FormatError, match="leads out"):
        list(FORMATS["coco"].read(path, folder))


@pytest.mark.parametrize(
    "segmentation",
    [
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, float("nan"), 0, 5, 5]],
        [[0, 0, 1, 1]],
        [[0, 0, 5, 0, 5]],
        [["a"] * 6],
        [],
        3,
        "x",
        {"size": [8, 9], "counts": "1000"},
        {"size": [8, 9], "counts": ""},
        {"size": [8, 9], "counts": "zzzzzz"},
        {"size": [8, 9], "counts": "\u00e9"},
        {"size": [TEN_GB, TEN_GB], "counts": [TEN_GB**2]},
        {"size": [8, 9], "counts": [80, -8]},
        {"size": [8, 9], "counts": [1]},
        {"size": [8, 9]},
    ],
)
def test_outlines_that_are_none(tmp_path: Path, segmentation: Any) -> None:
    with pytest.raises(FormatError, match="COCO"):
        list(FORMATS["coco"].read(coco(tmp_path, segmentation), None))


@pytest.mark.parametrize(
    "fields",
    [
        {"height": TEN_GB, "width": TEN_GB},
        {"height": -1},
        {"height": "x"},
        {"height": None},
        {"file_name": None},
        {"spacing_um": 3},
        {"spacing_um": [1]},
        {"split": "../../evil"},
        {"provenance": 3},
    ],
)
def test_images_that_are_none(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        list(FORMATS["coco"].read(coco(tmp_path, **fields), None))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"images": 3, "annotations": []}'])
@pytest.mark.parametrize("name", ["coco", "coco-panoptic"])
def test_json_that_is_no_coco(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(FormatError, match=r"c\.json"):
        list(FORMATS[name].read(tmp_path / "c.json", None))


def test_two_images_of_one_id(tmp_path: Path) -> None:
    path = coco(tmp_path)
    stored = json.loads(path.read_text())
    stored["images"] *= 2
    path.write_text(json.dumps(stored))
    with pytest.raises(FormatError, match="two images"):
        list(FORMATS["coco"].read(path, None))


def test_a_panoptic_png_outside_the_folder(tmp_path: Path) -> None:
    FORMATS["coco-panoptic"].write([awkward()], tmp_path / "out")
    path = tmp_path / "out/panoptic.json"
    path.write_text(path.read_text().replace('"cells.png", "seg', '"../a.png", "seg'))
    with pytest.raises(FormatError, match="leads out"):
        list(FORMATS["coco-panoptic"].read(path, None))


# Declared sizes.


def bomb_tiff(path: Path) -> Path:
    """Write a TIFF of a few hundred bytes that declares 10 GB."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((7, 9), np.int32), metadata=None)
    content = buffer.getvalue()
    with tifffile.TiffFile(io.BytesIO(content)) as tif:
        tags = tif.pages.first.tags
        places = [tags[n].valueoffset for n in ("ImageWidth", "ImageLength")]
        places.append(tags["RowsPerStrip"].valueoffset)
    changed = bytearray(content)
    for place in places:
        changed[place : place + 2] = TEN_GB.to_bytes(2, "little")
    path.write_bytes(bytes(changed))
    return path


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_a_tiff_that_declares_ten_gigabytes(tmp_path: Path, read: Any) -> None:
    path = bomb_tiff(tmp_path / "a.tif")
    assert path.stat().st_size < 1000
    with pytest.raises(FormatError, match=r"a\.tif declares more than it can hold"):
        read(path)


def test_a_png_that_declares_ten_gigabytes(tmp_path: Path) -> None:
    size = TEN_GB.to_bytes(4, "big") * 2
    header = b"IHDR" + size + bytes([8, 0, 0, 0, 0])
    content = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header
    (tmp_path / "a.png").write_bytes(
        content + zlib.crc32(header).to_bytes(4, "big") + bytes(4) + b"IDAT" + bytes(4)
    )
    with pytest.raises(FormatError, match="decompression bomb"):
        read_image(tmp_path / "a.png")
    with pytest.raises(FormatError, match="decompression bomb"):
        list(FORMATS["coco"].read(coco(tmp_path), None))


def test_labels_that_are_too_large_for_memory(tmp_path: Path) -> None:
    zarr.create_array(
        tmp_path / "a.zarr", shape=(TEN_GB, TEN_GB), chunks=(1000, 1000), dtype="u1"
    )
    assert read_image(tmp_path / "a.zarr").array.shape == (TEN_GB, TEN_GB)
    with pytest.raises(FormatError, match=r"too large .*9\.31 GB"):
        read_labels(tmp_path / "a.zarr")


def test_sizes_and_densities(tmp_path: Path) -> None:
    check_size((10, LARGEST_BYTES // 10), 1, "a")
    for shape in ((2, LARGEST_BYTES), (-1, 3)):
        with pytest.raises(FormatError):
            check_size(shape, 1, "a")
    (tmp_path / "a").write_bytes(bytes(1000))
    check_density(60 * 2**20, tmp_path / "a")
    with pytest.raises(FormatError, match="1000 bytes"):
        check_density(70 * 2**20, tmp_path / "a")


def test_an_image_with_other_labels_inside_an_ome_zarr(tmp_path: Path) -> None:
    FORMATS["ome-zarr"].write([awkward()], tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr/labels", mode="a")
    for labels in (["../../b"], [], ["objects", "more"], 3, ["gone"]):
        group.attrs["ome"] = {**group.attrs["ome"], "labels": labels}
        with pytest.raises(FormatError):
            list(FORMATS["ome-zarr"].read(tmp_path / "a.zarr", None))
