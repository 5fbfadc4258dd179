import itertools

import pytest
import torch

from napari_rsna_inpaint.diffusion import samplers
from napari_rsna_inpaint.diffusion.schedule import cosine_schedule, trailing_timesteps
from napari_rsna_inpaint.inpaint.engine import evaluations_per_job
from napari_rsna_inpaint.inpaint.protocols import Sampling

SCHEDULE = cosine_schedule()
SHAPE = (2, 1, 8, 8)


def published_walk(n_steps: int, jump_length: int, n_resample: int) -> list[int]:
    """The published loop, written down as it is read."""
    walk = [n_steps - 1]
    for i in range(n_steps - 1, -1, -1):
        walk.append(i - 1)
        for _ in range(n_resample):
            n = min(n_steps - i, jump_length)
            for j in range(n):
                walk.append(i + j)
            for j in reversed(range(n)):
                walk.append(i + j - 1)
    return walk


@pytest.mark.parametrize(
    ("steps", "jump_length", "n_resample", "expected"),
    [(50, 1, 0, 50), (50, 1, 10, 550), (50, 10, 10, 4600), (20, 5, 5, 470), (1, 3, 2, 3)],
)
def test_evaluations_are_those_of_the_published_loop(steps, jump_length, n_resample, expected):
    sampling = Sampling(
        method="ddim_resample", steps=steps, jump_length=jump_length, n_resample=n_resample
    )
    assert evaluations_per_job(sampling) == expected
    calls = []

    def predict(x, t):
        calls.append(t)
        return torch.zeros_like(x)

    x = torch.zeros(1, 1, 2, 2)
    samplers.ddim_resample(
        predict,
        x,
        x,
        torch.ones_like(x),
        SCHEDULE,
        trailing_timesteps(SCHEDULE, steps),
        noise=torch.zeros_like,
        jump_length=jump_length,
        n_resample=n_resample,
    )
    assert len(calls) == expected
    assert calls[0] == 999


@pytest.mark.parametrize(
    ("n", "jump", "times"), [*itertools.product((1, 2, 7), (1, 3, 9), (0, 1, 4))]
)
def test_the_walk_is_the_published_one(n, jump, times):
    assert samplers.ddim_resample_times(n, jump, times) == published_walk(n, jump, times)


def draw(n_resample: int, *, known: torch.Tensor, hole: torch.Tensor, seen: list | None = None):
    def predict(x, t):
        if seen is not None:
            seen.append(x)
        return torch.tanh(0.7 * x + 0.3 * x.roll(1, -1) - t / 1000)

    return samplers.ddim_resample(
        predict,
        torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)),
        known,
        hole,
        SCHEDULE,
        trailing_timesteps(SCHEDULE, 6),
        noise=samplers.SeededNoise([0, 1]),
        jump_length=2,
        n_resample=n_resample,
    )


def test_the_known_image_comes_back_untouched_and_what_the_hole_hid_is_not_seen():
    known = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4))
    hole = torch.zeros(SHAPE)
    hole[..., 2:6, 2:6] = 1
    result = draw(2, known=known, hole=hole)
    assert torch.equal(result[hole == 0], known[hole == 0])
    hidden = torch.where(hole > 0, torch.full_like(known, 99.0), known)
    assert torch.equal(draw(2, known=hidden, hole=hole), result)


def test_the_known_image_is_put_in_before_steps_that_go_on_only():
    known, hole = torch.full(SHAPE, 50.0), torch.zeros(SHAPE)
    hole[..., 4:] = 1
    seen: list[torch.Tensor] = []
    draw(1, known=known, hole=hole, seen=seen)
    # steps: one down, then one jump of up to two levels and as many steps down again
    again = [min(6 - i, 2) for i in range(5, -1, -1)]
    first = [sum(1 + n for n in again[:k]) for k in range(6)]
    for k, step in enumerate(first):
        alpha, _ = SCHEDULE.alpha_sigma(trailing_timesteps(SCHEDULE, 6)[k])
        assert float(seen[step][..., :4].mean()) == pytest.approx(50 * alpha, abs=1.0)
    assert len(seen) == 6 + sum(again)


def test_repaint_needs_one_passage():
    with pytest.raises(ValueError, match="at least once"):
        Sampling(method="repaint", n_resample=0)
