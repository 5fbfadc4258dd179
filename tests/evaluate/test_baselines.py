import dataclasses

import numpy as np
import pytest

from napari_rsna_inpaint.evaluate.baselines import baseline_maps
from napari_rsna_inpaint.evaluate.phantom import head_phantom


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(4, 128, 128), spacing=(5.0, 1.5, 1.5)
    )


class Healthy:
    """The same HU at every distance to bone, with a spread of 5."""

    def __init__(self, median: float) -> None:
        self.median = median

    def z(self, values, distance_mm):
        return ((values - self.median) / 5).astype(np.float32)


def test_maps_lie_in_the_mask_and_find_a_dense_bleed(phantom):
    maps = baseline_maps(phantom.volume, phantom.brain_mask, Healthy(33.0))
    assert list(maps) == ["B0", "B1", "B2"]
    for values in maps.values():
        assert values.shape == phantom.volume.hu.shape
        assert not values[~phantom.brain_mask].any()
        healthy = phantom.brain_mask & ~phantom.lesion_mask
        assert values[phantom.lesion_mask].mean() > values[healthy].mean() + 1
    inside = phantom.brain_mask & (phantom.volume.hu > 0) & (phantom.volume.hu < 100)
    np.testing.assert_array_equal(maps["B0"][inside], phantom.volume.hu[inside])


def test_the_normative_score_is_gated_and_one_sided(phantom):
    maps = baseline_maps(phantom.volume, phantom.brain_mask, Healthy(33.0))
    assert 1 < maps["B2"].max() <= (110 - 33) / 5
    assert not baseline_maps(phantom.volume, phantom.brain_mask, Healthy(120.0))["B2"].any()


def test_the_storage_order_does_not_matter(phantom):
    volume = phantom.volume
    turned = dataclasses.replace(
        volume,
        hu=volume.hu[:, ::-1, ::-1].copy(),
        affine=volume.affine @ np.diag([1.0, -1.0, -1.0, 1.0]),
    )
    maps = baseline_maps(volume, phantom.brain_mask, Healthy(33.0))
    others = baseline_maps(turned, phantom.brain_mask[:, ::-1, ::-1], Healthy(33.0))
    for name, values in maps.items():
        np.testing.assert_allclose(others[name][:, ::-1, ::-1], values, atol=1e-3)
