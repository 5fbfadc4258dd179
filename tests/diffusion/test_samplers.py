import itertools
import math

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, RePaintScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.diffusion import samplers
from napari_rsna_inpaint.diffusion.schedule import (
    NoiseSchedule,
    cosine_schedule,
    log_snr_timesteps,
    trailing_timesteps,
)

SCHEDULE = cosine_schedule()
SHAPE = (2, 1, 8, 8)
COSINE = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}


def predict(x: torch.Tensor, t: int) -> torch.Tensor:
    """A smooth function that depends on image and time; stands for a network."""
    return torch.tanh(0.7 * x + 0.3 * x.roll(1, -1) - t / 1000)


def start(seed: int = 0) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def perfect(x0: torch.Tensor, schedule: NoiseSchedule = SCHEDULE) -> samplers.Predict:
    """The v-prediction of a network that knows the clean image."""

    def v(x: torch.Tensor, t: int) -> torch.Tensor:
        alpha, sigma = schedule.alpha_sigma(t)
        eps = (x - alpha * x0) / sigma
        return alpha * eps - sigma * x0

    return v


def as_oracle(scheduler) -> NoiseSchedule:
    """The very numbers that a diffusers scheduler uses (float32, and no exact zero SNR)."""
    return NoiseSchedule(scheduler.alphas_cumprod.double().numpy())


@pytest.mark.parametrize("n_steps", [1, 4, 20])
def test_ddim_equals_diffusers(n_steps):
    oracle = DDIMScheduler(
        **COSINE, rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False
    )
    oracle.set_timesteps(n_steps)
    x = expected = start()
    for t in oracle.timesteps:
        expected = oracle.step(predict(expected, int(t)), int(t), expected).prev_sample
    actual = samplers.ddim(predict, x, as_oracle(oracle), trailing_timesteps(SCHEDULE, n_steps))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_stochastic_ddim_equals_diffusers():
    oracle = DDIMScheduler(**COSINE, timestep_spacing="trailing", clip_sample=False)
    oracle.set_timesteps(5)
    generator = torch.Generator().manual_seed(3)
    x = expected = start()
    noises = []
    for t in oracle.timesteps:
        noise = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
        noises.append(noise)
        expected = oracle.step(
            predict(expected, int(t)), int(t), expected, eta=0.7, variance_noise=noise
        ).prev_sample
    supply = iter(noises)
    actual = samplers.ddim(
        predict,
        x,
        as_oracle(oracle),
        oracle.timesteps.tolist(),
        eta=0.7,
        noise=lambda like: next(supply),
    )
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("n_steps", [2, 5, 12])
def test_dpm_solver_equals_diffusers(n_steps):
    oracle = DPMSolverMultistepScheduler(
        **COSINE,
        algorithm_type="dpmsolver++",
        solver_order=2,
        final_sigmas_type="zero",
        timestep_spacing="linspace",
    )
    oracle.set_timesteps(n_steps)
    x = expected = start()
    for t in oracle.timesteps:
        expected = oracle.step(predict(expected, int(t)), t, expected).prev_sample
    actual = samplers.dpm_solver_pp_2m(predict, x, as_oracle(oracle), oracle.timesteps.tolist())
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=2e-4)


def test_dpm_solver_beats_ddim_at_equal_cost():
    x = start()
    fine = samplers.ddim(predict, x, SCHEDULE, trailing_timesteps(SCHEDULE, 500))
    steps = log_snr_timesteps(SCHEDULE, 8)
    dpm = samplers.dpm_solver_pp_2m(predict, x, SCHEDULE, steps)
    ddim = samplers.ddim(predict, x, SCHEDULE, steps)
    assert (dpm - fine).abs().mean() < 0.5 * (ddim - fine).abs().mean()


@pytest.mark.parametrize(("n", "length", "times"), [(250, 10, 10), (50, 10, 2), (20, 5, 3)])
def test_repaint_walk_equals_diffusers(n, length, times):
    oracle = RePaintScheduler()
    oracle.set_timesteps(n, jump_length=length, jump_n_sample=times)
    stride = 1000 // n
    walk = samplers.repaint_times(n, length, times)
    assert [level * stride for level in walk[:-1]] == oracle.timesteps.tolist()


def test_repaint_walk_has_the_published_number_of_evaluations():
    walk = samplers.repaint_times(250, 10, 10)
    assert sum(b < a for a, b in itertools.pairwise(walk)) == 2410


def test_repaint_equals_diffusers_given_the_same_noise():
    """Two steps down with the known region put back after each."""
    oracle = RePaintScheduler(beta_schedule="squaredcos_cap_v2", eta=0.0, clip_sample=False)
    oracle.set_timesteps(50, jump_length=1, jump_n_sample=1)
    schedule = as_oracle(oracle)
    known, x = start(1), start(2)
    hole = torch.zeros(SHAPE, dtype=torch.float64)
    hole[..., 2:6, 2:6] = 1
    expected = x
    generator = torch.Generator().manual_seed(7)
    for t in (20, 0):
        alpha, sigma = schedule.alpha_sigma(t)
        eps = alpha * predict(expected, t) + sigma * expected
        expected = oracle.step(eps, t, expected, known, 1 - hole, generator=generator).prev_sample
    same_noise = torch.Generator().manual_seed(7)
    actual = samplers.repaint(
        predict,
        x,
        known,
        hole,
        schedule,
        [20, 0],
        noise=lambda like: torch.randn(like.shape, generator=same_noise, dtype=like.dtype),
        jump_length=1,
        n_resample=1,
    )
    # diffusers ends at its final alpha of 1 and adds no noise to the known region there
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_renoising_has_the_marginal_of_the_original_betas():
    """One jump from a to b equals the product of the single steps in mean and variance."""
    a, b = 480, 500
    ratios = SCHEDULE.alphas_cumprod[a + 1 : b + 1] / SCHEDULE.alphas_cumprod[a:b]
    mean, variance = 1.0, 0.0
    for ratio in ratios:
        mean, variance = mean * math.sqrt(ratio), variance * ratio + (1 - ratio)
    x = torch.ones(1, 1, 400, 400, dtype=torch.float64)
    noisy = samplers.renoise(x, SCHEDULE, a, b, samplers.SeededNoise([0]))
    assert float(noisy.mean()) == pytest.approx(mean, abs=0.01)
    assert float(noisy.var()) == pytest.approx(variance, rel=0.02)


def test_repaint_keeps_the_known_region_and_fills_the_hole():
    truth = start(4)
    known = truth.clone()
    hole = torch.zeros(SHAPE, dtype=torch.float64)
    hole[..., 2:6, 2:6] = 1
    known[hole > 0] = 99.0
    result = samplers.repaint(
        perfect(truth),
        start(),
        known,
        hole,
        SCHEDULE,
        trailing_timesteps(SCHEDULE, 10),
        noise=samplers.SeededNoise([0, 1]),
        jump_length=2,
        n_resample=3,
    )
    torch.testing.assert_close(result, truth)


@given(seed=st.integers(0, 2**31), n_steps=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_every_sampler_returns_what_a_perfect_network_knows(seed, n_steps):
    truth, x = start(seed), start(seed + 1)
    noise = samplers.SeededNoise([seed, seed + 1])
    steps = trailing_timesteps(SCHEDULE, n_steps)
    for result in (
        samplers.one_step(perfect(truth), x, SCHEDULE),
        samplers.ddim(perfect(truth), x, SCHEDULE, steps),
        samplers.ddim(perfect(truth), x, SCHEDULE, steps, eta=1.0, noise=noise),
        samplers.dpm_solver_pp_2m(perfect(truth), x, SCHEDULE, steps),
    ):
        torch.testing.assert_close(result, truth, atol=1e-8, rtol=1e-8)


def test_one_step_equals_ddim_of_one_step():
    x = start()
    torch.testing.assert_close(
        samplers.one_step(predict, x, SCHEDULE), samplers.ddim(predict, x, SCHEDULE, [999])
    )


def test_noise_of_an_image_does_not_depend_on_its_batch():
    alone = samplers.SeededNoise([5])(torch.zeros(1, 1, 4, 4))
    together = samplers.SeededNoise([3, 5, 9])(torch.zeros(3, 1, 4, 4))
    torch.testing.assert_close(together[1:2], alone, atol=0, rtol=0)


def test_stochastic_sampling_without_noise_source_is_an_error():
    with pytest.raises(ValueError, match="noise source"):
        samplers.ddim(predict, start(), SCHEDULE, [999, 500], eta=1.0)
