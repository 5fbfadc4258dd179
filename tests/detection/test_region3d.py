import dataclasses

import numpy as np
import pytest
from wavelet_models import save_small_model

from napari_rsna_inpaint import read, reinpaint
from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.io.write import write_nifti
from napari_rsna_inpaint.volume import CTVolume


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(8, 96, 96), spacing=(5.0, 2.0, 2.0)
    )


@pytest.fixture
def region(phantom):
    """A box through three slices of the brain."""
    region = np.zeros(phantom.volume.hu.shape, np.uint8)
    region[3:6, 40:58, 36:54] = 1
    return region & phantom.brain_mask


def complete(phantom, region, model, volume=None, **options):
    return reinpaint(
        volume or phantom.volume,
        region,
        detector="wavelet3d",
        model=model,
        device="cpu",
        mask=options.pop("mask", phantom.brain_mask),
        **options,
    )


def test_only_the_region_changes(phantom, region, model):
    result = complete(phantom, region, model, samples=2)
    assert result.slices == (3, 4, 5)
    assert result.completions.shape == (2, 3, 96, 96)
    changed = (result.completions != phantom.volume.hu[3:6]).any(0)
    np.testing.assert_array_equal(changed & (region[3:6] == 0), False)
    assert changed[region[3:6] > 0].mean() > 0.95
    assert (result.spread[changed] > 0).mean() > 0.95


@pytest.mark.parametrize("axes", [(0,), (0, 1, 2)])
def test_a_scan_stored_the_other_way_round_is_completed_alike(phantom, region, model, axes):
    volume = phantom.volume
    affine = volume.affine.copy()
    for axis in axes:
        affine[:, 3] += affine[:, axis] * (volume.hu.shape[axis] - 1)
        affine[:, axis] *= -1
    positions = affine[:3, 3] + np.arange(len(volume.hu))[:, None] * affine[:3, 0]
    turned = CTVolume(np.flip(volume.hu, axes), affine, positions)
    expected = complete(phantom, region, model, samples=1)
    found = complete(
        phantom,
        np.flip(region, axes),
        model,
        turned,
        samples=1,
        mask=np.flip(phantom.brain_mask, axes),
    )
    there = np.flip(found.completions, [axis + 1 for axis in axes])
    np.testing.assert_allclose(there, expected.completions, atol=1e-2)


def test_nothing_inside_the_region_can_be_copied(phantom, region, model):
    changed = np.where(region > 0, 90, phantom.volume.hu).astype(np.int16)
    other = dataclasses.replace(phantom.volume, hu=changed)
    first, second = (
        complete(phantom, region, model, volume, samples=1).completions[0]
        for volume in (phantom.volume, other)
    )
    core = np.s_[:, 44:54, 40:50]
    assert np.abs(first[core] - second[core]).max() < 1


def test_thin_slices_are_completed_as_sections(phantom, region, model):
    thin = head_phantom(seed=3, shape=(16, 96, 96), spacing=(1.25, 2.0, 2.0))
    where = np.zeros(thin.volume.hu.shape, np.uint8)
    where[7:9, 40:50, 40:50] = 1
    result = reinpaint(
        thin.volume, where, detector="wavelet3d", model=model, samples=1, mask=thin.brain_mask
    )
    assert result.slices == (7, 8)
    assert (result.completions[0] != thin.volume.hu[7:9])[where[7:9] > 0].mean() > 0.9


def test_every_completion_is_handed_over_when_it_is_done(phantom, region, model):
    calls = []
    result = complete(
        phantom,
        region,
        model,
        samples=2,
        on_progress=lambda done, total: calls.append((done, total)),
        on_completion=lambda k, slices, image: calls.append(k),
    )
    steps = [call for call in calls if isinstance(call, tuple)]
    assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]
    assert calls[len(steps) // 2] == 0
    assert calls[-1] == 1
    assert len(result.completions) == 2


def test_it_stops_when_asked(phantom, region, model):
    with pytest.raises(Cancelled):
        complete(phantom, region, model, cancelled=lambda: True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"detector": "picard"}, "grid or wavelet3d"), ({"backend": "onnx"}, "backend")],
)
def test_what_cannot_complete_a_region_is_refused(phantom, region, model, options, reason):
    with pytest.raises(InputRefused, match=reason):
        reinpaint(phantom.volume, region, model=model, **{"detector": "wavelet3d", **options})


def test_the_command_completes_in_three_dimensions(phantom, region, model, tmp_path):
    write_nifti(tmp_path / "scan.nii.gz", phantom.volume.hu, phantom.volume)
    write_nifti(tmp_path / "region.nii.gz", region, phantom.volume)
    words = ["reinpaint", tmp_path / "scan.nii.gz", "--region", tmp_path / "region.nii.gz"]
    words += ["--detector", "wavelet3d", "--model", model, "--samples", "1", "--device", "cpu"]
    assert main([*map(str, words), "-o", str(tmp_path / "out")]) == 0
    found = read(tmp_path / "out" / "mean.nii.gz").hu
    changed = found != phantom.volume.hu
    assert changed.any()
    assert not changed[region == 0].any()
