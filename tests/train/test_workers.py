import os
import time

import pytest

from napari_rsna_inpaint.errors import Cancelled, OutputFailed
from napari_rsna_inpaint.train.workers import in_order


def never():
    return False


def test_results_come_in_the_order_of_the_items():
    items = iter(range(-20, 1))
    assert list(in_order(abs, items, 2, never)) == list(range(20, -1, -1))


def test_a_stop_does_not_wait_for_what_is_left():
    start = time.monotonic()
    with pytest.raises(Cancelled):
        list(in_order(time.sleep, [1] * 60, 2, lambda: time.monotonic() > start + 1))
    assert time.monotonic() < start + 15


def test_a_killed_process_is_reported():
    with pytest.raises(OutputFailed, match="fewer workers"):
        list(in_order(os._exit, [1], 2, never))
