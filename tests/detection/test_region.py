import dataclasses

import numpy as np
import pytest

from napari_rsna_inpaint import reinpaint
from napari_rsna_inpaint.detection.region import pack_mask
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.volume import CTVolume


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(6, 160, 160), spacing=(5.0, 1.25, 1.25)
    )


@pytest.fixture
def region(phantom):
    """A rectangle through two slices of the brain."""
    region = np.zeros(phantom.volume.hu.shape, np.uint8)
    region[2:4, 70:95, 60:90] = 1
    return region


def test_only_the_region_changes(phantom, region, tiny_model):
    result = reinpaint(phantom.volume, region, samples=3, model=tiny_model)
    assert result.slices == (2, 3)
    assert result.completions.shape == (3, 2, 160, 160)
    changed = (result.completions != phantom.volume.hu[2:4]).any(0)
    assert changed.any()
    assert not (changed & (region[2:4] == 0)).any()
    assert (result.spread[changed] > 0).any()
    np.testing.assert_allclose(result.mean, result.completions.mean(0))
    np.testing.assert_allclose(
        result.minimum_distance_hu,
        np.abs(result.completions - phantom.volume.hu[2:4]).min(0),
    )


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_scan_stored_the_other_way_round_is_completed_alike(phantom, region, tiny_model, axes):
    volume, mask = phantom.volume, phantom.brain_mask
    affine = volume.affine.copy()
    for axis in axes:
        affine[:, 3] += affine[:, axis] * (volume.hu.shape[axis] - 1)
        affine[:, axis] *= -1
    positions = affine[:3, 3] + np.arange(len(volume.hu))[:, None] * affine[:3, 0]
    turned = CTVolume(np.flip(volume.hu, axes), affine, positions)
    expected = reinpaint(volume, region, model=tiny_model, mask=mask)
    found = reinpaint(turned, np.flip(region, axes), model=tiny_model, mask=np.flip(mask, axes))
    there = np.flip(found.completions, [axis + 1 for axis in axes])
    np.testing.assert_allclose(there, expected.completions, atol=1e-3)


def test_every_completion_is_handed_over_when_it_is_done(phantom, region, tiny_model):
    calls = []
    result = reinpaint(
        phantom.volume,
        region,
        samples=3,
        model=tiny_model,
        mask=phantom.brain_mask,
        on_progress=lambda done, total: calls.append((done, total)),
        on_completion=lambda *completion: calls.append(completion),
    )
    assert [call[0] for call in calls] == [1, 2, 0, 3, 4, 1, 5, 6, 2]
    for k, slices, completion in calls[2::3]:
        assert slices == result.slices
        np.testing.assert_array_equal(completion, result.completions[k])


def test_a_packed_mask_is_as_good_as_an_array(phantom, region, tiny_model):
    mask = phantom.brain_mask.copy()
    mask[2, :80] = False
    masks = (mask, pack_mask(phantom.volume, mask))
    array, packed = (
        reinpaint(phantom.volume, region, samples=1, model=tiny_model, mask=one, seed=4)
        for one in masks
    )
    np.testing.assert_array_equal(packed.completions, array.completions)
    for result in (array, packed):
        np.testing.assert_array_equal(result.region, (region & mask)[2:4] > 0)
        assert result.seed == 4


def test_completions_come_before_the_later_ones_are_computed(phantom, region, tiny_model):
    came = []
    with pytest.raises(Cancelled):
        reinpaint(
            phantom.volume,
            region,
            samples=20,
            model=tiny_model,
            mask=phantom.brain_mask,
            device="cpu",
            on_completion=lambda k, slices, completion: came.append(k),
            cancelled=lambda: bool(came),
        )
    assert came
    assert len(came) < 20


def test_a_completion_does_not_depend_on_how_many_are_drawn(phantom, region, tiny_model):
    few, many = (
        reinpaint(
            phantom.volume, region, samples=n, model=tiny_model, mask=phantom.brain_mask
        ).completions
        for n in (1, 5)
    )
    np.testing.assert_array_equal(few[0], many[0])


def test_nothing_inside_the_region_can_be_copied(phantom, tiny_model):
    """Not from the same slice, nor from the region's part in the next one."""
    region = np.zeros(phantom.volume.hu.shape, np.uint8)
    region[2, 60:80, 60:80] = 1
    region[3, 80:100, 70:100] = 1
    changed = phantom.volume.hu.copy()
    changed[region > 0] = 90
    volumes = (phantom.volume, dataclasses.replace(phantom.volume, hu=changed))
    mask = np.ones(region.shape, bool)
    first, second = (
        reinpaint(volume, region, samples=1, model=tiny_model, mask=mask).completions[0]
        for volume in volumes
    )
    # detail finer than the model grid stays that of the original
    core = np.s_[0, 65:75, 65:75]
    assert (
        np.abs(first[core] - second[core]).mean()
        < 0.2 * np.abs(volumes[0].hu[2, 65:75, 65:75].astype(float) - 90).mean()
    )


@pytest.mark.parametrize("column", range(60, 66))
def test_even_a_thin_line_is_completed(phantom, tiny_model, column):
    region = np.zeros(phantom.volume.hu.shape, np.uint8)
    region[2, 70:90, column] = 1
    result = reinpaint(phantom.volume, region, samples=1, model=tiny_model, mask=phantom.brain_mask)
    assert (result.minimum_distance_hu > 0).sum() > 10


def test_the_same_seed_draws_the_same_picture(phantom, tiny_model):
    region = phantom.lesion_mask
    first, second, other = (
        reinpaint(phantom.volume, region, samples=2, model=tiny_model, seed=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.completions, second.completions)
    assert (first.completions != other.completions).any()


def test_a_region_outside_the_brain_is_refused(phantom, tiny_model):
    region = np.zeros(phantom.volume.hu.shape, np.uint8)
    region[2, :5, :5] = 1
    with pytest.raises(InputRefused, match="inside the skull"):
        reinpaint(phantom.volume, region, model=tiny_model)


def test_a_region_of_another_shape_is_refused(phantom, tiny_model):
    with pytest.raises(InputRefused, match="shape"):
        reinpaint(phantom.volume, np.zeros((2, 3, 4)), model=tiny_model)
