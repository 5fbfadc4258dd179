import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.train import holes
from napari_rsna_inpaint.train.holes import random_hole
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines

Y, X = np.mgrid[:96, :80]
BRAIN = (Y - 45) ** 2 / 40**2 + (X - 40) ** 2 / 30**2 < 1


@given(seed=st.integers(0, 2**31))
@settings(max_examples=200, deadline=None)
def test_holes_lie_in_the_brain_and_are_never_empty(seed):
    hole = random_hole(BRAIN, np.random.default_rng(seed))
    assert hole.any()
    assert not (hole & ~BRAIN).any()


def test_every_part_of_the_brain_is_hidden_now_and_then():
    rng = np.random.default_rng(0)
    count = sum(random_hole(BRAIN, rng).astype(int) for _ in range(400))
    assert count[BRAIN].min() > 20
    assert count[BRAIN].max() < 250


def test_no_brain_gives_no_hole():
    assert not random_hole(np.zeros((32, 32), bool), np.random.default_rng(0)).any()


@pytest.fixture(scope="module")
def outlines(tmp_path_factory) -> LesionOutlines:
    """A bar of 40 x 4 mm that ends in a single pixel one slice on, in a mask of 0.5 mm pixels."""
    mask = np.zeros((200, 200, 6), np.int16)
    mask[20:100, 50:58, 3] = 1
    mask[30, 55, 4] = 1
    folder = tmp_path_factory.mktemp("lesions")
    nib.save(nib.Nifti1Image(mask, np.diag([0.5, 0.5, 5.0, 1.0])), folder / "bar.nii.gz")
    return LesionOutlines(folder, pixel_mm=1.0)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=200, deadline=None)
def test_a_lesion_always_meets_the_brain(outlines, seed):
    rng = np.random.default_rng(seed)
    brain = BRAIN if rng.random() < 0.5 else np.eye(20, dtype=bool)
    assert (outlines.draw(brain, rng) & brain).any()


def test_lesions_keep_their_size_and_shape(outlines):
    rng = np.random.default_rng(0)
    everywhere = np.ones((300, 300), bool)
    drawn = [outlines.draw(everywhere, rng) for _ in range(200)]
    areas = np.array([mask.sum() for mask in drawn])
    bars = areas[areas > 20]
    assert np.median(bars) == pytest.approx(160, rel=0.15)
    tall = sum(np.ptp(np.argwhere(mask), axis=0)[0] > 25 for mask in drawn)
    wide = sum(np.ptp(np.argwhere(mask), axis=0)[1] > 25 for mask in drawn)
    assert min(tall, wide) > 20  # turned every way


def test_lesions_are_among_the_holes_where_given(outlines, monkeypatch):
    monkeypatch.setattr(holes, "LESION_SHARE", 1.0)
    hole = random_hole(BRAIN, np.random.default_rng(3), outlines)
    assert 0 < hole.sum() <= 400
    assert not (hole & ~BRAIN).any()
    assert not random_hole(np.zeros((32, 32), bool), np.random.default_rng(0), outlines).any()


def test_a_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="no lesion masks"):
        LesionOutlines(tmp_path, 1.0)
