from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, label, uniform_filter

from napari_rsna_inpaint.evaluate.phantom import Phantom, head_phantom

SMALL = {"shape": (9, 96, 96), "spacing": (5.0, 2.4, 2.4)}


@pytest.fixture(scope="module", params=[0, 5])
def pair(request: pytest.FixtureRequest) -> tuple[Phantom, Phantom]:
    return head_phantom(request.param), head_phantom(request.param, "intraparenchymal")


def test_the_whole_head_has_the_volume_and_densities_of_an_adult(
    pair: tuple[Phantom, Phantom],
) -> None:
    healthy, _ = pair
    volume, brain = healthy.volume, healthy.brain_mask
    litres = (brain.sum(axis=(1, 2)) * volume.voxel_volumes_ml).sum() / 1000
    assert 0.9 < litres < 1.9
    deep = binary_erosion(brain, iterations=3)
    assert 22 < np.median(volume.hu[deep]) < 40
    assert volume.hu.max() > 900
    assert np.median(volume.hu[:, :10, :10]) < -950
    assert not brain[0].all()
    assert not brain[:, [0, -1]].any()
    assert not brain[:, :, [0, -1]].any()


def test_noise_is_that_of_a_scanner(pair: tuple[Phantom, Phantom]) -> None:
    hu = pair[0].volume.hu[18].astype(float)
    y, x = 110, 92  # white matter of the centrum semiovale
    patch = hu[y : y + 30, x : x + 14]
    patch = patch - uniform_filter(patch, 9)
    assert 2.0 < patch.std() < 6.5
    neighbours = np.corrcoef(patch[:, 1:].ravel(), patch[:, :-1].ravel())[0, 1]
    assert 0.05 < neighbours < 0.8


def test_a_bleed_changes_only_its_surroundings(pair: tuple[Phantom, Phantom]) -> None:
    healthy, bled = pair
    lesion = bled.lesion_mask
    assert not healthy.lesion_mask.any()
    parts = np.bincount(label(lesion, np.ones((3, 3, 3)))[0][lesion])
    assert parts.max() > 0.95 * lesion.sum()
    assert bled.brain_mask[lesion].all()
    assert np.array_equal(healthy.brain_mask, bled.brain_mask)
    assert 50 < bled.volume.hu[lesion].mean() < 78
    changed = np.argwhere(np.abs(bled.volume.hu - healthy.volume.hu) > 3) * bled.volume.spacing
    distance = np.linalg.norm(
        changed - np.argwhere(lesion).mean(axis=0) * bled.volume.spacing, axis=1
    )
    assert distance.max() < 60


def test_subdural_blood_lies_against_the_skull() -> None:
    phantom = head_phantom(2, "subdural")
    inner = np.stack([binary_erosion(plane, iterations=16) for plane in phantom.brain_mask])
    lesion = phantom.lesion_mask
    assert lesion.any()
    assert not (lesion & inner).any()
    sides = np.argwhere(lesion)[:, 2] < lesion.shape[2] / 2
    assert sides.all() or not sides.any()


def test_axes_are_head_posterior_left() -> None:
    volume = head_phantom(**SMALL).volume
    assert volume.canonical_flips == ()
    assert np.allclose(volume.spacing, SMALL["spacing"])
    assert np.allclose(volume.to_patient([4, 47.5, 47.5]), [0, 0, 15])


def test_the_seed_decides_everything() -> None:
    first, again, other = (head_phantom(seed, **SMALL).volume.hu for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
