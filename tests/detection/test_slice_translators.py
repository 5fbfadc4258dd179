"""Detectors that translate whole slices: cfg, classifier-guidance and onestep."""

import numpy as np
import pytest
from slice_models import cfg_model, guided_model

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.brain import packed_brain_mask
from napari_rsna_inpaint.detection.registry import load_detector, make_detector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom

NAMES = ("cfg", "classifier-guidance", "onestep")


@pytest.fixture(scope="module")
def volume():
    shape, spacing = (6, 80, 80), (5.0, 2.5, 2.5)
    return head_phantom(seed=3, bleed="intraparenchymal", shape=shape, spacing=spacing).volume


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    cfg = cfg_model(folder / "cfg")
    return {
        "cfg": cfg,
        "onestep": cfg,
        "classifier-guidance": guided_model(folder / "guided"),
    }


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def scan_of(volume, detector):
    mask = packed_brain_mask(volume)
    return Scan(volume, mask, detector.grid(volume, mask.outline()), detector.pixel_mm)


def residuals(detector, scan, indices, **options):
    return {one.index: one.residual for one in detector.run(scan, indices=indices, **options)}


def test_a_slice_does_not_depend_on_the_others(name, volume, models):
    detector = make_detector(name, model=models[name], device="cpu")
    scan = scan_of(volume, detector)
    together = residuals(detector, scan, scan.with_brain, seed=1)
    alone = residuals(detector, scan, scan.with_brain[::-2], seed=1)
    assert len(together) > len(alone) > 0
    for z, residual in alone.items():
        np.testing.assert_array_equal(residual, together[z])
        assert residual.any()
        assert not residual[~scan.brain(z)].any()


def test_progress_counts_every_evaluation(name, volume, models):
    detector = make_detector(name, "interactive", model=models[name], device="cpu")
    scan = scan_of(volume, detector)
    seen = []
    residuals(detector, scan, scan.with_brain, seed=0, on_step=lambda *step: seen.append(step))
    total = detector.evaluations() * len(scan.with_brain)
    assert {of for _, of in seen} == {total}
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (total, total)


def test_a_stopped_run_goes_on_to_the_same_result(name, volume, models, tmp_path):
    options = {"detector": name, "model": models[name], "device": "cpu", "store": tmp_path}
    finished = []
    with pytest.raises(Cancelled) as stopped:
        detect(
            volume,
            **options,
            on_progress=lambda done, total, part: finished.append(part) if part else None,
            cancelled=lambda: len(finished) > 0,
        )
    assert 0 < stopped.value.partial.done.sum() < len(volume.hu)
    resumed = detect(volume, **options)
    whole = detect(volume, name, model=models[name], device="cpu")
    assert resumed.run["denoiser_evaluations"] < whole.run["denoiser_evaluations"]
    for image in ("inpainted", "residual", "heatmap", "labels"):
        np.testing.assert_array_equal(getattr(resumed, image), getattr(whole, image))


def test_what_is_shown_adds_up(name, volume, models):
    found = detect(volume, name, model=models[name], device="cpu")
    np.testing.assert_allclose(found.inpainted + found.residual, volume.hu, atol=1e-3)
    assert not found.residual[~found.brain_mask].any()
    assert found.run["detector"] == name
    assert found.run["model"] == models[name].name
    assert found.squares == []


def test_without_guidance_nothing_is_suspicious(volume, models):
    parameters = {"w": -1.0}
    found = detect(volume, "cfg", parameters=parameters, model=models["cfg"], device="cpu")
    assert np.abs(found.residual).max() < 0.01
    parameters = {"scale": 0.0, "exact": False, "refinements": 8}
    model = models["classifier-guidance"]
    found = detect(volume, "classifier-guidance", parameters=parameters, model=model, device="cpu")
    assert np.abs(found.residual).max() < 1


def test_other_parameters_than_those_of_the_calibration_are_noted(volume, models):
    found = detect(volume, "cfg", parameters={"w": 3}, model=models["cfg"], device="cpu")
    assert "other-calibration" in [note["code"] for note in found.run["notes"]]
    assert found.run["parameters"]["w"] == 3
    plain = detect(volume, "cfg", model=models["cfg"], device="cpu")
    assert "other-calibration" not in [note["code"] for note in plain.run["notes"]]


def test_noise_of_onestep_follows_the_seed(volume, models):
    detector = make_detector("onestep", "interactive", model=models["onestep"], device="cpu")
    scan = scan_of(volume, detector)
    one, again, other = (
        residuals(detector, scan, scan.with_brain[:1], seed=seed) for seed in (0, 0, 1)
    )
    (z,) = one
    np.testing.assert_array_equal(one[z], again[z])
    assert np.abs(one[z] - other[z]).max() > 0


def test_models_of_another_method_are_refused(models):
    with pytest.raises(InputRefused, match="trained by the method 'classifier-guidance'"):
        make_detector("cfg", model=models["classifier-guidance"])
    with pytest.raises(InputRefused, match="not by 'onnx'"):
        make_detector("cfg", model=models["cfg"], backend="onnx")


def test_published_settings():
    """Classifier-free: w 4; by classifier, as Wolleb et al.: scale 100; both half of the way.

    Half of their linear schedule leaves 28 % of the signal.
    """
    cfg = load_detector("cfg").presets["reference"]
    assert (cfg.steps, cfg.w, cfg.exact) == (500, 4.0, False)
    guided = load_detector("classifier-guidance").presets["reference"]
    assert (guided.steps, guided.scale, guided.anneal) == (500, 100.0, 0.0)
    linear = np.prod(1 - np.linspace(1e-4, 0.02, 1000)[:500])
    for preset in (cfg, guided):
        alpha, _ = CfgModelConfig().schedule().alpha_sigma(preset.level - 1)
        assert alpha == pytest.approx(np.sqrt(linear), abs=0.002)


@pytest.mark.parametrize(
    ("name", "parameters", "reason"),
    [
        ("cfg", {"level": 3}, "steps does not fit: .*a level of 3 has no more steps"),
        ("classifier-guidance", {"steps": 850}, "a level of 800"),
        ("onestep", {"levels": [0, 500]}, "levels.0 does not fit"),
        ("onestep", {"levels": []}, "levels does not fit"),
    ],
)
def test_levels_and_steps_that_there_are_not_are_refused(name, parameters, reason, models):
    with pytest.raises(InputRefused, match=reason):
        make_detector(name, model=models[name], parameters=parameters)


def test_levels_beyond_those_of_the_model_are_refused(tmp_path):
    model = cfg_model(tmp_path, n_timesteps=300)
    with pytest.raises(InputRefused, match="choose a level below"):
        make_detector("cfg", model=model)
    with pytest.raises(InputRefused, match="choose no level beyond"):
        make_detector("onestep", model=model)
    make_detector("cfg", model=model, parameters={"level": 299})
    make_detector("onestep", model=model, parameters={"levels": [300]})
