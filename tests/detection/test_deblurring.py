import logging

import numpy as np
import pytest
import torch
from calibrations import plain_calibration
from scipy import ndimage

from napari_rsna_inpaint.detection.calibration import save_calibration
from napari_rsna_inpaint.detection.config import changed
from napari_rsna_inpaint.detection.deblur import DeblurConfig, blur_kernel, sharpen
from napari_rsna_inpaint.detection.registry import make_detector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.kernels import gaussian_kernel, motion_kernel
from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, LabelUNet
from napari_rsna_inpaint.diffusion.model import ModelConfig
from napari_rsna_inpaint.diffusion.model_folder import save_model
from napari_rsna_inpaint.diffusion.unet import UNetConfig
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

MODEL = ModelConfig()


@pytest.fixture(scope="module")
def head():
    return head_phantom(0, shape=(3, 240, 208), spacing=(5.0, 0.9, 0.9))


def scan_of(head, sigma_mm: float = 0.0) -> Scan:
    hu = np.stack(
        [ndimage.gaussian_filter(z.astype(np.float32), sigma_mm / 0.9) for z in head.volume.hu]
    )
    volume = CTVolume(hu=hu, affine=head.volume.affine, positions=head.volume.positions)
    grid = ModelGrid.around(head.brain_mask, volume.spacing[1:], 1.0)
    return Scan(volume, head.brain_mask, grid, 1.0)


def half(x, t):
    """v-prediction that stands for a network."""
    return 0.5 * x


def sharpened(images, config, kernel, predict=half):
    hu = torch.from_numpy(images)[:, None]
    seeds = list(range(len(images)))
    return sharpen(hu, kernel, config, MODEL, MODEL.schedule(), predict, seeds)[:, 0].numpy()


def test_nothing_is_done_unless_asked_for(head):
    assert DeblurConfig().kind == "off"
    assert DeblurConfig().evaluations == 0
    assert blur_kernel(DeblurConfig(), scan_of(head)) is None


def test_a_known_blur_is_taken_as_given(head, caplog):
    scan = scan_of(head)
    given = DeblurConfig(kind="gaussian", sigma_mm=1.4)
    np.testing.assert_array_equal(blur_kernel(given, scan), gaussian_kernel(1.4, 1.0))
    given = DeblurConfig(kind="motion", length_mm=4, angle_deg=30)
    np.testing.assert_array_equal(blur_kernel(given, scan), motion_kernel(4, 30, 1.0))
    assert "estimated" not in caplog.text


def test_a_guessed_blur_is_called_a_guess(head, caplog):
    guess = DeblurConfig(kind="estimate")
    with caplog.at_level(logging.WARNING):
        kernel = blur_kernel(guess, scan_of(head, 1.5))
    assert "estimated, not known" in caplog.text
    assert "may alter the anatomy" in caplog.text
    assert kernel is not None
    assert kernel.max() == pytest.approx(gaussian_kernel(1.5, 1.0).max(), rel=0.4)


def test_a_sharp_scan_is_left_as_it_is(head, caplog):
    assert blur_kernel(DeblurConfig(kind="estimate"), scan_of(head)) is None
    assert not caplog.records


@pytest.mark.parametrize("method", ["diffpir", "wiener"])
def test_every_section_is_sharpened_by_itself_and_bone_stays_bone(head, method):
    scan = scan_of(head, 1.0)
    images = np.stack([scan.context(z).image for z in scan.with_brain])
    config = DeblurConfig(kind="gaussian", method=method, steps=3)
    kernel = gaussian_kernel(1.0, 1.0)
    calls = []

    def predict(x, t):
        calls.append(t)
        return half(x, t)

    together = sharpened(images, config, kernel, predict)
    assert together.shape == images.shape
    assert together.dtype == np.float32
    assert len(calls) == config.evaluations == (3 if method == "diffpir" else 0)
    assert together.max() > images.max() > 800
    np.testing.assert_array_equal(together[:1], sharpened(images[:1], config, kernel))


def test_the_wiener_filter_brings_the_brain_nearer_to_the_truth(head):
    truth, scan = scan_of(head), scan_of(head, 1.5)
    config = DeblurConfig(kind="gaussian", sigma_mm=1.5, method="wiener")
    for z in scan.with_brain:
        sharp, observed, brain = truth.context(z).image, scan.context(z).image, scan.brain(z)
        found = sharpened(observed[None], config, gaussian_kernel(1.5, 1.0))[0]
        before, after = (
            np.abs(one.clip(-20, 120) - sharp.clip(-20, 120))[brain].mean()
            for one in (observed, found)
        )
        assert after < 0.7 * before


def test_parameters_are_those_of_a_form():
    config = changed(DeblurConfig(), {"kind": "motion", "length_mm": "4.5"})
    assert config.length_mm == 4.5
    with pytest.raises(InputRefused, match="noise_hu"):
        changed(config, {"noise_hu": 0})
    assert all(field.description for field in DeblurConfig.model_fields.values())


@pytest.fixture(scope="module")
def cfg_folder(tmp_path_factory):
    network = UNetConfig(in_channels=2, widths=(8, 16), groups=4, time_channels=16)
    torch.manual_seed(0)
    unet = LabelUNet(network)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    folder = tmp_path_factory.mktemp("models") / "cfg"
    save_model(folder, unet, CfgModelConfig(network=network))
    save_calibration(folder, "cfg", plain_calibration())
    return folder


def test_the_detector_translates_the_sharpened_slices(head, cfg_folder):
    scan = scan_of(head, 1.5)

    def residuals(indices, **parameters):
        steps = []
        parameters |= {"steps": 1, "refinements": 0}
        engine = make_detector("cfg", parameters=parameters, model=cfg_folder, device="cpu")
        found = engine.run(scan, indices=indices, seed=0, on_step=lambda *s: steps.append(s))
        return {one.index: one.residual for one in found}, steps

    plain, few = residuals(scan.with_brain)
    sharp = {"deblur.kind": "gaussian", "deblur.sigma_mm": 1.5, "deblur.steps": 3}
    sharpened, more = residuals(scan.with_brain, **sharp)
    assert more[-1] == (few[-1][0] + 3 * len(scan.with_brain),) * 2
    alone, _ = residuals(scan.with_brain[-1:], **sharp)
    for z, residual in alone.items():
        np.testing.assert_array_equal(residual, sharpened[z])
        assert (residual != plain[z]).any()


def test_the_record_of_a_run_remembers_a_guess(cfg_folder):
    guess = {"deblur.kind": "estimate"}
    engine = make_detector("cfg", parameters=guess, model=cfg_folder, device="cpu")
    assert "may alter the anatomy" in engine.provenance()["remarks"][0]
    assert make_detector("cfg", model=cfg_folder).provenance()["remarks"] == []
