"""diffusers' own schedulers with an oracle for a network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.bench.diffusers_samplers import (
    betas,
    epsilon,
    masked_ddim,
    repaint,
    repaint_evaluations,
)
from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.diffusion.schedule import cosine_schedule

diffusers = pytest.importorskip("diffusers")
SCHEDULE = cosine_schedule()


def noised(t: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Image in the range of the network, noise, their mixture at ``t`` and its v."""
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.rand(2, 1, 4, 4, generator=generator) * 7 - 2.75
    noise = torch.randn(2, 1, 4, 4, generator=generator)
    alpha, sigma = SCHEDULE.alpha_sigma(t)
    return x0, noise, alpha * x0 + sigma * noise, alpha * noise - sigma * x0


@given(st.integers(0, 999), st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_v_is_turned_into_the_noise_it_stands_for(t, seed):
    _, noise, x, v = noised(t, seed)
    torch.testing.assert_close(epsilon(x, v, SCHEDULE, t), noise, atol=1e-5, rtol=1e-5)


@given(st.integers(0, 249).map(lambda level: 4 * level), st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_diffusers_gets_the_image_back_from_that_noise(t, seed):
    x0, _, x, v = noised(t, seed)
    scheduler = diffusers.RePaintScheduler(trained_betas=betas(SCHEDULE), clip_sample=False)
    scheduler.set_timesteps(250, 10, 10)
    hole = torch.ones_like(x)
    step = scheduler.step(epsilon(x, v, SCHEDULE, t), t, x, x0, 1 - hole)
    torch.testing.assert_close(step.pred_original_sample, x0, atol=1e-3, rtol=1e-3)


def test_the_betas_give_the_schedule_back():
    np.testing.assert_allclose(np.cumprod(1 - betas(SCHEDULE)), SCHEDULE.alphas_cumprod, atol=1e-12)
    assert betas(SCHEDULE)[-1] == 1


class Oracle:
    """Knows the image and predicts v exactly; counts its calls."""

    def __init__(self, image: torch.Tensor) -> None:
        self.image, self.calls = image, 0

    def __call__(self, x: torch.Tensor, t: int) -> torch.Tensor:
        self.calls += 1
        alpha, sigma = SCHEDULE.alpha_sigma(t)
        return (alpha * x - self.image) / sigma


@pytest.fixture
def condition() -> Condition:
    image = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 7 - 2.75
    hole = torch.zeros_like(image)
    hole[..., 2:6, 2:6] = 1
    empty = torch.zeros_like(image)
    return Condition(image=image, hole=hole, brain=empty, below=empty, above=empty)


@pytest.mark.parametrize(
    ("setting", "evaluations"),
    [((250, 10, 10), 2410), ((50, 10, 2), 90), ((50, 10, 10), 410), ((20, 5, 3), 50)],
)
def test_repaint_fills_the_hole_with_what_the_network_knows(condition, setting, evaluations):
    steps, jump_length, n_resample = setting
    oracle = Oracle(condition.image)
    filled = repaint(
        oracle,
        condition,
        SCHEDULE,
        steps=steps,
        jump_length=jump_length,
        n_resample=n_resample,
    )
    torch.testing.assert_close(filled, condition.image, atol=1e-3, rtol=1e-3)
    assert oracle.calls == repaint_evaluations(*setting) == evaluations


def test_masked_ddim_fills_the_hole_from_pure_noise(condition):
    oracle = Oracle(condition.image)
    filled = masked_ddim(oracle, condition, SCHEDULE, steps=50)
    torch.testing.assert_close(filled, condition.image, atol=1e-3, rtol=1e-3)
    assert oracle.calls == 50
