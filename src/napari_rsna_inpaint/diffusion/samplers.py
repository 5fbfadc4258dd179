"""Samplers: short functions of a v-prediction, a noise schedule and a noise source.

All follow one convention. ``predict(x_t, t)`` returns ``v = alpha eps - sigma x_0``
(Salimans and Ho 2022); images are ``(N, 1, H, W)`` float tensors; ``timesteps`` run
downwards and the step after the last one is the clean image. Only the hole matters: what a
sampler returns outside of it is to be replaced by the known image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule

Predict = Callable[[Tensor, int], Tensor]
Noise = Callable[[Tensor], Tensor]


class SeededNoise:
    """Standard normal noise from one generator per image of the batch.

    An image gets the same noise whatever else is in its batch, on every device.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, like: Tensor) -> Tensor:
        """Noise of the shape, device and dtype of ``like`` ``(N, C, H, W)``."""
        if len(like) != len(self._generators):
            raise ValueError(f"{len(self._generators)} seeds for a batch of {len(like)}")
        drawn = [torch.randn(like.shape[1:], generator=g) for g in self._generators]
        return torch.stack(drawn).to(like)


def split_prediction(x: Tensor, v: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor]:
    """Clean image and noise that a v-prediction stands for: ``(x_0, eps)``."""
    return alpha * x - sigma * v, alpha * v + sigma * x


def one_step(predict: Predict, x: Tensor, schedule: NoiseSchedule) -> Tensor:
    """The clean image predicted from pure noise: the posterior mean given the context."""
    last = len(schedule) - 1
    return split_prediction(x, predict(x, last), *schedule.alpha_sigma(last))[0]


def ddim_step(
    x: Tensor,
    v: Tensor,
    schedule: NoiseSchedule,
    t: int,
    t_next: int,
    eta: float,
    noise: Noise | None,
) -> Tensor:
    """One step of DDIM from ``t`` to ``t_next`` (Song et al. 2021, eq. 12 and 16)."""
    alpha, sigma = schedule.alpha_sigma(t)
    alpha_next, sigma_next = schedule.alpha_sigma(t_next)
    x0, eps = split_prediction(x, v, alpha, sigma)
    # sigma_next / sigma * sqrt(1 - abar_t / abar_next), with alpha == 0 allowed
    fresh = eta * sigma_next / sigma * math.sqrt(max(0.0, 1.0 - (alpha / alpha_next) ** 2))
    x = alpha_next * x0 + math.sqrt(max(0.0, sigma_next**2 - fresh**2)) * eps
    if fresh > 0:
        if noise is None:
            raise ValueError("eta > 0 needs a noise source")
        x = x + fresh * noise(x)
    return x


def ddim(
    predict: Predict,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    *,
    eta: float = 0.0,
    noise: Noise | None = None,
) -> Tensor:
    """Denoising diffusion implicit model: deterministic at ``eta`` 0, ancestral at 1."""
    for t, t_next in zip(timesteps, [*timesteps[1:], -1], strict=True):
        x = ddim_step(x, predict(x, t), schedule, t, t_next, eta, noise)
    return x


def dpm_solver_pp_2m(
    predict: Predict, x: Tensor, schedule: NoiseSchedule, timesteps: Sequence[int]
) -> Tensor:
    """DPM-Solver++(2M) in data prediction (Lu et al. 2022b, algorithm 2).

    The first and the last step are of first order: the one starts at a log-SNR of -inf, the
    other ends at +inf.
    """
    log_snr = schedule.log_snr()
    previous: Tensor | None = None
    last_width = math.inf
    for t, t_next in zip(timesteps, [*timesteps[1:], -1], strict=True):
        alpha, sigma = schedule.alpha_sigma(t)
        x0, _ = split_prediction(x, predict(x, t), alpha, sigma)
        if t_next < 0:
            return x0
        alpha_next, sigma_next = schedule.alpha_sigma(t_next)
        width = float(log_snr[t_next] - log_snr[t])
        data = x0
        if previous is not None and math.isfinite(last_width):
            data = x0 + width / (2 * last_width) * (x0 - previous)
        x = sigma_next / sigma * x - alpha_next * math.expm1(-width) * data
        previous, last_width = x0, width
    return x


def repaint_times(n_steps: int, jump_length: int, n_resample: int) -> list[int]:
    """RePaint's walk over respaced levels, from ``n_steps - 1`` to the clean image ``-1``.

    Every ``jump_length`` levels the walk goes back up by ``jump_length`` and down again, so
    that each stretch is passed ``n_resample`` times (Lugmayr et al. 2022, appendix).
    """
    if jump_length < 1 or n_resample < 1:
        raise ValueError("jump_length and n_resample must be at least 1")
    jumps = dict.fromkeys(range(0, n_steps - jump_length, jump_length), n_resample - 1)
    level, walk = n_steps, []
    while level >= 1:
        level -= 1
        walk.append(level)
        if jumps.get(level, 0) > 0:
            jumps[level] -= 1
            for _ in range(jump_length):
                level += 1
                walk.append(level)
    return [*walk, -1]


def renoise(x: Tensor, schedule: NoiseSchedule, t: int, t_noisier: int, noise: Noise) -> Tensor:
    """Diffuse from ``t`` up to ``t_noisier``: ``x_b = (a_b/a_a) x_a + sqrt(1-(a_b/a_a)^2) z``."""
    ratio = schedule.alpha_sigma(t_noisier)[0] / schedule.alpha_sigma(t)[0]
    return ratio * x + math.sqrt(1.0 - ratio**2) * noise(x)


def ddim_resample_times(n_steps: int, jump_length: int, n_resample: int) -> list[int]:
    """Walk of `ddim_resample` over respaced levels, from ``n_steps - 1`` to the clean image ``-1``.

    After every step the walk goes up by ``jump_length`` levels, at most to the first one, and down
    again, ``n_resample`` times: ``N + n_resample * sum(min(N - i, jump_length))`` steps downwards.
    """
    if jump_length < 1 or n_resample < 0:
        raise ValueError("jump_length must be at least 1 and n_resample not negative")
    walk = [n_steps - 1]
    for level in range(n_steps - 2, -2, -1):
        walk.append(level)
        top = min(level + jump_length, n_steps - 1)
        for _ in range(n_resample):
            walk += [*range(level + 1, top + 1), *range(top - 1, level - 1, -1)]
    return walk


def ddim_resample(
    predict: Predict,
    x: Tensor,
    known: Tensor,
    hole: Tensor,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    *,
    noise: Noise,
    eta: float = 0.0,
    jump_length: int = 1,
    n_resample: int = 10,
) -> Tensor:
    """DDIM that resamples after every step, as Mediffusion (RSNA_Inpainting) does.

    Other than in `repaint` the known image is put in, noised, before a step that goes on, but not
    within the jumps; and every step is followed by jumps. Parameters as there.
    """
    steps = [*timesteps[::-1], -1]  # level -> timestep; steps[-1] serves level -1
    lowest = len(timesteps) - 1
    walk = ddim_resample_times(len(timesteps), jump_length, n_resample)
    for level, level_next in itertools.pairwise(walk):
        t, t_next = steps[level], steps[level_next]
        if level_next > level:
            x = renoise(x, schedule, t, t_next, noise)
            continue
        if level_next < lowest:
            lowest = level_next
            alpha, sigma = schedule.alpha_sigma(t)
            x = torch.where(hole > 0, x, alpha * known + sigma * noise(known))
        x = ddim_step(x, predict(x, t), schedule, t, t_next, eta, noise)
    return torch.where(hole > 0, x, known)


def repaint(
    predict: Predict,
    x: Tensor,
    known: Tensor,
    hole: Tensor,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    *,
    noise: Noise,
    eta: float = 0.0,
    jump_length: int = 10,
    n_resample: int = 10,
) -> Tensor:
    """RePaint (Lugmayr et al. 2022, algorithm 1) with DDIM steps.

    Parameters
    ----------
    known
        Clean image; its part outside the hole, diffused to the current level, is put back
        after every step.
    hole
        1 where the image is to be completed, 0 where it is known.
    timesteps
        Downwards; the walk with its jumps is made over their positions.
    """
    steps = [*timesteps[::-1], -1]  # level -> timestep; steps[-1] serves level -1
    walk = repaint_times(len(timesteps), jump_length, n_resample)
    for level, level_next in itertools.pairwise(walk):
        t, t_next = steps[level], steps[level_next]
        if level_next > level:
            x = renoise(x, schedule, t, t_next, noise)
            continue
        x = ddim_step(x, predict(x, t), schedule, t, t_next, eta, noise)
        alpha, sigma = schedule.alpha_sigma(t_next)
        diffused = alpha * known + sigma * noise(known) if sigma > 0 else known
        x = torch.where(hole > 0, x, diffused)
    return x
