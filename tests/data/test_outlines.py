"""Outlines: filled again, they are the mask, for every way of filling."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from annotations import BIG, awkward_labels, labels_2d
from hypothesis import given, settings
from pycocotools import mask as coco

from napari_seg.data.formats.outlines import (
    Piece,
    Rings,
    filled,
    joined,
    pieces,
    rings_of,
)


def test_a_square_has_its_four_corners() -> None:
    labels = np.zeros((5, 6), np.int32)
    labels[1:3, 2:5] = 1
    (piece,) = pieces(labels)
    rings = rings_of(piece)
    assert rings.holes == []
    assert {tuple(c) for c in rings.outer[0].tolist()} == {
        (2, 1),
        (5, 1),
        (5, 3),
        (2, 3),
    }
    assert len(rings.outer[0]) == 4


def test_holes_and_parts_are_outlines_of_their_own() -> None:
    found = {p.object_id: rings_of(p) for p in pieces(awkward_labels())}
    counts = {i: (len(r.outer), len(r.holes)) for i, r in found.items()}
    assert counts == {
        3: (1, 1),
        4: (1, 0),
        5: (1, 0),
        9: (2, 0),
        17: (3, 0),
        BIG: (1, 0),
    }


def test_pieces_of_ids_that_no_table_could_hold() -> None:
    labels = np.array([[0, 2**31 - 1], [5, 5]], np.int32)
    assert [p.object_id for p in pieces(labels)] == [5, 2**31 - 1]
    assert list(pieces(np.zeros((3, 0), np.int32))) == []


@given(labels_2d)
@settings(max_examples=60, deadline=None)
def test_filled_outlines_are_the_mask(labels: np.ndarray) -> None:
    for piece in pieces(labels):
        mask = labels == piece.object_id
        rings = rings_of(piece)
        np.testing.assert_array_equal(
            filled([*rings.outer, *rings.holes], mask.shape), mask
        )
        np.testing.assert_array_equal(filled([joined(rings)], mask.shape), mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(labels_2d)
@settings(max_examples=60, deadline=None)
def test_pycocotools_decodes_the_outlines_to_the_mask(labels: np.ndarray) -> None:
    for piece in pieces(labels):
        rings = rings_of(piece)
        if not rings.holes:
            codes = coco.frPyObjects(
                [r.ravel().tolist() for r in rings.outer], *labels.shape
            )
            mask = coco.decode(coco.merge(codes))
            np.testing.assert_array_equal(mask, labels == piece.object_id)


@pytest.mark.parametrize("object_id", [3, 9, 17])
def test_another_program_fills_joined_outlines_alike(object_id: int) -> None:
    # opencv fills pixels on the rim too, so it is asked on a grid twice as fine
    labels = awkward_labels()
    (piece,) = (p for p in pieces(labels) if p.object_id == object_id)
    fine = np.zeros((2 * labels.shape[0] + 1, 2 * labels.shape[1] + 1), np.uint8)
    cv2.fillPoly(fine, [2 * joined(rings_of(piece)).astype(np.int32)], 1)
    inner = fine[1::2, 1::2].astype(bool)
    np.testing.assert_array_equal(inner, labels == object_id)


def test_outlines_beyond_the_plane_are_cut_off() -> None:
    ring = np.array([[-5.0, -5.0], [2.0, -5.0], [2.0, 1.0], [-5.0, 1.0]])
    mask = filled([ring], (3, 4))
    assert mask.sum() == 2
    assert mask[0, :2].all()
    assert not filled([ring - 100], (3, 4)).any()


def test_one_ring_is_joined_to_itself() -> None:
    ring = np.array([[0, 0], [2, 0], [2, 2], [0, 2]])
    np.testing.assert_array_equal(joined(Rings([ring], [])), ring)


def test_the_offset_of_a_piece_is_column_and_row() -> None:
    piece = Piece(1, (slice(3, 5), slice(7, 9)), np.ones((2, 2), bool))
    assert piece.offset.tolist() == [7, 3]
