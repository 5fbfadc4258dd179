import numpy as np
import pytest
import torch

from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.lesion_contrast import lesion_contrast, paint_bleed


@pytest.fixture(scope="module")
def triplets(series, small):
    data = HealthySlices(series, small, (96, 80))
    return [data.triplet(i) for i in range(len(data))]


def test_a_bleed_is_denser_than_what_it_covers_and_lies_in_the_brain(triplets):
    for seed, triplet in enumerate(triplets * 5):
        painted, lesion = paint_bleed(triplet, 2.0, np.random.default_rng(seed))
        change = (painted.hu - triplet.hu).numpy()
        assert lesion.any()
        assert not (lesion & ~triplet.brain).any()
        assert (change >= 0).all()
        assert not change[:, ~triplet.brain].any()
        if lesion.sum() > 50:
            assert change[:, lesion].mean() > 5.0


def perfect(triplets, small):
    """Completes with the slice as it was before the bleed, with the blur of a mean."""
    truth = iter(triplets)

    def complete(condition):
        healthy = next(truth).hu[1].clamp(*small.hu_window)
        return healthy.expand(condition.hole.shape) + 2.0 * torch.sin(condition.image * 7)

    return complete


def test_contrast_rises_with_the_quality_of_the_completion(triplets, small):
    noise = torch.Generator().manual_seed(0)

    def copies(condition):
        return small.decode(condition.image)

    def poor(condition):
        return 35 + 15 * torch.randn(condition.hole.shape, generator=noise)

    ways = (perfect(triplets, small), poor, copies)
    good, bad, blind = (lesion_contrast(triplets, small, way, seed=0) for way in ways)
    assert blind == pytest.approx(0.0, abs=1e-6)
    assert good > 3 * bad
    assert bad > 0.1


def test_a_constant_error_gains_no_contrast(triplets, small):
    def shifted(condition):
        return right(condition) - 15.0

    right = perfect(triplets, small)
    expected = lesion_contrast(triplets, small, right, seed=0)
    right = perfect(triplets, small)
    assert lesion_contrast(triplets, small, shifted, seed=0) == pytest.approx(expected, rel=0.02)
