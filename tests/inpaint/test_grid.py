import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_rsna_inpaint.inpaint.grid import grid_holes, squares
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS


@given(
    shape=st.tuples(st.integers(8, 80), st.integers(8, 80)),
    size=st.integers(1, 40),
    period=st.integers(2, 4),
    shift=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_phases_hide_every_pixel_exactly_once(shape, size, period, shift):
    count = sum(
        squares(shape, size, shift, period, phase).astype(int)
        for phase in np.ndindex(period, period)
    )
    assert (count == 1).all()


def test_squares_are_square_and_apart():
    mask = squares((64, 64), 8, (0, 0), 3, (1, 2))
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    assert rows.tolist() == [*range(8, 16), *range(32, 40), *range(56, 64)]
    assert columns.tolist() == [*range(16, 24), *range(40, 48)]


def brain() -> np.ndarray:
    y, x = np.mgrid[:96, :96]
    return (y - 40) ** 2 / 30**2 + (x - 50) ** 2 / 25**2 < 1


def test_only_brain_is_hidden_and_all_of_it_at_every_size_and_offset():
    holes = list(grid_holes(brain(), (8, 16), ((0.0, 0.0), (0.5, 0.5)), 2))
    for scale in (0, 1):
        count = sum(hole.mask.astype(int) for hole in holes if hole.scale == scale)
        np.testing.assert_array_equal(count, 2 * brain())


def test_grids_that_miss_the_brain_are_left_out_but_keep_their_numbers():
    small = np.zeros((96, 96), bool)
    small[4:6, 4:6] = True
    holes = list(grid_holes(small, (8,), ((0.0, 0.0),), 3))
    assert [hole.number for hole in holes] == [0]
    holes = list(grid_holes(np.roll(small, 8, axis=1), (8,), ((0.0, 0.0),), 3))
    assert [hole.number for hole in holes] == [1]


def test_reference_protocol_has_the_published_number_of_runs():
    protocol = PROTOCOLS["reference"]
    assert len(protocol.sizes_mm) * len(protocol.offsets) * protocol.period**2 == 144
    assert protocol.sampling.steps == 50


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_every_protocol_is_described(name):
    from napari_rsna_inpaint.detection.names import protocols

    sizes, grids = len(PROTOCOLS[name].sizes_mm), len(PROTOCOLS[name].offsets)
    assert re.search(
        rf"\b{sizes} (square )?sizes?, {grids} (half-shifted )?grids?,", protocols()[name]
    )
    assert set(protocols()) == set(PROTOCOLS)
