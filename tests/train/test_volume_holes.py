import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.volume_holes import ellipsoid, random_volume_hole


@pytest.fixture(scope="module")
def outlines(tmp_path_factory):
    """One lesion of 12 mm x 10 mm x 6 mm."""
    folder = tmp_path_factory.mktemp("lesions")
    voxels = np.zeros((20, 20, 10), np.uint8)
    voxels[5:11, 5:10, 2:5] = 1
    nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), folder / "one.nii.gz")
    return LesionOutlines(folder, 1.0)


@given(st.integers(0, 2**32 - 1))
def test_a_hole_lies_in_the_brain_and_is_never_empty(seed):
    rng = np.random.default_rng(seed)
    brain = rng.random((6, 24, 20)) < 0.05
    brain[3, 10, 10] = True
    hole = random_volume_hole(brain, 5.0, 1.0, rng)
    assert hole.any()
    assert not (hole & ~brain).any()


def test_without_brain_there_is_no_hole():
    brain = np.zeros((4, 8, 8), bool)
    assert not random_volume_hole(brain, 5.0, 1.0, np.random.default_rng(0)).any()


@given(st.integers(0, 2**32 - 1))
def test_lesions_keep_about_their_volume(outlines, seed):
    brain = np.zeros((24, 80, 80), bool)
    brain[12, 40, 40] = True
    drawn = outlines.draw_volume(brain, 3.0, np.random.default_rng(seed))
    assert drawn[12, 40, 40]
    # 720 mm3, zoomed by exp(0.25 N) along three axes
    assert 720 / 12 < drawn.sum() * 3.0 < 720 * 12


def test_an_ellipsoid_is_as_wide_as_its_radii():
    drawn = ellipsoid((20, 60, 60), (10, 30, 30), (4.0, 15.0, 15.0), np.random.default_rng(0))
    depth, height, width = (np.ptp(at) + 1 for at in np.nonzero(drawn))
    assert 4 <= depth <= 14
    assert 20 <= height <= 45
    assert 20 <= width <= 45
