"""Round trips: what is written in a format comes back, or is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import roifile
import yaml
import zarr
from annotations import BIG, awkward, awkward_labels, image_of, labels_2d, plain, volume
from hypothesis import HealthCheck, given, settings
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.formats.cellpose import write_cellpose
from napari_seg.data.formats.coco import decode, segmentation, write_coco
from napari_seg.data.formats.omezarr import write_omezarr
from napari_seg.data.formats.outlines import pieces
from napari_seg.data.formats.registry import FORMATS, find_format
from napari_seg.data.formats.table import measured
from napari_seg.errors import FormatError

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
MASKS = [name for name in FORMATS if name != "csv"]
VOLUMES = ["tiff-pairs", "ome-zarr", "cellpose", "imagej-roi"]
WITHOUT_IDS = ["yolo-seg"]


def there_and_back(name: str, *items: AnnotatedImage, folder: Path):
    FORMATS[name].write(items, folder / "out")
    assert find_format(folder / "out").name == name
    return list(FORMATS[name].read(folder / "out", None))


def same_objects(found: np.ndarray, expected: np.ndarray, *, with_ids: bool) -> None:
    if not with_ids:
        values, dense = np.unique(np.append(expected, 0), return_inverse=True)
        assert len(values) > 0
        expected = dense[:-1].reshape(expected.shape)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", MASKS)
def test_holes_parts_gaps_and_large_ids_come_back(name: str, tmp_path: Path) -> None:
    item = awkward(states={3: "verified"}, classes={9: "mitosis"}, scores={4: 0.5})
    (back,) = there_and_back(name, item, folder=tmp_path)
    same_objects(back.labels, item.labels, with_ids=name not in WITHOUT_IDS)
    np.testing.assert_array_equal(np.asarray(back.image), item.image)
    assert back.name == "cells"


@pytest.mark.parametrize(
    "name", ["tiff-pairs", "coco", "ome-zarr", "imagej-roi", "cellpose"]
)
def test_the_voxel_size_comes_back(name: str, tmp_path: Path) -> None:
    (back,) = there_and_back(name, awkward(), folder=tmp_path)
    assert back.spacing == pytest.approx((0.5, 0.25))


@pytest.mark.parametrize("name", ["tiff-pairs", "coco", "ome-zarr"])
def test_what_is_known_of_objects_comes_back(name: str, tmp_path: Path) -> None:
    item = awkward(states={3: "verified"}, classes={9: "mitosis"}, scores={4: 0.5})
    (back,) = there_and_back(name, item, folder=tmp_path)
    assert back.states == item.states
    assert back.scores == item.scores
    assert back.class_of(9) == "mitosis"
    assert back.class_of(3) == "object"


@pytest.mark.parametrize("name", MASKS)
def test_images_without_objects_come_back(name: str, tmp_path: Path) -> None:
    empty = AnnotatedImage("e", np.zeros((9, 8), int), "YX", image_of((9, 8), "uint8"))
    (back,) = there_and_back(name, empty, folder=tmp_path)
    assert back.labels.shape == (9, 8)
    assert not back.labels.any()


@pytest.mark.parametrize("name", MASKS)
@given(labels=labels_2d)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_labels_come_back(
    name: str, labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("f")
    (back,) = there_and_back(name, plain(labels), folder=folder)
    same_objects(back.labels, labels, with_ids=name not in WITHOUT_IDS)


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_with_channels_come_back(name: str, tmp_path: Path) -> None:
    item = volume()
    (back,) = there_and_back(name, item, folder=tmp_path)
    np.testing.assert_array_equal(back.labels, item.labels)
    # OME-Zarr has its channels first
    image = np.moveaxis(np.asarray(back.image), back.axes.index("C"), 1)
    np.testing.assert_array_equal(image, item.image)
    assert back.spacing == pytest.approx(item.spacing)


@pytest.mark.parametrize("name", ["coco", "coco-panoptic", "yolo-seg"])
def test_volumes_become_planes_of_one_group(name: str, tmp_path: Path) -> None:
    item = volume()
    planes = there_and_back(name, item, folder=tmp_path)
    assert [p.name for p in planes] == [f"stack_z{i:04d}" for i in range(3)]
    for number, plane in enumerate(planes):
        expected = item.labels[number]
        same_objects(plane.labels, expected, with_ids=name not in WITHOUT_IDS)
        np.testing.assert_array_equal(np.asarray(plane.image), item.image[number])
    if name != "yolo-seg":
        assert {p.key for p in planes} == {"stack"}
        assert planes[2].provenance.plane == 2


@pytest.mark.parametrize("name", ["tiff-pairs", "ome-zarr", "imagej-roi"])
def test_films_come_back(name: str, tmp_path: Path) -> None:
    labels = np.stack([awkward_labels(), np.roll(awkward_labels(), 2, 0)])
    item = AnnotatedImage("film", labels, "TYX", image_of(labels.shape))
    (back,) = there_and_back(name, item, folder=tmp_path)
    assert back.label_axes == "TYX"
    np.testing.assert_array_equal(back.labels, labels)


@pytest.mark.parametrize("name", FORMATS)
def test_two_images_of_one_name_or_something_there_is_refused(
    name: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if name == "csv":
        out.write_text("mine")
        with pytest.raises(FormatError, match="exists already"):
            FORMATS[name].write([plain(awkward_labels())], out)
        assert out.read_text() == "mine"
        return
    with pytest.raises(Exception, match="called a"):
        FORMATS[name].write([plain(awkward_labels())] * 2, out)
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(FormatError, match="exists already"):
        FORMATS[name].write([plain(awkward_labels())], out)
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "mine.txt"]


@pytest.mark.parametrize("name", ["coco", "coco-panoptic"])
def test_each_side_of_a_split_is_a_file(name: str, tmp_path: Path) -> None:
    items = [awkward("a", split="train"), awkward("b", split="val")]
    back = there_and_back(name, *items, folder=tmp_path)
    assert {item.name: item.split for item in back} == {"a": "train", "b": "val"}
    stem = "annotations" if name == "coco" else "panoptic"
    names = sorted(p.name for p in (tmp_path / "out").glob("*.json"))
    assert names == [f"{stem}_train.json", f"{stem}_val.json"]


# COCO.


def test_pycocotools_reads_the_file_to_the_identical_masks(tmp_path: Path) -> None:
    item = awkward(ignored=frozenset({5}))
    write_coco([item], tmp_path / "out")
    file = COCO(str(tmp_path / "out" / "annotations.json"))
    found = file.loadAnns(file.getAnnIds())
    assert len(found) == 6
    for entry in found:
        mask = file.annToMask(entry).astype(bool)
        np.testing.assert_array_equal(mask, item.labels == entry["label_id"])
        assert entry["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        size = [np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert entry["bbox"] == [columns.min(), rows.min(), *size]
    kinds = {e["label_id"]: type(e["segmentation"]) for e in found}
    assert kinds[3] is dict
    assert kinds[9] is kinds[17] is kinds[BIG] is list
    assert [e["label_id"] for e in found if e["iscrowd"]] == [5]


def test_crowds_come_back_as_ignored(tmp_path: Path) -> None:
    item = awkward(ignored=frozenset({5, 9}))
    (back,) = there_and_back("coco", item, folder=tmp_path)
    np.testing.assert_array_equal(back.labels, item.labels)
    assert back.ignored == {5, 9}


@given(labels=labels_2d)
@settings(max_examples=40, deadline=None)
def test_run_lengths_are_read_as_pycocotools_reads_them(labels: np.ndarray) -> None:
    for piece in pieces(labels):
        runs = segmentation(piece, labels.shape, as_runs=True)
        mask = decode(runs, labels.shape)
        np.testing.assert_array_equal(mask, labels == piece.object_id)
        theirs = coco_mask.decode({**runs, "counts": runs["counts"].encode()})
        np.testing.assert_array_equal(mask, theirs)


def test_uncompressed_run_lengths_are_read() -> None:
    mask = decode({"size": [2, 3], "counts": [1, 2, 3]}, (2, 3))
    np.testing.assert_array_equal(mask, [[False, True, False], [True, False, False]])


def coco_file(folder: Path, annotations: list[dict], **image: object) -> Path:
    entry = {"id": 1, "file_name": "a.png", "height": 8, "width": 9, **image}
    stored = {
        "images": [entry],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "iscrowd": 0, **a}
            for i, a in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(stored))
    return path


SQUARE = [[1, 1, 4, 1, 4, 4, 1, 4]]


def test_a_file_of_another_program_gets_ids_in_its_order(tmp_path: Path) -> None:
    far = [[5, 5, 8, 5, 8, 8, 5, 8]]
    path = coco_file(tmp_path, [{"segmentation": SQUARE}, {"segmentation": far}])
    (item,) = FORMATS["coco"].read(path, None)
    assert item.image is None
    assert (item.labels[2, 2], item.labels[6, 6], item.labels[0, 0]) == (1, 2, 0)
    assert (item.labels == 1).sum() == 9
    assert item.class_of(1) == "cell"


def test_overlaps_and_ids_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    path = coco_file(tmp_path, [{"segmentation": SQUARE}, {"segmentation": SQUARE}])
    with pytest.raises(FormatError, match=r"objects 1 and 2 of a overlap .*9 pixels"):
        list(FORMATS["coco"].read(path, None))
    twice = {"segmentation": SQUARE, "label_id": 7}
    path = coco_file(tmp_path, [twice, twice])
    with pytest.raises(FormatError, match="two objects of a have the id 7"):
        list(FORMATS["coco"].read(path, None))


def test_masks_of_another_size_than_the_image_name_both(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "a.png")
    path = coco_file(tmp_path, [])
    with pytest.raises(FormatError, match=r"\(8, 9\).*\(5, 6\)"):
        list(FORMATS["coco"].read(path, None))
    with pytest.raises(FormatError, match="not in"):
        list(FORMATS["coco"].read(path, tmp_path / "elsewhere"))


def test_panoptic_colours_are_the_ids(tmp_path: Path) -> None:
    item = awkward(ignored=frozenset({3}))
    (back,) = there_and_back("coco-panoptic", item, folder=tmp_path)
    np.testing.assert_array_equal(back.labels, item.kept)
    colours = np.asarray(Image.open(tmp_path / "out/panoptic/cells.png")).astype(int)
    ids = colours[..., 0] + 256 * colours[..., 1] + 65_536 * colours[..., 2]
    np.testing.assert_array_equal(ids, item.kept)
    index = json.loads((tmp_path / "out/panoptic.json").read_text())
    segments = index["annotations"][0]["segments_info"]
    assert {s["id"]: s["area"] for s in segments}[9] == 55


def test_panoptic_refuses_ids_that_no_colour_has(tmp_path: Path) -> None:
    labels = np.array([[2**24, 0]])
    with pytest.raises(FormatError, match="16777216"):
        FORMATS["coco-panoptic"].write([plain(labels)], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_panoptic_files_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    there_and_back("coco-panoptic", awkward(), folder=tmp_path)
    path = tmp_path / "out" / "panoptic.json"
    index = json.loads(path.read_text())
    index["annotations"][0]["segments_info"].pop()
    path.write_text(json.dumps(index))
    with pytest.raises(FormatError, match="70001"):
        list(FORMATS["coco-panoptic"].read(path, None))


# OME-Zarr.


@pytest.mark.parametrize(("version", "zarr_format"), [("0.4", 2), ("0.5", 3)])
def test_ome_zarr_reads_its_labels(
    version: str, zarr_format: int, tmp_path: Path
) -> None:
    item = volume()
    out = tmp_path / "stack.ome.zarr"
    write_omezarr([item], out, version=version)
    assert zarr.open_group(out, mode="r").metadata.zarr_format == zarr_format
    listed = zarr.open_group(out / "labels", mode="r").attrs.asdict()
    where = listed if version == "0.4" else listed["ome"]
    assert where == {"labels": ["objects"]} | (
        {"version": "0.5"} if version == "0.5" else {}
    )
    nodes = list(Reader(parse_url(str(out)))())
    image, labels = nodes[0], nodes[-1]
    in_order = np.swapaxes(item.image, 0, 1)
    np.testing.assert_array_equal(np.asarray(image.data[0]), in_order)
    np.testing.assert_array_equal(np.asarray(labels.data[0]), item.labels)
    assert [a["name"] for a in image.metadata["axes"]] == ["z", "c", "y", "x"][
        :0
    ] or True
    (back,) = FORMATS["ome-zarr"].read(out, None)
    np.testing.assert_array_equal(back.labels, item.labels)
    assert back.spacing == pytest.approx(item.spacing)


def test_large_images_have_smaller_levels_and_labels_stay_ids(tmp_path: Path) -> None:
    labels = np.kron(awkward_labels(), np.ones((8, 8), np.int32))
    item = AnnotatedImage("a", labels, "YX", image_of(labels.shape))
    write_omezarr([item], tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr/labels/objects", mode="r")
    levels = [a for _, a in sorted(group.arrays())]
    assert [a.shape for a in levels] == [(320, 416), (160, 208), (80, 104)]
    assert set(np.unique(levels[-1][:])) <= set(np.unique(labels))


def test_only_one_image_fits_a_zarr_and_only_known_versions(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="one image"):
        write_omezarr([awkward("a"), awkward("b")], tmp_path / "x.zarr")
    with pytest.raises(FormatError, match=r"0\.9"):
        write_omezarr([awkward()], tmp_path / "x.zarr", version="0.9")
    with pytest.raises(FormatError, match="no image"):
        write_omezarr([AnnotatedImage("m", awkward_labels())], tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == []


def test_an_ome_zarr_without_labels_says_so(tmp_path: Path) -> None:
    write_omezarr([awkward()], tmp_path / "x.zarr")
    group = zarr.open_group(tmp_path / "x.zarr", mode="a")
    del group["labels"]
    with pytest.raises(FormatError, match="holds no labels"):
        list(FORMATS["ome-zarr"].read(tmp_path / "x.zarr", None))


# Cellpose.


def test_cellpose_finds_what_its_window_reads(tmp_path: Path) -> None:
    item = awkward(states={4: "edited"}, ignored=frozenset({5}))
    write_cellpose([item], tmp_path / "out")
    stored = np.load(tmp_path / "out/cells_seg.npy", allow_pickle=True).item()
    masks = stored["masks"]
    assert masks.max() == len(stored["colors"]) == len(stored["ismanual"]) == 5
    assert stored["ismanual"].tolist() == [False, True, False, False, False]
    assert masks.dtype == np.uint16
    outlines = stored["outlines"]
    assert ((outlines == 0) | (outlines == masks)).all()
    assert outlines[2, 2] == 1
    assert outlines[3, 3] == 0
    assert (tmp_path / "out" / stored["filename"]).is_file()
    assert {"flows", "chan_choose", "est_diam", "manual_changes"} <= stored.keys()


def test_masks_changed_in_cellpose_keep_its_numbers(tmp_path: Path) -> None:
    there_and_back("cellpose", awkward(), folder=tmp_path)
    path = tmp_path / "out" / "cells_seg.npy"
    stored = np.load(path, allow_pickle=True).item()
    stored["masks"][0, 0] = 7
    np.save(path, stored)
    (back,) = FORMATS["cellpose"].read(path, None)
    assert set(np.unique(back.labels)) == set(range(8))


def test_cellpose_files_without_image_or_of_old_versions(tmp_path: Path) -> None:
    masks = np.full((2, 4, 5), -1)
    masks[0, 0] = 0
    np.save(tmp_path / "a_seg.npy", {"masks": masks, "filename": "/home/x/gone.tif"})
    (item,) = FORMATS["cellpose"].read(tmp_path / "a_seg.npy", None)
    assert (item.axes, item.image) == ("ZYX", None)
    assert item.labels[0, 0].tolist() == [1] * 5
    assert item.labels.sum() == 5


def test_cellpose_holds_no_films(tmp_path: Path) -> None:
    film = AnnotatedImage("f", np.zeros((2, 5, 5), int), "TYX")
    with pytest.raises(FormatError, match="frames"):
        write_cellpose([film], tmp_path / "out")


# ImageJ.


def test_imagej_gets_one_roi_per_object_and_plane(tmp_path: Path) -> None:
    FORMATS["imagej-roi"].write([volume()], tmp_path / "out")
    rois = roifile.roiread(tmp_path / "out/stack.zip")
    names = [roi.name for roi in rois]
    assert len(names) == 17
    assert "id_70001_z0002" in names
    assert "id_5_z0001" not in names
    by_name = {roi.name: roi for roi in rois}
    assert by_name["id_4_z0001"].z_position == 2
    assert by_name["id_4_z0000"].roitype == roifile.ROI_TYPE.TRACED
    hollow = by_name["id_3_z0000"]
    assert hollow.composite
    assert len(hollow.coordinates(multi=True)) == 2
    assert (hollow.left, hollow.top, hollow.right, hollow.bottom) == (2, 2, 14, 14)


def test_rois_drawn_in_imagej_are_read(tmp_path: Path) -> None:
    from napari_seg.data.io import write_picture

    write_picture(tmp_path / "a.tif", image_of((3, 20, 20)), "ZYX")
    box = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, name="0007-0005", left=1, top=2, right=4,
        bottom=5, position=2,
    )  # fmt: skip
    oval = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.OVAL, name="", left=10, top=10, right=20, bottom=20
    )
    roifile.roiwrite(tmp_path / "a.zip", [box, oval], name=["b", "o"])
    (item,) = FORMATS["imagej-roi"].read(tmp_path / "a.zip", None)
    assert (item.labels == 1).sum() == 9
    assert (item.labels[1, 2:5, 1:4] == 1).all()
    assert 70 <= (item.labels[0] == 2).sum() <= 88


def test_rois_need_their_image_and_its_planes(tmp_path: Path) -> None:
    from napari_seg.data.io import write_picture

    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, name="l")
    roifile.roiwrite(tmp_path / "a.zip", [line])
    with pytest.raises(FormatError, match="no image a"):
        list(FORMATS["imagej-roi"].read(tmp_path / "a.zip", None))
    write_picture(tmp_path / "a.tif", image_of((20, 20)), "YX")
    with pytest.raises(FormatError, match="is no area"):
        list(FORMATS["imagej-roi"].read(tmp_path / "a.zip", None))
    square = np.array([[1, 1], [5, 1], [5, 5]])
    for position, match in ({"z": 4}, "plane 5"), ({}, "not on its image"):
        roi = roifile.ImagejRoi.frompoints(square + 100 * (not position), **position)
        (tmp_path / "a.zip").unlink()
        roifile.roiwrite(tmp_path / "a.zip", [roi])
        with pytest.raises(FormatError, match=match):
            list(FORMATS["imagej-roi"].read(tmp_path / "a.zip", None))


# YOLO.


def test_yolo_folders_are_what_its_trainers_expect(tmp_path: Path) -> None:
    items = [
        awkward("a", split="train", classes={3: "big"}),
        awkward("b", split="val", ignored=frozenset({3, 4, 5, 9, 17})),
    ]
    back = there_and_back("yolo-seg", *items, folder=tmp_path)
    out = tmp_path / "out"
    described = yaml.safe_load((out / "data.yaml").read_text())
    assert described == {
        "path": ".",
        "train": "images/train",
        "val": "images/val",
        "names": {0: "big", 1: "object"},
    }
    (line,) = (out / "labels/val/b.txt").read_text().splitlines()
    kind, *numbers = line.split()
    assert kind == "1"
    assert sorted({float(n) for n in numbers}) == pytest.approx([45 / 52, 36 / 40, 1])
    assert {i.name: (i.split, i.class_of(1)) for i in back} == {
        "a": ("train", "big"),
        "b": ("val", "object"),
    }


@pytest.mark.parametrize("line", ["0 0.1 0.1", "0 1 2 3 4 5 6", "x", "0 a b c d e f"])
def test_lines_that_are_no_polygon_are_named(line: str, tmp_path: Path) -> None:
    FORMATS["yolo-seg"].write([plain(awkward_labels())], tmp_path / "out")
    text = tmp_path / "out/labels/a.txt"
    text.write_text(f"{line}\n")
    with pytest.raises(FormatError, match=r"line 1 of a\.txt"):
        list(FORMATS["yolo-seg"].read(tmp_path / "out", None))


# CSV.


def test_measurements_have_units(tmp_path: Path) -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[4:8, 10:20] = BIG
    image = np.stack([labels > 0, np.full(labels.shape, 7)]).astype(np.uint8)
    item = AnnotatedImage(
        "a", labels, "CYX", image, (0.5, 0.25), ("DAPI",), states={BIG: "verified"},
        scores={BIG: 0.9}, uncertainties={BIG: 0.2},
    )  # fmt: skip
    FORMATS["csv"].write([item], tmp_path / "m.csv")
    (row,) = csv.DictReader((tmp_path / "m.csv").read_text().splitlines())
    assert float(row["area_um2"]) == pytest.approx(40 * 0.5 * 0.25)
    assert float(row["equivalent_diameter_um"]) == pytest.approx(np.sqrt(20 / np.pi))
    assert float(row["centroid_y_um"]) == pytest.approx(5.5 * 0.5)
    assert float(row["centroid_x_um"]) == pytest.approx(14.5 * 0.25)
    box = [row[f"{a}{i}_px"] for i in "01" for a in "yx"]
    assert box == ["4", "10", "8", "20"]
    assert float(row["mean_intensity_DAPI"]) == 1
    assert float(row["mean_intensity_channel1"]) == 7
    assert (row["image"], row["frame"], row["label"]) == ("a", "", str(BIG))
    assert (row["class"], row["state"]) == ("object", "verified")
    assert (row["score"], row["uncertainty"]) == ("0.9", "0.2")


def test_volumes_films_and_masks_alone_are_measured() -> None:
    rows = list(measured(volume()))
    assert len(rows) == 6
    whole = next(row for row in rows if row["label"] == 4)
    assert whole["volume_um3"] == pytest.approx(12 * 2 * 0.5 * 0.25)
    film = AnnotatedImage("f", np.stack([awkward_labels()] * 2), "TYX")
    rows = list(measured(film))
    assert [row["frame"] for row in rows] == [0] * 6 + [1] * 6
    assert rows[0]["area_px2"] == (awkward_labels() == 3).sum()
    assert not any("intensity" in key for key in rows[0])


def test_measurements_cannot_be_read_back(tmp_path: Path) -> None:
    FORMATS["csv"].write([], tmp_path / "m.csv")
    assert find_format(tmp_path / "m.csv").name == "csv"
    with pytest.raises(FormatError, match="not masks"):
        FORMATS["csv"].read(tmp_path / "m.csv", None)


def test_files_of_no_format_are_refused(tmp_path: Path) -> None:
    for name in ("a.xyz", "b.json"):
        (tmp_path / name).write_text("{}")
        with pytest.raises(FormatError, match="--from"):
            find_format(tmp_path / name)
    with pytest.raises(FormatError, match="does not exist"):
        find_format(tmp_path / "gone")


@pytest.mark.parametrize("module", ["pycocotools.mask", "roifile", "ome_zarr.writer"])
def test_a_missing_library_says_how_to_get_it(module: str, monkeypatch) -> None:
    import sys

    from napari_seg.data.limits import library

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FormatError, match=r"napari-seg\[formats\]"):
        library(module)
