"""Reading and writing images and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seg.data import tiff
from napari_seg.data.io import read_image, read_labels, write_image, write_labels
from napari_seg.errors import AxesError, FormatError, ImageError, LabelsError


def ids(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200_000, shape, dtype=np.int32)


@pytest.mark.parametrize(
    ("axes", "shape", "spacing"),
    [
        ("YX", (50, 60), (0.5, 0.25)),
        ("ZYX", (5, 50, 60), (2.0, 0.5, 0.25)),
        ("TYX", (3, 50, 60), (0.5, 0.25)),
        ("TZYX", (3, 5, 50, 60), (2.0, 0.5, 0.25)),
        ("TYX", (3, 50, 60), None),
        ("YX", (1, 1), None),
        ("TYX", (4, 3, 3), None),
    ],
)
def test_labels_come_back_with_ids_axes_and_spacing(
    tmp_path: Path,
    axes: str,
    shape: tuple[int, ...],
    spacing: tuple[float, ...] | None,
) -> None:
    labels = ids(shape)
    labels[..., 0, 0] = 70_000
    write_labels(tmp_path / "a.tif", labels, axes, spacing)
    back = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(back.array, labels)
    assert back.array.dtype == np.int32
    assert back.axes == axes
    assert back.spacing == (pytest.approx(spacing) if spacing else None)


def test_labels_are_pages_that_imagej_reads_with_its_calibration(
    tmp_path: Path,
) -> None:
    write_labels(tmp_path / "a.tif", ids((4, 9, 8)), "ZYX", (2.0, 0.5, 0.25))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert len(tif.pages) == 4
        page = tif.pages.first
        # ImageJ reads 32-bit signed integers, alone and behind zlib
        assert (page.bitspersample, page.sampleformat) == (32, 2)
        assert page.compression in (1, 8)
        assert page.predictor == 1
        assert page.description.startswith("ImageJ=")
        meta = tif.imagej_metadata
        assert meta is not None
        assert (meta["slices"], meta["unit"], meta["spacing"]) == (4, "um", 2.0)
        numerator, denominator = page.tags["XResolution"].value
        assert numerator / denominator == pytest.approx(4.0)


def test_unusual_axis_order_is_written_in_the_order_imagej_wants(
    tmp_path: Path,
) -> None:
    labels = ids((5, 3, 20, 30))
    write_labels(tmp_path / "a.tif", labels, "ZTYX", (2.0, 0.5, 0.25))
    back = read_labels(tmp_path / "a.tif")
    assert back.axes == "TZYX"
    np.testing.assert_array_equal(back.array, labels.swapaxes(0, 1))


def test_weights_come_back_as_float32(tmp_path: Path) -> None:
    weights = np.linspace(0, 11, 600).reshape(20, 30)
    write_image(tmp_path / "w.tif", weights, "YX", (0.5, 0.5))
    back = read_image(tmp_path / "w.tif")
    assert back.array.dtype == np.float32
    np.testing.assert_allclose(back.array, weights, rtol=1e-6)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_large_stacks_are_read_piece_by_piece(
    tmp_path: Path, compression: str | None
) -> None:
    stack = np.arange(4 * 30 * 40, dtype=np.uint16).reshape(4, 30, 40)
    tifffile.imwrite(
        tmp_path / "s.tif",
        stack,
        imagej=True,
        compression=compression,
        metadata={"axes": "ZYX"},
    )
    lazy = tiff.read_tiff(tmp_path / "s.tif", lazy_bytes=100)
    assert type(lazy.array) is not np.ndarray
    assert lazy.axes == "ZYX"
    np.testing.assert_array_equal(np.asarray(lazy.array[2]), stack[2])


def test_ome_sizes_are_converted_to_micrometres(tmp_path: Path) -> None:
    metadata = {
        "axes": "ZCYX",
        "PhysicalSizeX": 200,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.2,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 0.001,
        "PhysicalSizeZUnit": "mm",
    }
    tifffile.imwrite(
        tmp_path / "o.ome.tif", np.zeros((4, 2, 9, 8), np.uint8), metadata=metadata
    )
    back = read_image(tmp_path / "o.ome.tif")
    assert back.axes == "ZCYX"
    assert back.spacing == pytest.approx((1.0, 0.2, 0.2))


def test_printing_resolution_is_not_taken_for_a_pixel_size(tmp_path: Path) -> None:
    plain = np.zeros((9, 8), np.uint8)
    for name, per_cm in (("screen", 72 / 2.54), ("microscope", 20_000)):
        tifffile.imwrite(
            tmp_path / f"{name}.tif",
            plain,
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
        )
    assert read_image(tmp_path / "screen.tif").spacing is None
    assert read_image(tmp_path / "microscope.tif").spacing == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_is_a_last_channel_axis(tmp_path: Path, suffix: str) -> None:
    from skimage.io import imsave

    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[..., 1] = 9
    imsave(tmp_path / f"c{suffix}", rgb, check_contrast=False)
    back = read_image(tmp_path / f"c{suffix}")
    assert back.axes == "YXC"
    np.testing.assert_array_equal(back.array, rgb)


def test_transparency_is_dropped(tmp_path: Path) -> None:
    from skimage.io import imsave

    rgba = np.zeros((20, 30, 4), np.uint8)
    imsave(tmp_path / "c.png", rgba, check_contrast=False)
    assert read_image(tmp_path / "c.png").array.shape == (20, 30, 3)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_is_read_lazily_with_axes_and_spacing(
    tmp_path: Path, version: str
) -> None:
    import zarr

    values = np.arange(2 * 3 * 9 * 8, dtype=np.uint16).reshape(2, 3, 9, 8)
    group = zarr.open_group(
        tmp_path / "a.zarr", mode="w", zarr_format=2 if version == "0.4" else 3
    )
    group.create_array("0", data=values)
    axes = [
        {"name": "c"},
        {"name": "z", "unit": "micrometer"},
        {"name": "y", "unit": "nanometer"},
        {"name": "x", "unit": "micrometer"},
    ]
    scales = [{"type": "scale", "scale": [1.0, 2.0, 500.0, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scales}]
    multiscales = [{"axes": axes, "datasets": datasets}]
    if version == "0.4":
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    back = read_image(tmp_path / "a.zarr")
    assert back.axes == "CZYX"
    assert back.spacing == pytest.approx((2.0, 0.5, 0.5))
    assert hasattr(back.array, "chunks")
    np.testing.assert_array_equal(np.asarray(back.array[1, 2]), values[1, 2])


def test_bare_zarr_array_is_read(tmp_path: Path) -> None:
    import zarr

    values = np.arange(72, dtype=np.uint8).reshape(9, 8)
    zarr.create_array(tmp_path / "b.zarr", data=values)
    back = read_image(tmp_path / "b.zarr")
    assert back.axes == "YX"
    np.testing.assert_array_equal(np.asarray(back.array), values)


def damage(path: Path) -> None:
    """Write a TIFF cut off in the middle of its pixels."""
    tifffile.imwrite(path, ids((90, 80)), compression="zlib")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.tif", b"not an image"),
        ("empty.tif", b""),
        ("text.png", b"not an image"),
        ("empty.png", b""),
        ("table.csv", b"1,2"),
        ("header.tif", b"II*\x00\xff\xff\xff\x7f"),
    ],
)
def test_what_is_no_image_is_named_in_one_sentence(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=name):
        read_image(tmp_path / name)


def test_truncated_tiff_is_an_error(tmp_path: Path) -> None:
    damage(tmp_path / "cut.tif")
    with pytest.raises(FormatError, match=r"cut\.tif"):
        read_image(tmp_path / "cut.tif")


def test_missing_file_and_foreign_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        read_image(tmp_path / "absent.tif")
    with pytest.raises(FormatError, match="Zarr"):
        read_image(tmp_path)


def test_complex_images_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((9, 8), np.complex64))
    with pytest.raises(ImageError, match="complex64"):
        read_image(tmp_path / "c.tif")


@pytest.mark.parametrize(
    "values",
    [
        np.array([[-1, 2]], np.int32),
        np.array([[0, 2**31]], np.int64),
        np.array([[0.25, 1.0]], np.float32),
        np.array([[0, np.nan]], np.float32),
    ],
)
def test_values_that_are_no_ids_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "l.tif", values)
    with pytest.raises(LabelsError, match=r"l\.tif"):
        read_labels(tmp_path / "l.tif")


def test_float_labels_of_imagej_become_integers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "l.tif", np.array([[0, 70_000]], np.float32))
    back = read_labels(tmp_path / "l.tif")
    assert back.array.dtype == np.int32
    assert back.array.tolist() == [[0, 70_000]]


@pytest.mark.parametrize("bad", [np.zeros((9, 8), np.float32), np.full((9, 8), -1)])
def test_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, bad: np.ndarray
) -> None:
    target = tmp_path / "a.tif"
    write_labels(target, np.ones((9, 8), np.int32), "YX")
    before = target.read_bytes()
    with pytest.raises(LabelsError, match="ids"):
        write_labels(target, bad, "YX")
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    class Failing:
        """Labels whose second plane cannot be read when it is to be written."""

        shape, dtype = (2, 9, 8), np.dtype(np.int32)
        reads = 0

        def transpose(self, order: list[int]) -> Failing:
            return self

        def __getitem__(self, index: tuple[int, ...]) -> np.ndarray:
            self.reads += 1
            if self.reads == 4:
                raise KeyboardInterrupt
            return np.ones((9, 8), np.int32)

    with pytest.raises(KeyboardInterrupt):
        write_labels(tmp_path / "a.tif", Failing(), "ZYX")
    assert list(tmp_path.iterdir()) == []


def test_writing_into_a_file_as_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(FormatError, match="cannot write"):
        write_labels(tmp_path / "f" / "a.tif", ids((9, 8)), "YX")


def test_axes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AxesError):
        write_labels(tmp_path / "a.tif", ids((9, 8)), "ZYX")
    with pytest.raises(FormatError, match="channel"):
        write_labels(tmp_path / "a.tif", ids((2, 9, 8)), "CYX")
