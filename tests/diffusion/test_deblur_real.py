"""Sharpening of real head CT: healthy scans that no model was trained on, blurred on purpose.

``pytest -s`` prints the figures of docs/deblurring.md.
"""

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_rsna_inpaint import read
from napari_rsna_inpaint.brain import packed_brain_mask
from napari_rsna_inpaint.detection.deblur import DeblurConfig, sharpen
from napari_rsna_inpaint.detection.registry import make_detector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.deblur import blur, split_excess, wiener
from napari_rsna_inpaint.diffusion.kernels import gaussian_kernel
from napari_rsna_inpaint.diffusion.label_unet import Label
from napari_rsna_inpaint.diffusion.samplers import Predict
from napari_rsna_inpaint.diffusion.sharpness import extra_sigma_mm
from napari_rsna_inpaint.errors import InputRefused

pytestmark = pytest.mark.data

SCANS = ("s10", "s22", "s31", "s33", "s57")
WINDOW = (-20.0, 120.0)
NOISE_HU = 2.0
#: Weights of the noise, of which the Wiener filter may take the best.
SWEEP = (0.25, 0.5, 1.0, 2.0, 4.0)


@pytest.fixture(scope="module")
def detector():
    try:
        return make_detector("cfg", device="cpu")
    except InputRefused:
        pytest.skip("no model of the detector cfg is installed")


@pytest.fixture(scope="module")
def scans(data_root) -> list[Scan]:
    from napari_rsna_inpaint.detection.model_detector import brain_grid
    from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig

    found = []
    for name in SCANS:
        volume = read(data_root / "rsna-head-ct" / "no_ich" / name)
        mask = packed_brain_mask(volume)
        grid = brain_grid(volume, mask.outline()[None], CfgModelConfig())
        found.append(Scan(volume, mask, grid, 1.0))
    return found


def large(scan: Scan) -> list[int]:
    return [z for z in scan.with_brain if scan.brain(z).sum() > 6000]


def psnr(found: torch.Tensor, sharp: torch.Tensor, brain: np.ndarray) -> float:
    """In the brain, of images clipped to the window, dB."""
    difference = (found.clamp(*WINDOW) - sharp.clamp(*WINDOW))[0, 0].numpy()[brain]
    return 10 * np.log10((WINDOW[1] - WINDOW[0]) ** 2 / np.mean(difference**2))


def prior(network, brain: np.ndarray) -> Predict:
    mask = torch.from_numpy(brain)[None, None].float()

    def predict(x, t):
        times = torch.full((1,), t)
        return network(x, mask, times, torch.full_like(times, Label.NULL))

    return predict


@pytest.mark.parametrize("sigma_mm", [1.0, 1.5, 2.0])
@torch.inference_mode()
def test_the_prior_does_better_than_the_best_wiener_filter(detector, scans, sigma_mm):
    model, kernel = detector.model_config, gaussian_kernel(sigma_mm, 1.0)
    config = DeblurConfig(kind="gaussian", sigma_mm=sigma_mm, noise_hu=NOISE_HU)
    rows = []
    for k, scan in enumerate(scans):
        chosen = large(scan)
        for z in (chosen[len(chosen) // 3], chosen[2 * len(chosen) // 3]):
            brain = scan.brain(z)
            sharp = torch.from_numpy(scan.context(z).image)[None, None]
            generator = torch.Generator().manual_seed(100 * k + z)
            noise = NOISE_HU * torch.randn(sharp.shape, generator=generator)
            observed = blur(sharp, kernel) + noise
            inside, excess = split_excess(observed, kernel, NOISE_HU, WINDOW)
            filtered = [
                wiener(inside, kernel, weight * NOISE_HU).clamp(*WINDOW) + excess
                for weight in SWEEP
            ]
            clipped = wiener(observed.clamp(*WINDOW), kernel, NOISE_HU)
            predict = prior(detector.network, brain)
            restored = sharpen(observed, kernel, config, model, model.schedule(), predict, [0])
            images = (observed, clipped, restored, *filtered)
            deep = ndimage.binary_erosion(brain, iterations=4)
            rows.append([[psnr(one, sharp, part) for part in (brain, deep)] for one in images])
    found = np.array(rows)  # slice, image, part of the brain
    (before, without, after, *sweep), (_, _, after_deep, *sweep_deep) = found.mean(0).T
    best, best_deep = max(sweep), max(sweep_deep)
    wins = (found[:, 2, 0] > found[:, 3:, 0].max(1)).sum()
    print(
        f"\n| {sigma_mm} mm | {before:.1f} | {without:.1f} | {best:.1f} | **{after:.1f}** | "
        f"{wins} of {len(rows)} | {best_deep:.1f} | **{after_deep:.1f}** |"
    )
    assert best > before + 3
    assert after > best
    assert after_deep > best_deep - 0.2
    assert wins >= len(rows) / 2


@pytest.mark.parametrize("sigma_mm", [1.0, 1.5, 2.0])
def test_the_blur_is_estimated_to_a_quarter_of_a_millimetre(scans, sigma_mm):
    errors = []
    for scan in scans:
        blurred = (
            (ndimage.gaussian_filter(scan.context(z).image, sigma_mm), scan.brain(z))
            for z in scan.with_brain[::2]
        )
        errors.append(extra_sigma_mm(blurred, 1.0) - sigma_mm)
    print(f"\n{sigma_mm} mm: {np.round(errors, 2)}")
    assert np.sqrt(np.mean(np.square(errors))) < 0.25


def test_scans_as_they_are_are_left_alone(scans):
    for scan in scans:
        slices = ((scan.context(z).image, scan.brain(z)) for z in scan.with_brain)
        assert extra_sigma_mm(slices, 1.0) < 0.6
