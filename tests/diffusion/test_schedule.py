import itertools

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from napari_rsna_inpaint.diffusion.schedule import (
    cosine_schedule,
    karras_timesteps,
    log_snr_timesteps,
    trailing_timesteps,
)


@pytest.fixture(scope="module")
def oracle() -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
    )


def test_cosine_schedule_equals_diffusers(oracle):
    # diffusers computes in float32 and goes through betas once more
    np.testing.assert_allclose(
        cosine_schedule().alphas_cumprod, oracle.alphas_cumprod.numpy(), atol=2e-5
    )


def test_last_timestep_holds_no_signal():
    alpha, sigma = cosine_schedule().alpha_sigma(999)
    assert (alpha, sigma) == (0.0, 1.0)


def test_clean_image_holds_no_noise():
    assert cosine_schedule().alpha_sigma(-1) == (1.0, 0.0)


@pytest.mark.parametrize("n_steps", [1, 2, 4, 10, 20, 50])
def test_trailing_timesteps_equal_diffusers(oracle, n_steps):
    oracle.set_timesteps(n_steps)
    assert trailing_timesteps(cosine_schedule(), n_steps) == oracle.timesteps.tolist()


@given(n_steps=st.integers(1, 200))
def test_log_snr_timesteps_fall_from_pure_noise(n_steps):
    steps = log_snr_timesteps(cosine_schedule(), n_steps)
    assert steps[0] == 999
    assert len(steps) == n_steps
    assert all(a > b >= 0 for a, b in itertools.pairwise(steps))


def test_log_snr_timesteps_are_equally_spaced():
    schedule = cosine_schedule()
    log_snr = schedule.log_snr()[log_snr_timesteps(schedule, 8)[1:]]
    np.testing.assert_allclose(np.diff(log_snr), 1.0, atol=0.05)


def test_more_log_snr_steps_than_fit_are_refused():
    with pytest.raises(ValueError, match="between 1 and 200"):
        log_snr_timesteps(cosine_schedule(), 201)


@pytest.mark.parametrize("n_steps", [0, 1001])
def test_impossible_number_of_steps_is_refused(n_steps):
    with pytest.raises(ValueError, match="between 1 and 1000"):
        trailing_timesteps(cosine_schedule(), n_steps)


def test_signal_and_noise_keep_the_variance():
    schedule = cosine_schedule()
    squares = [sum(a**2 for a in schedule.alpha_sigma(t)) for t in range(0, 1000, 37)]
    torch.testing.assert_close(torch.tensor(squares), torch.ones(len(squares)))


def test_karras_timesteps_are_those_nearest_to_karras_noise_levels():
    schedule = cosine_schedule()
    steps = karras_timesteps(schedule, 9, sigma_max=10.0, sigma_min=0.05)
    assert steps[0] == len(schedule) - 1
    assert steps == sorted(set(steps), reverse=True)
    # Karras et al. 2022, equation 5
    i = np.arange(8) / 7
    expected = (10 ** (1 / 7) + i * (0.05 ** (1 / 7) - 10 ** (1 / 7))) ** 7
    found = [sigma / alpha for alpha, sigma in map(schedule.alpha_sigma, steps[1:])]
    np.testing.assert_allclose(np.log(found), np.log(expected), atol=0.05)


@pytest.mark.parametrize("n_steps", [1, 2, 3, 50, 200])
def test_karras_timesteps_are_as_many_as_asked_for(n_steps):
    steps = karras_timesteps(cosine_schedule(), n_steps)
    assert len(set(steps)) == n_steps
    assert min(steps) >= 0
