import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from napari_rsna_inpaint.diffusion.samplers import SeededNoise
from napari_rsna_inpaint.diffusion.unet3d import UNet3dConfig
from napari_rsna_inpaint.diffusion.wavelet_model import (
    VolumeCondition,
    WaveletDenoiser,
    WaveletModelConfig,
    load_wavelet_denoiser,
)
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.train.loop import Trainer
from napari_rsna_inpaint.train.volume_blocks import HealthyBlocks
from napari_rsna_inpaint.train.volume_validation import paint_bleed
from napari_rsna_inpaint.train.wavelet3d import NETWORK, Wavelet3dMethod, Wavelet3dTrainConfig

MODES = ("default", "always-known-healthy")


def config_of(mode="always-known-healthy", **changes):
    model = WaveletModelConfig(
        mode=mode,
        network=UNet3dConfig(widths=(8, 16), time_channels=16),
        pixel_mm=2.0,
        block_sections=4,
        context_sections=1,
    )
    settings = {"shape": (64, 48), "validation_slices": 2, "precision": "32-true", **changes}
    return Wavelet3dTrainConfig(model=model, **settings)


@pytest.fixture(scope="module")
def deep(series):
    """Two phantom heads of ten sections."""
    return [
        dataclasses.replace(
            one,
            hu=np.repeat(one.hu, 2, 0),
            brain=np.repeat(one.brain, 2, 0),
            usable=np.flatnonzero(np.repeat(one.brain, 2, 0).any((1, 2))),
        )
        for one in series
    ]


class Spy(torch.nn.Module):
    """A network that keeps what it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, inputs, t):
        self.seen.append((inputs, t))
        return inputs[:, :8] * 0.5


@pytest.mark.parametrize("mode", MODES)
def test_training_shows_the_network_what_sampling_shows(deep, mode):
    """At every timestep, the input is the same to the last bit."""
    config = config_of(mode)
    method = Wavelet3dMethod(config, deep, [])
    batch = default_collate([method.example(number) for number in range(6)])
    condition = VolumeCondition(**{n: batch[n] for n in ("image", "hole", "brain")})
    noise, times = batch["noise"], batch["t"]
    trained, used = Spy(), Spy()
    next(method.losses({NETWORK: trained}, dict(batch), 0))
    denoiser = WaveletDenoiser(used, config.model, torch.device("cpu"))
    schedule = config.model.schedule()
    for row, t in enumerate(times.tolist()):
        alpha, sigma = schedule.alpha_sigma(t)
        one = VolumeCondition(*(value[row : row + 1] for value in vars(condition).values()))
        # what a sampler holds at t when the truth lies in the hole, and anything around it
        x_t = alpha * one.image + sigma * noise[row : row + 1]
        x_t = torch.where(one.hole > 0, x_t, torch.full_like(x_t, 7.0))
        denoiser(x_t, t, one, lambda like, row=row: noise[row : row + 1])
    (inputs, seen_times), sampling = trained.seen[0], used.seen
    for row, (shown, at) in enumerate(sampling):
        torch.testing.assert_close(inputs[row : row + 1], shown, atol=1e-6, rtol=1e-6)
        assert int(at) == int(seen_times[row])


def test_an_example_is_a_function_of_its_number(deep):
    method = Wavelet3dMethod(config_of(), deep, [])
    first, again, other = (method.example(number) for number in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["noise"], other["noise"])


def test_the_hole_lies_in_the_brain_and_counts(deep):
    method = Wavelet3dMethod(config_of(), deep, [])
    for number in range(20):
        example = method.example(number)
        assert example["hole"].any()
        assert not (example["hole"] * (1 - example["brain"])).any()
        assert torch.equal(example["counts"], example["hole"])


def test_the_two_steps_of_the_fast_preset_are_trained_most(deep):
    method = Wavelet3dMethod(config_of(), deep, [])
    times = [int(method.example(number)["t"]) for number in range(60)]
    last = method.config.model.n_timesteps - 1
    assert times.count(last) > 12
    assert len(set(times)) > 8


@pytest.mark.parametrize("mode", MODES)
def test_unhealthy_tissue_is_neither_seen_nor_learned(deep, mode):
    config = config_of(mode)
    lesion = np.zeros_like(deep[0].brain)
    lesion[:, 20:40, 20:40] = True
    marked = dataclasses.replace(deep[0], unhealthy=lesion)
    bright = dataclasses.replace(marked, hu=np.where(lesion, 90, marked.hu).astype(np.int16))
    inputs, losses = [], []
    for series in (marked, bright):
        method = Wavelet3dMethod(config, [series], [])
        spy = Spy()
        batch = default_collate([method.example(number) for number in range(4)])
        loss = next(method.losses({NETWORK: spy}, batch, 0))
        inputs.append(spy.seen[0][0])
        losses.append(float(loss.total))
    # resampling mixes voxels at the border of the lesion into healthy ones
    assert (inputs[0] - inputs[1]).abs().mean() < 0.02
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_single_slices_are_no_volume(series):
    with pytest.raises(InputRefused, match="sections"):
        HealthyBlocks(series, config_of().model, (64, 48))


def test_beyond_a_series_there_is_air(deep):
    config = config_of().model
    blocks = HealthyBlocks(deep, config, (64, 48))
    seen = [blocks.block(0, np.random.default_rng(seed)) for seed in range(20)]
    outside = [block for block in seen if not block.brain[0].any()]
    assert outside
    assert all(block.hu[0].max() < -900 for block in outside)


def test_without_validation_the_figures_are_unknown(deep):
    method = Wavelet3dMethod(config_of(), deep, [])
    figures = method.figures(method.networks())
    assert set(figures) >= {"score"}
    assert all(math.isnan(value) for value in figures.values())


def test_a_painted_bleed_is_denser_and_lies_in_the_brain(deep):
    block = HealthyBlocks(deep, config_of().model, (64, 48)).block(5)
    painted, lesion = paint_bleed(block, (5.0, 2.0), np.random.default_rng(1))
    assert lesion.any()
    assert not (lesion & ~block.brain).any()
    assert (painted.hu - block.hu)[lesion].mean() > 3
    assert np.array_equal(painted.hu[~block.brain], block.hu[~block.brain])


def test_the_loss_falls_and_the_model_can_be_used(deep, tmp_path):
    config = config_of(steps=60, learning_rate=1e-2, warmup_steps=5, validation_every=10)
    rows = []
    trainer = Trainer(config, deep[:1], deep[1:], tmp_path / "run", "cpu", method="wavelet3d")
    trainer.run(lambda done, total, row: rows.append(row))
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert math.isfinite(rows[-1]["score"])
    denoiser = load_wavelet_denoiser(tmp_path / "run" / "model", "cpu")
    assert denoiser.config == config.model
    x = torch.zeros(1, 1, 4, 64, 48)
    condition = VolumeCondition(x, torch.ones_like(x), torch.ones_like(x))
    assert denoiser(x, 999, condition, SeededNoise([0])).isfinite().all()
