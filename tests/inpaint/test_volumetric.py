import numpy as np
import pytest
import torch

from napari_rsna_inpaint.diffusion.unet3d import UNet3dConfig
from napari_rsna_inpaint.diffusion.wavelet_model import (
    VolumeCondition,
    WaveletDenoiser,
    WaveletModelConfig,
)
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.inpaint.volumetric import (
    SECOND_PASS_SIGNAL,
    VolumeSampling,
    complete_blocks,
    complete_volume,
)

SMALL = UNet3dConfig(widths=(8, 16), time_channels=16)
SAMPLINGS = [
    VolumeSampling(method="one_step"),
    VolumeSampling(method="two_step"),
    VolumeSampling(method="ddpm", steps=4),
    VolumeSampling(method="dpm++", steps=4),
]


def denoiser_of(mode="always-known-healthy"):
    config = WaveletModelConfig(mode=mode, network=SMALL, block_sections=8, context_sections=2)
    network = config.make_network()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return WaveletDenoiser(network, config, torch.device("cpu"))


@pytest.fixture(scope="module")
def denoiser():
    return denoiser_of()


@pytest.fixture
def scene():
    """Image, hole and brain; sides that do not fit the network, the hole deeper than a block."""
    rng = np.random.default_rng(0)
    image = rng.normal(35, 8, (11, 18, 22)).astype(np.float32)
    hole = np.zeros(image.shape, bool)
    hole[3:9, 5:12, 6:14] = True
    return image, hole, np.ones(image.shape, bool)


@pytest.mark.parametrize("mode", ["default", "always-known-healthy"])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=lambda s: s.method)
def test_only_the_hole_changes(scene, sampling, mode):
    image, hole, brain = scene
    made = complete_volume(image, hole, brain, denoiser_of(mode), sampling, samples=2)
    assert made.shape == (2, *image.shape)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[:, ~hole], np.stack([image[~hole]] * 2))
    assert (made[:, hole] != image[hole]).mean() > 0.99
    assert (made[0, hole] != made[1, hole]).mean() > 0.9


def test_nothing_inside_the_hole_is_looked_at(scene, denoiser):
    image, hole, brain = scene
    other = np.where(hole, np.float32(90), image)
    first, second = (complete_volume(one, hole, brain, denoiser) for one in (image, other))
    np.testing.assert_array_equal(first, second)


def test_a_completion_does_not_depend_on_how_many_are_drawn(scene, denoiser):
    few, many = (complete_volume(*scene, denoiser, samples=n, seed=3) for n in (1, 3))
    np.testing.assert_array_equal(few[0], many[0])


def test_progress_counts_every_evaluation(scene, denoiser):
    calls = []
    complete_volume(*scene, denoiser, samples=2, on_step=lambda *call: calls.append(call))
    # 2 samples of 2 blocks in 2 steps
    assert calls == [(done, 8) for done in range(1, 9)]


def test_it_stops_when_asked(scene, denoiser):
    calls = []
    with pytest.raises(Cancelled):
        complete_volume(
            *scene,
            denoiser,
            on_step=lambda *call: calls.append(call),
            cancelled=lambda: len(calls) == 1,
        )
    assert len(calls) == 1


def test_without_a_hole_nothing_is_computed(scene, denoiser):
    image, hole, brain = scene
    made = complete_volume(image, np.zeros_like(hole), brain, denoiser, samples=2)
    np.testing.assert_array_equal(made, np.stack([image, image]))


def test_arrays_of_different_shapes_are_refused(scene, denoiser):
    image, hole, brain = scene
    with pytest.raises(ValueError, match="shape"):
        complete_volume(image, hole[1:], brain, denoiser)


def test_two_steps_begin_at_noise_and_go_on_close_to_it():
    schedule = WaveletModelConfig().schedule()
    first, second = VolumeSampling(method="two_step").timesteps(schedule)
    assert first == len(schedule) - 1
    assert schedule.alpha_sigma(second)[0] ** 2 == pytest.approx(SECOND_PASS_SIGNAL, abs=0.002)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=lambda s: s.method)
def test_as_many_timesteps_as_evaluations(sampling):
    steps = sampling.timesteps(WaveletModelConfig().schedule())
    assert len(steps) == sampling.evaluations


class GaussianDenoiser:
    """The best denoiser of voxels that are independent and normally distributed."""

    mean, spread = 0.4, 0.7

    def __init__(self):
        self.config = WaveletModelConfig()
        self.device = torch.device("cpu")
        self._schedule = self.config.schedule()

    def __call__(self, x_t, t, condition, noise):
        alpha, sigma = self._schedule.alpha_sigma(t)
        gain = alpha * self.spread**2 / (alpha**2 * self.spread**2 + sigma**2)
        x0 = self.mean + gain * (x_t - alpha * self.mean)
        return (alpha * x_t - x0) / sigma


@pytest.mark.parametrize(
    "sampling",
    [VolumeSampling(method="ddpm", steps=200), VolumeSampling(method="dpm++", steps=25)],
    ids=lambda s: s.method,
)
def test_samples_are_distributed_as_the_data(sampling):
    shape = (1, 1, 12, 48, 48)
    whole = VolumeCondition(torch.zeros(shape), torch.ones(shape), torch.ones(shape))
    denoiser = GaussianDenoiser()
    hu = complete_blocks(whole, denoiser, sampling, [5])
    x = (hu - denoiser.config.hu_center) / denoiser.config.hu_scale
    assert x.mean() == pytest.approx(denoiser.mean, abs=0.02)
    assert x.std() == pytest.approx(denoiser.spread, rel=0.04)
