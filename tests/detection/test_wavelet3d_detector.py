import dataclasses

import numpy as np
import pytest
from wavelet_models import save_small_model

from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.detection.wavelet3d import PRESETS, Wavelet3dConfig, Wavelet3dDetector
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.inpaint.volumetric import VolumeSampling

ONE_STEP = VolumeSampling(method="one_step")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(10, 96, 96), spacing=(5.0, 2.0, 2.0)
    )


def make(model, **changes):
    config = Wavelet3dConfig(**{"sampling": ONE_STEP, "offsets": ((0.0, 0.0),), **changes})
    return Wavelet3dDetector("fast", config, model=model, device="cpu")


def scan_of(phantom, detector):
    mask = phantom.volume.to_canonical(phantom.brain_mask)
    grid = detector.grid(phantom.volume, mask.any(0))
    return Scan(phantom.volume, mask, grid, detector.pixel_mm)


def found(detector, scan, indices=None, **options):
    wanted = scan.with_brain if indices is None else indices
    return list(detector.run(scan, indices=wanted, seed=1, **options))


@pytest.mark.parametrize("depth", [0, 3])
def test_all_of_the_brain_is_measured(phantom, model, depth):
    detector = make(model, depth_sections=depth)
    scan = scan_of(phantom, detector)
    scores = found(detector, scan)
    assert [one.index for one in scores] == scan.with_brain
    for one in scores:
        brain = scan.brain(one.index)
        assert one.residual.shape == scan.shape
        assert one.scales.shape == (1, *scan.shape)
        assert (one.residual[brain] != 0).mean() > 0.99
        assert not one.residual[~brain].any()
        assert len(one.squares)
        assert one.squares["covered"].sum() * 16**2 == pytest.approx(brain.sum(), rel=1e-3)


def test_a_section_does_not_depend_on_which_others_are_asked_for(phantom, model):
    detector = make(model)
    scan = scan_of(phantom, detector)
    every = {one.index: one for one in found(detector, scan)}
    order = [scan.with_brain[-1], scan.with_brain[1]]
    some = found(detector, scan, order)
    assert [one.index for one in some] == order
    for one in some:
        for name in ("residual", "scales", "minimum", "squares"):
            np.testing.assert_array_equal(getattr(one, name), getattr(every[one.index], name))


def test_a_hidden_column_cannot_be_copied_from_next_door(phantom, model):
    """With boxes through the head, what a section shows has no influence on its completion."""
    detector = make(model)
    changed = phantom.volume.hu.astype(np.float32)
    changed[phantom.brain_mask] += 30
    other = dataclasses.replace(phantom, volume=dataclasses.replace(phantom.volume, hu=changed))
    z = scan_of(phantom, detector).with_brain[3]
    config = make(model, sizes_mm=(400.0,))
    before, after = (
        found(config, scan_of(one, config), [z])[0].residual for one in (phantom, other)
    )
    brain = scan_of(phantom, detector).brain(z)
    # all of the brain is one box: the same completion, so the residual grows by what was added
    assert np.median((after - before)[brain]) == pytest.approx(30, abs=0.5)


def test_several_completions_are_averaged_and_the_nearest_is_kept(phantom, model):
    sampling = VolumeSampling(method="ddpm", steps=2)
    detector = make(model, sampling=sampling, samples=3)
    single = make(model, sampling=sampling)
    z = scan_of(phantom, detector).with_brain[2]
    one = found(detector, scan_of(phantom, detector), [z])[0]
    first = found(single, scan_of(phantom, single), [z])[0]
    assert (np.abs(one.minimum) <= np.abs(first.minimum) + 1e-4).all()
    assert (one.residual != first.residual).any()
    np.testing.assert_array_equal(first.minimum, first.residual)


def test_progress_counts_every_evaluation(phantom, model):
    detector = make(model, samples=2)
    calls = []
    found(detector, scan_of(phantom, detector), on_step=lambda *call: calls.append(call))
    total = calls[0][1]
    assert calls == [(done, total) for done in range(1, total + 1)]


def test_it_stops_when_asked(phantom, model):
    detector = make(model)
    calls = []
    with pytest.raises(Cancelled):
        found(
            detector,
            scan_of(phantom, detector),
            on_step=lambda *call: calls.append(call),
            cancelled=lambda: len(calls) >= 2,
        )
    assert len(calls) == 2


def test_other_backends_are_refused(model):
    with pytest.raises(InputRefused, match="backend"):
        Wavelet3dDetector("fast", model=model, backend="onnx")


def test_models_of_other_methods_are_refused(tiny_model):
    with pytest.raises(InputRefused, match="method"):
        Wavelet3dDetector("fast", model=tiny_model)


def test_the_presets_cost_more_from_quick_to_published():
    def evaluations(config):
        tilings = len(config.sizes_mm) * len(config.offsets) * config.period**2
        return tilings * config.samples * config.sampling.evaluations

    costs = [evaluations(PRESETS[n]) for n in ("interactive", "fast", "full", "reference")]
    assert costs == sorted(set(costs))


def test_a_model_of_the_default_mode_takes_more_than_two_steps(phantom, tmp_path):
    model = save_small_model(tmp_path / "default", "default")
    with pytest.raises(InputRefused, match="through noise"):
        Wavelet3dDetector("fast", model=model, device="cpu")
    detector = make(model, sampling=VolumeSampling(method="dpm++", steps=3))
    z = scan_of(phantom, detector).with_brain[0]
    assert found(detector, scan_of(phantom, detector), [z])[0].residual.any()
