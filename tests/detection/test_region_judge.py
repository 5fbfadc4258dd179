import dataclasses

import numpy as np
import pytest
from calibrations import plain_calibration

from napari_rsna_inpaint import detect, reinpaint
from napari_rsna_inpaint.detection.calibration import save_calibration
from napari_rsna_inpaint.detection.region import Reinpainting, pack_mask
from napari_rsna_inpaint.detection.region_judge import RegionJudge
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.volume import CTVolume

CALIBRATION = plain_calibration()


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(6, 160, 160), spacing=(5.0, 1.25, 1.25)
    )


@pytest.fixture(scope="module")
def judge(phantom, tiny_model):
    mask = pack_mask(phantom.volume, phantom.brain_mask)
    return RegionJudge(phantom.volume, mask, model=tiny_model)


@pytest.fixture
def detection(phantom, tiny_model):
    detection = detect(phantom.volume, model=tiny_model, protocol="interactive")
    detection.make_arrays()
    return detection


def completed(volume, region, value, k=3):
    """Completions that fill a region with a value, one above and one below by 2 HU."""
    slices = tuple(int(z) for z in np.flatnonzero(region.any((1, 2))))
    original = volume.hu[list(slices)].astype(np.float32)
    inside = region[list(slices)]
    offsets = np.linspace(-2, 2, k, dtype=np.float32)
    completions = np.stack([np.where(inside, value + d, original) for d in offsets])
    return Reinpainting(
        completions=completions,
        slices=slices,
        region=inside,
        mean=completions.mean(0),
        spread=completions.std(0),
        minimum_distance_hu=np.abs(completions - original).min(0),
        seed=7,
    )


def test_the_numbers_of_a_bleed_filled_with_brain(phantom, judge):
    volume, lesion = phantom.volume, phantom.lesion_mask
    bleed = judge.numbers(completed(volume, lesion, 33.0))
    assert bleed.volume_ml == pytest.approx(lesion.sum() * np.prod(volume.spacing) / 1000)
    assert bleed.mean_hu == pytest.approx(volume.hu[lesion].mean())
    assert bleed.completed_hu == pytest.approx(33, abs=1e-3)
    assert bleed.residual_hu == pytest.approx(bleed.mean_hu - 33, abs=1e-3)
    assert bleed.spread_hu == pytest.approx(np.std([-2, 0, 2]), abs=1e-3)
    assert bleed.residual_hu - 2 <= bleed.minimum_distance_hu < bleed.residual_hu
    # the healthy spread is 5 HU at every depth
    assert 0.7 * bleed.residual_hu / 5 < bleed.z <= bleed.residual_hu / 5


def test_brain_filled_with_itself_is_no_deviation(phantom, judge):
    region = np.zeros(phantom.volume.hu.shape, bool)
    region[2, 70:85, 70:85] = True
    region &= phantom.brain_mask & ~phantom.lesion_mask
    usual = phantom.volume.hu[region].mean()
    assert abs(judge.numbers(completed(phantom.volume, region, usual)).z) < 0.3


def test_without_a_result_the_heat_follows_from_the_region_alone(phantom, judge):
    lesion = phantom.lesion_mask
    edit = judge.consequences(completed(phantom.volume, lesion, 33.0))
    inside = edit.region
    np.testing.assert_array_equal(inside, lesion[edit.box])
    assert (edit.before["heatmap"] == 0).all()
    np.testing.assert_array_equal(edit.before["inpainted"], phantom.volume.hu[edit.box])
    assert edit.after["heatmap"][inside].max() > CALIBRATION.finding_heat
    assert (edit.after["heatmap"][~inside] == 0).all()
    np.testing.assert_allclose(edit.after["inpainted"][inside], 33, atol=1e-4)
    total = edit.after["inpainted"] + edit.after["residual"]
    np.testing.assert_allclose(total, phantom.volume.hu[edit.box], atol=1e-4)
    nearest = edit.after["residual"][inside] - 2
    np.testing.assert_allclose(edit.after["minimum_distance"][inside], nearest, atol=1e-3)
    assert (edit.seed, edit.samples, edit.model) == (7, 3, "tiny")


def test_a_region_accepted_as_healthy_loses_its_heat_and_only_it(phantom, judge, detection):
    detection.residual[:] = 0
    bright = judge.consequences(completed(phantom.volume, phantom.lesion_mask, 20.0), detection)
    bright.apply(detection)
    hot = detection.heatmap[phantom.lesion_mask].mean()
    assert hot > CALIBRATION.finding_heat
    result = completed(phantom.volume, phantom.lesion_mask, 0.0)
    original = phantom.volume.hu[list(result.slices)].astype(np.float32)
    same = dataclasses.replace(result, completions=original[None], mean=original)
    elsewhere = {
        name: getattr(detection, name)[~phantom.lesion_mask]
        for name in ("inpainted", "residual", "heatmap")
    }
    judge.consequences(same, detection).apply(detection)
    assert detection.heatmap[phantom.lesion_mask].max() < 0.05 * hot
    assert (detection.residual[phantom.lesion_mask] == 0).all()
    for name, values in elsewhere.items():
        np.testing.assert_array_equal(getattr(detection, name)[~phantom.lesion_mask], values)


def test_a_region_that_stays_as_it_was_keeps_its_heat(phantom, judge, detection):
    """The way from the result to the model grid and back loses little."""
    region = phantom.brain_mask.copy()
    region[[0, -1]] = False
    slices = tuple(int(z) for z in np.flatnonzero(region.any((1, 2))))
    kept = detection.inpainted[list(slices)]
    result = dataclasses.replace(
        completed(phantom.volume, region, 0.0), completions=kept[None], mean=kept
    )
    edit = judge.consequences(result, detection)
    before, after = (one["heatmap"][edit.region] for one in (edit.before, edit.after))
    assert np.abs(after - before).mean() < 0.02
    np.testing.assert_array_equal(edit.after["inpainted"], edit.before["inpainted"])


def test_the_same_seed_gives_the_same_edit(phantom, judge, detection, tiny_model):
    region = phantom.lesion_mask
    first, second = (
        judge.consequences(reinpaint(phantom.volume, region, model=tiny_model, seed=3), detection)
        for _ in range(2)
    )
    for name, values in first.after.items():
        np.testing.assert_array_equal(second.after[name], values)


def test_a_scan_stored_the_other_way_round_is_judged_alike(phantom, judge, tiny_model):
    volume, axes = phantom.volume, (0, 1, 2)
    affine = volume.affine.copy()
    for axis in axes:
        affine[:, 3] += affine[:, axis] * (volume.hu.shape[axis] - 1)
        affine[:, axis] *= -1
    positions = affine[:3, 3] + np.arange(len(volume.hu))[:, None] * affine[:3, 0]
    turned = CTVolume(np.flip(volume.hu, axes), affine, positions)
    other = RegionJudge(
        turned, pack_mask(turned, np.flip(phantom.brain_mask, axes)), model=tiny_model
    )
    lesion = phantom.lesion_mask.copy()
    lesion[:, :, :75] = False
    here, there = completed(volume, lesion, 33.0), completed(turned, np.flip(lesion, axes), 33.0)
    assert other.numbers(there).z == pytest.approx(judge.numbers(here).z, abs=1e-3)
    np.testing.assert_allclose(
        np.flip(other.consequences(there).after["heatmap"], axes),
        judge.consequences(here).after["heatmap"],
        atol=1e-3,
    )


def test_thin_slices_are_judged_in_their_sections(phantom, tiny_model):
    """Every slice of a section gets the same heat as far as it was drawn on."""
    hu = np.repeat(phantom.volume.hu, 4, axis=0)
    affine = phantom.volume.affine.copy()
    affine[:, 0] /= 4
    positions = affine[:3, 3] + np.arange(len(hu))[:, None] * affine[:3, 0]
    volume = CTVolume(hu, affine, positions)
    mask = np.repeat(phantom.brain_mask, 4, axis=0)
    judge = RegionJudge(volume, pack_mask(volume, mask), model=tiny_model)
    lesion = np.repeat(phantom.lesion_mask, 4, axis=0)
    z = int(lesion.sum((1, 2)).argmax()) // 2 * 2
    lesion[np.arange(len(lesion)) // 2 != z // 2] = False
    edit = judge.consequences(completed(volume, lesion, 33.0))
    assert edit.slices == (z, z + 1)
    assert edit.after["heatmap"].max() > CALIBRATION.finding_heat
    both = edit.region.all(0)
    first, second = edit.after["heatmap"]
    np.testing.assert_allclose(first[both], second[both], atol=1e-6)


def test_a_model_without_calibration_is_refused(phantom, tiny_model, tmp_path):
    (tmp_path / "model").mkdir()
    for file in tiny_model.iterdir():
        if file.name != "calibration.json":
            (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    mask = pack_mask(phantom.volume, phantom.brain_mask)
    with pytest.raises(InputRefused, match="calibrat"):
        RegionJudge(phantom.volume, mask, model=tmp_path / "model")
    save_calibration(tmp_path / "model", "grid", CALIBRATION)
    RegionJudge(phantom.volume, mask, model=tmp_path / "model")
