"""Labels of an item of a data set, written again."""

import threading

import numpy as np

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.dataset_index import array_sha256, locked, read_index
from napari_seg.data.dataset_update import save_item
from napari_seg.data.io import read_labels


def item(value):
    labels = np.zeros((8, 9), np.int32)
    labels[2:5, 3:6] = value
    return AnnotatedImage("a", labels, "YX", np.ones((8, 9), np.uint8))


def test_labels_wait_for_another_writer_and_fit_the_index(tmp_path):
    before = save_item(tmp_path, item(1))
    target = tmp_path / before.labels
    writer = threading.Thread(target=save_item, args=(tmp_path, item(7)))
    with locked(tmp_path):
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        assert np.asarray(read_labels(target).array).max() == 1
    writer.join(10)
    (after,) = read_index(tmp_path)
    stored = np.asarray(read_labels(target).array)
    assert stored.max() == 7
    assert after.labels_sha256 == array_sha256(stored)
    assert after.image_sha256 == before.image_sha256
