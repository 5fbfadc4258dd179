from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter, uniform_filter

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.lesions import (
    HU,
    SUBTYPES,
    VOLUME_ML,
    Lesion,
    Shape,
    Subtype,
    draw_mean_hu,
    draw_volume_ml,
    insert_bleed,
    read_shape,
)
from napari_rsna_inpaint.evaluate.phantom import Phantom, head_phantom
from napari_rsna_inpaint.volume import CTVolume

ML = {
    "intraparenchymal": 9.0,
    "intraventricular": 3.0,
    "subarachnoid": 1.0,
    "subdural": 12.0,
    "epidural": 14.0,
}
Bled = tuple[CTVolume, np.ndarray, Lesion]


@pytest.fixture(scope="module")
def head() -> Phantom:
    return head_phantom(3, shape=(27, 192, 192), spacing=(5.0, 1.2, 1.2))


@pytest.fixture(scope="module", params=SUBTYPES)
def bled(request: pytest.FixtureRequest, head: Phantom) -> Bled:
    return insert(head, request.param)


def insert(head: Phantom, subtype: Subtype, seed: int = 1, **options: object) -> Bled:
    options = {"hu_set": "acute", "volume_ml": ML[subtype], **options}
    rng = np.random.default_rng(seed)
    return insert_bleed(head.volume, head.brain_mask, rng, subtype=subtype, **options)


def ball(radius_mm: float, spacing: tuple[float, float, float]) -> np.ndarray:
    half = [int(radius_mm / mm) + 1 for mm in spacing]
    z, y, x = (np.arange(-n, n + 1) * mm for n, mm in zip(half, spacing, strict=True))
    return z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= radius_mm**2


def flipped(volume: CTVolume, axes: tuple[int, ...]) -> CTVolume:
    affine = volume.affine.copy()
    positions = volume.positions.copy()
    for axis in axes:
        step = affine[:, axis] * (volume.hu.shape[axis] - 1)
        affine[:, 3] += step
        affine[:, axis] *= -1
        positions = positions[::-1] if axis == 0 else positions + step[:3]
    hu = np.ascontiguousarray(np.flip(volume.hu, axes))
    return replace(volume, hu=hu, affine=affine, positions=positions)


def test_the_bleed_has_the_wanted_density_and_volume(head: Phantom, bled: Bled) -> None:
    volume, mask, lesion = bled
    assert lesion.volume_ml == pytest.approx(ML[lesion.subtype], rel=0.03)
    in_mask = (mask * volume.voxel_volumes_ml[:, None, None]).sum()
    thin = lesion.subtype == "subarachnoid"  # much of it fills less than half of a voxel
    assert in_mask == pytest.approx(ML[lesion.subtype], rel=0.5 if thin else 0.2)
    soft = mask & (head.volume.hu < 70)
    assert volume.hu[soft].mean() == pytest.approx(lesion.mean_hu, abs=0.3)
    change = volume.hu[mask].astype(float) - head.volume.hu[mask]
    assert lesion.contrast_hu == pytest.approx(change.mean(), abs=0.01)
    assert lesion.contrast_hu > 8
    assert lesion.slices == tuple(np.flatnonzero(mask.any(axis=(1, 2))))
    assert volume.hu.dtype == head.volume.hu.dtype


def test_the_rest_of_the_scan_is_untouched(head: Phantom, bled: Bled) -> None:
    volume, mask, _ = bled
    far = distance_transform_edt(~mask, sampling=volume.spacing) > 18
    changed = volume.hu != head.volume.hu
    assert changed[mask].mean() > 0.9
    assert not changed[far].any()
    assert not changed[~head.brain_mask].any()
    assert not mask[~head.brain_mask].any()


def test_the_seed_decides_everything(head: Phantom, bled: Bled) -> None:
    volume, mask, lesion = bled
    again = insert(head, lesion.subtype)
    assert np.array_equal(again[0].hu, volume.hu)
    assert np.array_equal(again[1], mask)
    assert again[2] == lesion
    assert not np.array_equal(insert(head, lesion.subtype, seed=2)[0].hu, volume.hu)


def test_the_storage_order_does_not_move_the_bleed(head: Phantom, bled: Bled) -> None:
    volume, mask, lesion = bled
    axes = (0, 1, 2)
    turned = Phantom(
        flipped(head.volume, axes), np.flip(head.brain_mask, axes), np.flip(head.lesion_mask, axes)
    )
    other, other_mask, other_lesion = insert(turned, lesion.subtype)
    assert np.abs(other.to_canonical(other.hu) - volume.hu).max() <= 1
    assert (other.to_canonical(other_mask) != mask).mean() < 1e-6
    assert other_lesion.mean_hu == lesion.mean_hu
    assert np.array_equal(other.affine, turned.volume.affine)


@pytest.mark.parametrize("subtype", ["intraparenchymal", "subdural", "epidural"])
def test_noise_is_neither_removed_nor_doubled(head: Phantom, subtype: Subtype) -> None:
    volume, mask, _ = insert(head, subtype, volume_ml=30.0)

    def noise(hu: np.ndarray, where: np.ndarray) -> float:
        values = hu.astype(float)
        return float((values - uniform_filter(values, (0, 3, 3)))[where].std())

    before = head.volume.hu
    smooth = gaussian_filter(before.astype(float), (0, 2, 2))
    slope = np.hypot(*np.gradient(smooth, axis=(1, 2)))
    depth = distance_transform_edt(head.brain_mask, sampling=volume.spacing)
    flat = (slope < 1) & (smooth > 22) & (depth > 8)
    core = np.stack([binary_erosion(plane, iterations=3) for plane in mask])
    core &= (before < 70) & (depth > 3)
    assert core.sum() > 100
    assert 0.85 < noise(volume.hu, core) / noise(before, flat) < 1.25


def test_blood_in_the_brain_grows_and_shrinks_over_slices(head: Phantom) -> None:
    _, mask, lesion = insert(head, "intraparenchymal", volume_ml=25.0)
    area = mask.sum(axis=(1, 2))[list(lesion.slices)]
    peak = int(area.argmax())
    assert 0 < peak < len(area) - 1
    assert (np.diff(area[: peak + 1]) > 0).all()
    assert (np.diff(area[peak:]) < 0).all()


def test_oedema_surrounds_the_core_and_spares_it(head: Phantom) -> None:
    volume, mask, _ = insert(head, "intraparenchymal", volume_ml=20.0)
    change = volume.hu.astype(float) - head.volume.hu
    z = int(mask.sum(axis=(1, 2)).argmax())
    distance = distance_transform_edt(~mask[z], sampling=volume.spacing[1:])
    assert change[z][(distance > 2) & (distance < 5)].mean() < -0.5
    inner = distance_transform_edt(mask[z], sampling=volume.spacing[1:])
    rim = change[z][(inner > 0) & (inner < 2)].mean()
    assert rim > 0.6 * change[z][inner > 4].mean()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dural_blood_lies_on_the_skull_as_crescent_or_lens(head: Phantom, seed: int) -> None:
    thickness = {}
    for subtype in ("subdural", "epidural"):
        _, mask, lesion = insert(head, subtype, seed, volume_ml=12.0)
        deepest = 0.0
        for z in lesion.slices:
            depth = distance_transform_edt(
                np.pad(head.brain_mask[z], 1), sampling=head.volume.spacing[1:]
            )[1:-1, 1:-1]
            assert depth[mask[z]].min() < 1.5
            deepest = max(deepest, depth[mask[z]].max())
        thickness[subtype] = deepest
        x = np.argwhere(mask)[:, 2]
        middle = np.argwhere(head.brain_mask)[:, 2].mean()
        assert (x > middle - 5).all() or (x < middle + 5).all()
    assert thickness["epidural"] > 1.5 * thickness["subdural"]


@pytest.mark.parametrize("axes", [(), (1,)])
def test_blood_settles_at_the_back_of_the_ventricles(head: Phantom, axes: tuple[int, ...]) -> None:
    volume = flipped(head.volume, axes)
    turned = Phantom(volume, np.flip(head.brain_mask, axes), np.flip(head.lesion_mask, axes))
    _, little, _ = insert(turned, "intraventricular", volume_ml=1.0)
    _, more, _ = insert(turned, "intraventricular", volume_ml=5.0)
    assert volume.hu[more].mean() < 15
    assert (more & little).sum() > 0.9 * little.sum()

    def posterior(mask: np.ndarray) -> np.ndarray:
        return volume.to_patient(np.argwhere(mask))[:, 1]

    assert posterior(little).min() > np.median(posterior(more))


def test_subarachnoid_blood_takes_the_place_of_csf_at_the_surface(head: Phantom) -> None:
    _, mask, _ = insert(head, "subarachnoid")
    before = head.volume.hu
    assert before[mask].mean() < np.median(before[head.brain_mask]) - 6
    depth = distance_transform_edt(head.brain_mask, sampling=head.volume.spacing)
    assert np.percentile(depth[mask], 95) < 30


def test_a_head_without_ventricles_is_refused() -> None:
    brain = np.pad(ball(40, (5.0, 1.0, 1.0)), 3)
    hu = np.where(brain, 35, 900).astype(np.int16)
    affine = np.eye(4)[:, [2, 1, 0, 3]] * [5.0, 1.0, 1.0, 1.0]
    positions = np.arange(len(hu))[:, None] * affine[:3, 0]
    volume = CTVolume(hu=hu, affine=affine, positions=positions)
    for subtype in ("intraventricular", "subarachnoid"):
        with pytest.raises(InputRefused, match=f"no place for the bleed .{subtype}"):
            insert_bleed(volume, brain, np.random.default_rng(0), subtype=subtype)
    with pytest.raises(InputRefused, match="no place"):
        insert_bleed(volume, brain & False, np.random.default_rng(0), subtype="epidural")


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_volumes_and_densities_follow_bhsd(subtype: Subtype) -> None:
    rng = np.random.default_rng(0)
    volumes = [draw_volume_ml(rng, subtype) for _ in range(4000)]
    median, low, largest = VOLUME_ML[subtype]
    assert np.median(volumes) == pytest.approx(median, rel=0.12)
    assert np.quantile(volumes, 0.05) == pytest.approx(low, rel=0.2)
    assert max(volumes) <= largest
    means = [draw_mean_hu(rng, subtype) for _ in range(4000)]
    assert np.mean(means) == pytest.approx(HU["bhsd"][subtype][0], abs=0.6)
    assert np.std(means) == pytest.approx(HU["bhsd"][subtype][1], rel=0.08)


def test_a_real_outline_keeps_volume_and_axes(head: Phantom, tmp_path: Path) -> None:
    spacing = (5.0, 0.5, 0.5)
    mask = ball(12, spacing)
    mask[:, :, mask.shape[2] // 2 + 8 :] = False  # flat towards the left of the patient
    stored = np.pad(mask, 4).transpose(2, 1, 0).astype(np.uint8)
    # LPS arrays in RAS coordinates; then once more with every stored axis turned round.
    affine = np.diag([-0.5, -0.5, 5.0, 1.0])
    turned = affine @ np.diag([-1.0, -1.0, -1.0, 1.0])
    for name, voxels, matrix in (("a", stored, affine), ("b", stored[::-1, ::-1, ::-1], turned)):
        nib.save(nib.Nifti1Image(voxels, matrix), tmp_path / f"{name}.nii.gz")
        shape = read_shape(tmp_path / f"{name}.nii.gz")
        assert shape.spacing == pytest.approx(spacing)
        inside = np.argwhere(mask)
        cut = tuple(slice(*s) for s in zip(inside.min(0), inside.max(0) + 1, strict=True))
        assert np.array_equal(shape.mask, mask[cut])
    assert shape.volume_ml == pytest.approx(mask.sum() * 1.25 / 1000)
    for subtype in ("intraparenchymal", "intraventricular"):
        wanted = None if subtype == "intraparenchymal" else 1.0
        _, _, lesion = insert(head, subtype, shape=shape, volume_ml=wanted)
        assert lesion.volume_ml == pytest.approx(wanted or shape.volume_ml, rel=0.05)


def test_an_outline_that_is_none_is_refused(head: Phantom, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "empty.nii")
    with pytest.raises(InputRefused, match="empty"):
        read_shape(tmp_path / "empty.nii")
    shape = Shape(np.ones((2, 4, 4), bool), (5.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="subdural"):
        insert(head, "subdural", shape=shape)
