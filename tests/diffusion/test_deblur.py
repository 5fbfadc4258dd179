import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle

from napari_rsna_inpaint.diffusion.deblur import (
    blur,
    data_step,
    deblur_timesteps,
    diffpir,
    split_excess,
    wiener,
)
from napari_rsna_inpaint.diffusion.kernels import gaussian_kernel, motion_kernel
from napari_rsna_inpaint.diffusion.samplers import SeededNoise
from napari_rsna_inpaint.diffusion.schedule import cosine_schedule
from napari_rsna_inpaint.evaluate.phantom import head_phantom

SCHEDULE = cosine_schedule()
KERNELS = [gaussian_kernel(1.5, 1.0), motion_kernel(5.0, 30, 1.0)]
WINDOW = (-20.0, 120.0)


def image(seed: int = 0, shape: tuple[int, ...] = (1, 1, 24, 20)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def prior(clean):
    """v-prediction of a network whose clean image is ``clean(x_t / alpha, noise / alpha)``."""

    def predict(x, t):
        alpha, sigma = SCHEDULE.alpha_sigma(t)
        return (alpha * x - clean(x / alpha, sigma / alpha)) / sigma

    return predict


def piecewise(x, noise):
    """A prior for plain images: denoising by total variation."""
    plane = denoise_tv_chambolle(x[0, 0].numpy(), weight=0.6 * noise, max_num_iter=40)
    return torch.from_numpy(plane)[None, None].to(x)


@given(st.floats(-1000, 1000), st.integers(0, 1))
@settings(max_examples=20, deadline=None)
def test_what_is_even_stays_even(value, which):
    even = torch.full((1, 1, 12, 16), value, dtype=torch.float64)
    torch.testing.assert_close(blur(even, KERNELS[which]), even)
    torch.testing.assert_close(wiener(even, KERNELS[which], 1.0), even)
    torch.testing.assert_close(data_step(even, even, KERNELS[which], 0.1), even)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_data_step_finds_the_nearest_to_both(kernel):
    x0, observed = image(0), image(1)
    best = data_step(x0, observed, kernel, 0.3)

    def cost(x):
        # over the mirrored image, on which the step is exact
        whole = [torch.cat([a, a.flip(-1)], -1) for a in (x, observed, x0)]
        x, y, prior = (torch.cat([a, a.flip(-2)], -2) for a in whole)
        return float((blur(x, kernel) - y).square().sum() + 0.3 * (x - prior).square().sum())

    if np.allclose(kernel, kernel.T):
        for seed in range(5):
            assert cost(best) < cost(best + 1e-2 * image(seed + 2))
    torch.testing.assert_close(data_step(x0, observed, kernel, 1e9), x0, atol=1e-6, rtol=0)


def test_a_symmetric_blur_can_be_undone_without_noise():
    kernel = gaussian_kernel(0.6, 1.0)
    sharp = image()
    torch.testing.assert_close(data_step(0 * sharp, blur(sharp, kernel), kernel, 1e-12), sharp)


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_side_does_not_ring_into_the_other(kernel):
    bar = torch.zeros(1, 1, 32, 64, dtype=torch.float64)
    bar[..., :6] = 100
    sharp = wiener(blur(bar, kernel), kernel, 0.5)
    assert sharp[..., :3].mean() > 90
    near, far = sharp[..., 8:20].abs().max(), sharp[..., -8:].abs().max()
    assert far < 0.1 * near
    assert far < 1


def test_every_image_is_sharpened_by_itself():
    both = torch.cat([image(0), 30 * image(1)]).float()
    kernel = KERNELS[0]
    predict = prior(lambda x, noise: 0.9 * x)
    settings = {"sigma": 0.2, "temperature": 1.0}
    steps = deblur_timesteps(SCHEDULE, 4)
    together = diffpir(
        predict, both, kernel, SCHEDULE, steps, noise=SeededNoise([5, 6]), **settings
    )
    for k, seed in enumerate((5, 6)):
        alone = diffpir(
            predict, both[k : k + 1], kernel, SCHEDULE, steps, noise=SeededNoise([seed]), **settings
        )
        assert torch.equal(together[k : k + 1], alone)
        assert torch.equal(
            wiener(both, kernel, 0.2)[k : k + 1], wiener(both[k : k + 1], kernel, 0.2)
        )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_prior_that_knows_the_image_gives_it_back(temperature):
    sharp = image()
    found = diffpir(
        prior(lambda x, noise: sharp),
        blur(sharp, KERNELS[0]),
        KERNELS[0],
        SCHEDULE,
        deblur_timesteps(SCHEDULE, 5),
        sigma=0.1,
        temperature=temperature,
        zeta=0.3,
        noise=SeededNoise([0]),
    )
    torch.testing.assert_close(found, sharp)


def test_a_wrong_prior_and_strong_noise_stay_within_the_bounds():
    for sigma in (1e-4, 10.0):
        found = diffpir(
            prior(lambda x, noise: 50 * x),
            image(),
            motion_kernel(9.0, 10, 1.0),
            SCHEDULE,
            deblur_timesteps(SCHEDULE, 6),
            sigma=sigma,
            temperature=1.0,
            bounds=(-2.75, 4.25),
            noise=SeededNoise([0]),
        )
        assert torch.isfinite(found).all()
        assert found.min() >= -2.75
        assert found.max() <= 4.25


def test_without_temperature_the_noise_does_not_matter():
    one, other = (
        diffpir(
            prior(lambda x, noise: 0.8 * x),
            image(),
            KERNELS[0],
            SCHEDULE,
            deblur_timesteps(SCHEDULE, 4),
            sigma=0.2,
            noise=SeededNoise([seed]),
        )
        for seed in (0, 1)
    )
    assert torch.equal(one, other)


def test_timesteps_run_down_and_never_start_from_pure_noise():
    steps = deblur_timesteps(SCHEDULE, 10)
    assert len(steps) == 10
    assert steps == sorted(set(steps), reverse=True)
    assert steps[0] < len(SCHEDULE) - 1
    with pytest.raises(ValueError, match="no 5 steps"):
        deblur_timesteps(SCHEDULE, 5, start=1.0)


@pytest.fixture(scope="module")
def phantom():
    """Sharp slice of a phantom ``(1, 1, y, x)`` HU, its brain, and the slice blurred and noisy."""
    head = head_phantom(3, shape=(3, 192, 160), spacing=(5.0, 1.0, 1.0))
    sharp = torch.from_numpy(head.volume.hu[1].astype(np.float64))[None, None]
    kernel = gaussian_kernel(1.5, 1.0)
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 2.0, sharp.shape))
    return sharp, torch.from_numpy(head.brain_mask[1]), kernel, blur(sharp, kernel) + noise


def error_hu(found, sharp, brain):
    difference = found.clamp(*WINDOW) - sharp.clamp(*WINDOW)
    return float(difference[0, 0][brain].square().mean().sqrt())


def test_bone_does_not_shine_into_the_brain(phantom):
    sharp, brain, kernel, observed = phantom
    inside, _ = split_excess(observed, kernel, 2.0, WINDOW)
    expected = blur(sharp.clamp(*WINDOW), kernel)
    clipped = error_hu(observed, expected, brain)
    assert error_hu(inside, expected, brain) < 4 < 8 < clipped


def test_a_prior_does_better_than_the_best_wiener_filter(phantom):
    sharp, brain, kernel, observed = phantom
    inside, excess = split_excess(observed, kernel, 2.0, WINDOW)
    filtered = min(
        error_hu(wiener(inside, kernel, noise).clamp(*WINDOW) + excess, sharp, brain)
        for noise in (0.5, 1.0, 2.0, 4.0, 8.0)
    )
    found = diffpir(
        prior(piecewise),
        (inside - 35) / 20,
        kernel,
        SCHEDULE,
        deblur_timesteps(SCHEDULE, 10),
        sigma=2.0 / 20,
        bounds=(-2.75, 4.25),
        noise=SeededNoise([0]),
    )
    restored = error_hu(20 * found + 35 + excess, sharp, brain)
    assert restored < 0.92 * filtered
    assert filtered < 0.6 * error_hu(observed, sharp, brain)
