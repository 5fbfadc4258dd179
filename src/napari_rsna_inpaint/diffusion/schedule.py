"""The noise schedule: how much signal is left at each of the training timesteps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class NoiseSchedule:
    """Variance-preserving schedule ``x_t = alpha_t x_0 + sigma_t eps``.

    Attributes
    ----------
    alphas_cumprod
        ``(T,)`` float64, ``alpha_t ** 2`` for ``t = 0 .. T-1``, decreasing; the last
        entry is 0 (zero terminal SNR: ``t = T-1`` is pure noise).
    """

    alphas_cumprod: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def alpha_sigma(self, t: int) -> tuple[float, float]:
        """Signal and noise amplitude at timestep ``t``; ``t < 0`` is the clean image."""
        squared = 1.0 if t < 0 else float(self.alphas_cumprod[t])
        return squared**0.5, (1.0 - squared) ** 0.5

    def log_snr(self) -> npt.NDArray[np.float64]:
        """``(T,)`` ``log(alpha_t / sigma_t)``; ``-inf`` at zero SNR."""
        with np.errstate(divide="ignore"):
            return 0.5 * (np.log(self.alphas_cumprod) - np.log1p(-self.alphas_cumprod))


def cosine_schedule(n_timesteps: int = 1000, offset: float = 0.008) -> NoiseSchedule:
    """Cosine schedule (Nichol and Dhariwal 2021, eq. 17) with zero terminal SNR.

    The square root of ``alphas_cumprod`` is shifted and scaled so that its last value is
    exactly 0 and its first is kept (Lin et al. 2024, algorithm 1).
    """
    grid = np.linspace(0.0, 1.0, n_timesteps + 1)
    cumulative = np.cos((grid + offset) / (1 + offset) * np.pi / 2) ** 2
    betas = np.minimum(1.0 - cumulative[1:] / cumulative[:-1], 0.999)
    root = np.sqrt(np.cumprod(1.0 - betas))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return NoiseSchedule(root**2)


def trailing_timesteps(schedule: NoiseSchedule, n_steps: int) -> list[int]:
    """``n_steps`` equally spaced timesteps from ``T-1`` down (Lin et al. 2024, table 2)."""
    total = len(schedule)
    _check_steps(n_steps, total)
    return [round(total - i * total / n_steps) - 1 for i in range(n_steps)]


def log_snr_timesteps(
    schedule: NoiseSchedule, n_steps: int, *, low: float = -3.0, high: float = 3.0
) -> list[int]:
    """``T-1``, then timesteps equally spaced in ``log(alpha/sigma)`` from ``low`` to ``high``.

    Few-step solvers need fewer evaluations this way than with equal steps in ``t``
    (Lu et al. 2022, section 4). The first step leaves pure noise, where log-SNR is -inf.
    """
    # more steps would share timesteps at the low end
    _check_steps(n_steps, len(schedule) // 5)
    log_snr = schedule.log_snr()[::-1]
    wanted = np.linspace(low, high, n_steps - 1)
    steps = [len(schedule) - 1]
    for value in wanted:
        nearest = len(schedule) - 1 - int(np.searchsorted(log_snr, value))
        steps.append(max(0, min(nearest, steps[-1] - 1)))
    return steps


def karras_timesteps(
    schedule: NoiseSchedule,
    n_steps: int,
    *,
    rho: float = 7.0,
    sigma_max: float = 20.0,
    sigma_min: float = 0.03,
) -> list[int]:
    """``T-1``, then the timesteps nearest to Karras's noise levels (Karras et al. 2022, eq. 5).

    Noise levels are those of an unscaled image, ``sigma / alpha``; their ``rho``-th roots are
    equally spaced from ``sigma_max`` to ``sigma_min``. The first step leaves pure noise, where
    the level is infinite.
    """
    _check_steps(n_steps, len(schedule) // 5)
    roots = np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), n_steps - 1)
    levels = np.log(roots**rho)
    known = -schedule.log_snr()[:-1]
    steps = [len(schedule) - 1]
    for level in levels:
        nearest = int(np.abs(known - level).argmin())
        steps.append(max(0, min(nearest, steps[-1] - 1)))
    return steps


def _check_steps(n_steps: int, total: int) -> None:
    if not 1 <= n_steps <= total:
        raise ValueError(f"n_steps must be between 1 and {total}, got {n_steps}")
