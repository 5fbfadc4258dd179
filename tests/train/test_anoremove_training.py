import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_rsna_inpaint.diffusion.anoremove import (
    ANOREMOVE_NETWORK,
    AnoRemoveModelConfig,
    blurred,
    network_input,
)
from napari_rsna_inpaint.diffusion.model_folder import load_config
from napari_rsna_inpaint.diffusion.unet import PatchUNet, UNetConfig
from napari_rsna_inpaint.train.anomalies import paint_anomalies
from napari_rsna_inpaint.train.anoremove import AnoRemoveMethod, AnoRemoveTrainConfig
from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.loop import Trainer
from napari_rsna_inpaint.train.whole_slices import whole_slice

SMALL = AnoRemoveModelConfig(
    network=UNetConfig(in_channels=5, widths=(16, 32), groups=4, time_channels=16), pixel_mm=2.0
)
CONFIG = AnoRemoveTrainConfig(
    model=SMALL,
    shape=(96, 80),
    batch_size=4,
    steps=30,
    warmup_steps=5,
    learning_rate=5e-3,
    ema_decay=0.9,
    validation_every=15,
    validation_slices=3,
    precision="32-true",
)


def changed(**options) -> AnoRemoveTrainConfig:
    return AnoRemoveTrainConfig(**{**dict(CONFIG), **options})


def test_the_network_is_small():
    size = sum(p.numel() for p in PatchUNet(ANOREMOVE_NETWORK).parameters())
    assert 0.8e6 < size < 1.12e6


def test_the_blur_is_a_gaussian_of_five_pixels_that_keeps_the_mean():
    image = torch.zeros(1, 1, 11, 11)
    image[..., 5, 5] = 1
    spread = blurred(image)[0, 0]
    assert spread.sum() == pytest.approx(1, abs=1e-6)
    assert (spread > 0).sum() == 25
    assert float(spread[5, 4] / spread[5, 5]) == pytest.approx(np.exp(-0.5 / 1.5**2), rel=1e-5)
    flat = torch.full((2, 1, 8, 8), 0.3)
    torch.testing.assert_close(blurred(flat), flat)


@pytest.mark.parametrize("seed", range(6))
def test_anomalies_change_the_brain_alone(series, seed):
    slices = HealthySlices(series, SMALL, (96, 80))
    healthy = slices.triplet(seed % len(slices))
    painted = paint_anomalies(healthy, 2.0, np.random.default_rng(seed))
    difference = (painted.hu - healthy.hu).numpy()
    assert np.abs(difference[1]).max() > 2
    assert not difference[:, ~healthy.brain].any()
    changed_area = np.abs(difference[1]) > 1
    assert ndimage.label(changed_area)[1] >= 1
    again = paint_anomalies(healthy, 2.0, np.random.default_rng(seed))
    assert torch.equal(again.hu, painted.hu)


@pytest.mark.parametrize(("share", "same"), [(0.0, True), (1.0, False)])
def test_the_target_is_healthy_whatever_is_shown(series, share, same):
    method = AnoRemoveMethod(changed(anomaly_share=share), series, [])
    for number in range(4):
        example = method.example(number)
        assert torch.equal(example["image"], method.example(number)["image"])
        assert torch.equal(example["reference"], example["image"]) == same
        plain = AnoRemoveMethod(changed(anomaly_share=0.0), series, []).example(number)
        assert plain["image"].shape == example["image"].shape == (1, 96, 80)


def test_training_and_use_show_the_network_the_same(series):
    slices = HealthySlices(series, SMALL, (96, 80))
    known = whole_slice(slices.triplet(1), SMALL)
    x = torch.zeros_like(known.image)
    seen = network_input(x, known)
    assert seen.shape[1] == SMALL.network.in_channels == ANOREMOVE_NETWORK.in_channels
    expected = (x, blurred(known.image), known.below, known.above, known.brain)
    for plane, image in zip(seen.split(1, 1), expected, strict=True):
        torch.testing.assert_close(plane, image)


def test_training_lowers_the_error_on_another_head(series, tmp_path):
    trainer = Trainer(CONFIG, series[:1], series[1:], tmp_path, "cpu", method="anoremove")
    trainer.run()
    rows = (tmp_path / "log.csv").read_text().splitlines()
    names = rows[0].replace('"', "").split(",")
    first, last = (dict(zip(names, map(float, row.split(",")), strict=True)) for row in rows[1:])
    assert last["healthy_mae_hu"] < first["healthy_mae_hu"]
    assert last["score"] == last["lesion_contrast"]
    assert load_config(tmp_path / "model", AnoRemoveModelConfig) == SMALL
