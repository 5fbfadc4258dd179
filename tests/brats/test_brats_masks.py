import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_rsna_inpaint.brats.masks import MARGIN_MM, MIN_VOLUME_MM3, TRIES, healthy_mask, turned

SHAPE = (40, 48, 44)
SPACING = (2.0, 2.0, 2.0)


def ball(center, radius):
    return np.sqrt(sum((g - c) ** 2 for g, c in zip(np.indices(SHAPE), center, strict=True))) < (
        radius
    )


BRAIN = ball((20, 24, 22), 19)
LESION = ball((20, 24, 32), 6) & BRAIN


def drawn(seed, lesions=()):
    return healthy_mask(BRAIN, LESION, SPACING, np.random.default_rng(seed), lesions)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_masks_lie_in_healthy_brain_and_their_blobs_apart(seed, lend):
    mask, blobs = drawn(seed, [LESION] if lend else [])
    assert 1 <= len(blobs) <= 3
    assert not (mask & ~BRAIN).any()
    far = ndimage.distance_transform_edt(~LESION, sampling=SPACING) > MARGIN_MM
    assert far[mask].all()
    placed = [blob for blob in blobs if blob.placed]
    assert mask.sum() == sum(blob.voxels for blob in placed)
    assert all(8 * blob.voxels >= MIN_VOLUME_MM3 for blob in placed)
    assert all(blob.tries == TRIES and not blob.voxels for blob in blobs if not blob.placed)


def test_equal_seeds_give_equal_masks():
    for seed in range(3):
        (first, told), (second, again) = drawn(seed), drawn(seed)
        np.testing.assert_array_equal(first, second)
        assert told == again
    assert (drawn(0)[0] != drawn(1)[0]).any()


def test_numbers_of_blobs_are_shared_out():
    # no brain: every blob is given up at once, its number stays
    nowhere = np.zeros((2, 2, 2), bool)
    rng = np.random.default_rng(0)
    counts = [len(healthy_mask(nowhere, nowhere, SPACING, rng)[1]) for _ in range(4000)]
    shares = np.bincount(counts, minlength=4)[1:] / len(counts)
    np.testing.assert_allclose(shares, [0.45, 0.45, 0.1], atol=0.03)


def test_lesions_lend_their_shapes():
    kinds = {blob.kind for seed in range(10) for blob in drawn(seed, [LESION])[1] if blob.placed}
    assert kinds == {"random", "lesion"}
    assert {blob.kind for seed in range(5) for blob in drawn(seed)[1]} == {"random"}


def test_where_nothing_fits_it_is_given_up():
    mask, blobs = healthy_mask(
        ball((20, 24, 22), 1), np.zeros(SHAPE, bool), SPACING, np.random.default_rng(0)
    )
    assert not mask.any()
    assert not any(blob.placed for blob in blobs)


@pytest.mark.parametrize("seed", range(5))
def test_turning_keeps_about_the_size(seed):
    shape = turned(LESION, np.random.default_rng(seed))
    assert shape.sum() == pytest.approx(LESION.sum(), rel=0.15)
