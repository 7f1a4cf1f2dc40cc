import multiprocessing
import threading
import time

import pytest

from napari_seg.training.prefetch import AHEAD, Prefetch


def makers():
    return [t for t in threading.enumerate() if "napari-seg patches" in t.name]


@pytest.mark.parametrize("threads", [1, 3])
def test_items_come_in_order_whoever_is_quickest(threads):
    def make(index):
        time.sleep(0.01 if index % 2 else 0)
        return index

    with Prefetch(make, range(20), threads=threads) as items:
        assert list(items) == list(range(20))
    assert makers() == []


def test_only_a_few_items_are_made_ahead():
    made = []
    with Prefetch(made.append, range(1000)) as items:
        next(iter(items))
        time.sleep(0.1)
        assert len(made) <= AHEAD + 2
    assert makers() == []


def test_an_error_appears_where_the_item_would_have():
    def make(index):
        if index == 2:
            raise OSError("disk")
        return index

    with Prefetch(make, range(5)) as items:
        waiting = iter(items)
        assert [next(waiting), next(waiting)] == [0, 1]
        with pytest.raises(OSError, match="disk"):
            next(waiting)


def test_no_process_is_started():
    with Prefetch(lambda index: index, range(3)) as items:
        next(iter(items))
        assert multiprocessing.active_children() == []
