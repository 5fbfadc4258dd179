"""Images that are computed where they are looked at, and masks of bits."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_rsna_inpaint.brain import PackedMask
from napari_rsna_inpaint.detection.planes import Planes

SHAPE = (4, 5, 6)
VALUES = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.fixture
def planes():
    return Planes(SHAPE, np.float32, lambda z, rows, columns: VALUES[z][rows][:, columns])


def indices(n):
    """Whatever picks at least one of ``n``."""
    whole = st.integers(-n, n - 1)
    return st.one_of(whole, st.slices(n).filter(lambda s: len(range(*s.indices(n))) > 0))


@given(key=st.tuples(*(indices(n) for n in SHAPE)) | indices(SHAPE[0]) | st.just(...))
def test_they_are_indexed_like_arrays(key):
    planes = Planes(SHAPE, np.float32, lambda z, rows, columns: VALUES[z][rows][:, columns])
    picked = planes[key]
    np.testing.assert_array_equal(picked, VALUES[key])
    assert np.shape(picked) == np.shape(VALUES[key])


def test_masks_and_lists_pick_voxels_too(planes):
    np.testing.assert_array_equal(planes[VALUES > 0], VALUES[VALUES > 0])
    np.testing.assert_array_equal(planes[[2, 0]], VALUES[[2, 0]])


def test_they_become_arrays(planes):
    array = np.asarray(planes)
    np.testing.assert_array_equal(array, VALUES)
    assert array.dtype == np.float32
    assert np.asarray(planes, np.float64).dtype == np.float64
    whole = planes.astype(np.int8)
    assert whole.dtype == np.int8
    np.testing.assert_array_equal(whole[1], VALUES[1].astype(np.int8))
    assert (len(planes), planes.ndim, planes.size) == (4, 3, 120)


def test_another_process_gets_the_values(planes):
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(planes)), VALUES)


def test_only_what_is_looked_at_is_computed():
    asked = []

    def compute(z, rows, columns):
        asked.append(z)
        return VALUES[z][rows][:, columns]

    planes = Planes(SHAPE, np.float32, compute)
    planes[2], planes[1:3, 0]
    assert asked == [2, 1, 2]


@given(seed=st.integers(0, 99), height=st.integers(1, 9), width=st.integers(1, 9))
def test_a_packed_mask_gives_its_planes_back(seed, height, width):
    mask = np.random.default_rng(seed).random((3, height, width)) > 0.7
    packed = PackedMask(iter(mask), mask.shape)
    assert len(packed) == 3
    np.testing.assert_array_equal([packed[z] for z in range(3)], mask)
    np.testing.assert_array_equal(packed.outline(), mask.any(0))


def test_a_packed_mask_has_a_plane_for_every_slice():
    with pytest.raises(ValueError, match="1 planes for 2 slices"):
        PackedMask([np.zeros((4, 4), bool)], (2, 4, 4))
