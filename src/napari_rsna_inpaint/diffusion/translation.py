"""Translation of whole slices: into noise by inverted DDIM, and back under guidance.

All in v-prediction (see `samplers`). With ``alpha = cos(phi)`` and ``sigma = sin(phi)`` a step of
DDIM from ``phi'`` to ``phi`` is a rotation by ``delta = phi' - phi``:

    x = cos(delta) x' - sin(delta) v(x', t')

which follows from inserting ``x_0 = alpha x - sigma v`` and ``eps = alpha v + sigma x`` in eq. 12
of Song et al. 2021. Nothing is clamped on the way: ``x_t`` is noise and has tails, and a clamped
step cannot be inverted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion.samplers import Predict, ddim_step
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule

#: ``(x_t, t)`` to the gradient of ``log p(wanted | x_t)`` by ``x_t``, ``(N, 1, H, W)`` both.
Gradient = Callable[[Tensor, int], Tensor]


def encoding_timesteps(schedule: NoiseSchedule, level: int, n_steps: int) -> list[int]:
    """``n_steps`` equally spaced timesteps from ``level - 1`` down, the smallest one above 0.

    Parameters
    ----------
    level
        Number of training timesteps that are passed, at most those of the schedule less one:
        pure noise has forgotten the slice.
    """
    if not 1 <= n_steps <= level < len(schedule):
        raise ValueError(f"needs 1 <= n_steps <= level < {len(schedule)}, got {n_steps}, {level}")
    return [round(level * (n_steps - k) / n_steps) - 1 for k in range(n_steps)]


def ddim_invert(
    predict: Predict,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    *,
    refinements: int = 2,
) -> list[Tensor]:
    """Deterministic encoding: the noisy images by which DDIM comes back to ``x``.

    A step upwards solves ``x = cos(delta) x' - sin(delta) v(x', t')`` for ``x'``. The usual
    inversion takes ``v(x, t')`` for ``v(x', t')``; each refinement inserts the solution found so
    far once more (fixed-point iteration), which makes the round trip exact in the limit.

    Parameters
    ----------
    x
        Clean images ``(N, 1, H, W)``, network units.
    timesteps
        Downwards, as `samplers.ddim` takes them.
    refinements
        Further evaluations a step; ``len(timesteps) * (1 + refinements)`` in all.

    Returns
    -------
    The image at every timestep, in their order: the noisiest one first.
    """
    noisy: list[Tensor] = []
    t_clean = -1
    for t in reversed(timesteps):
        cos, sin = _rotation(schedule, t, t_clean)
        guess = x
        for _ in range(1 + refinements):
            guess = (x + sin * predict(guess, t)) / cos
        x, t_clean = guess, t
        noisy.insert(0, x)
    return noisy


def to_healthy(
    unguided: Predict,
    guided: Predict,
    x: Tensor,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    *,
    refinements: int = 0,
    exact: bool = True,
) -> Tensor:
    """Encode images without guidance, and decode them with it (see `ddim_invert`).

    Parameters
    ----------
    exact
        Whether what an unguided step back misses of the image it was encoded from is added to the
        guided step (Ju et al. 2024, direct inversion). Without guidance the images then come back
        to the last bits in any number of steps, so that what differs is what guidance did. Takes
        one more evaluation a step.
    """
    trail = [*ddim_invert(unguided, x, schedule, timesteps, refinements=refinements), x]
    x = trail[0]
    for k, t in enumerate(timesteps):
        t_next = timesteps[k + 1] if k + 1 < len(timesteps) else -1
        x = ddim_step(x, guided(x, t), schedule, t, t_next, 0.0, None)
        if exact:
            back = ddim_step(trail[k], unguided(trail[k], t), schedule, t, t_next, 0.0, None)
            x = x + (trail[k + 1] - back)
    return x


def _rotation(schedule: NoiseSchedule, t: int, t_next: int) -> tuple[float, float]:
    """Cosine and sine of the angle between two noise levels, ``t`` the noisier one."""
    alpha, sigma = schedule.alpha_sigma(t)
    alpha_next, sigma_next = schedule.alpha_sigma(t_next)
    return alpha * alpha_next + sigma * sigma_next, sigma * alpha_next - alpha * sigma_next


def classifier_free(conditional: Predict, null: Predict, w: float) -> Predict:
    """Guidance by the difference that a label makes (Ho and Salimans 2022, eq. 6).

    ``eps = (1 + w) eps_c - w eps_null``, and the same for v, which is linear in eps at a given
    ``x_t``. ``w = 0`` is the conditional prediction, ``w = -1`` the one without label. The other
    usual convention, ``eps_null + s (eps_c - eps_null)``, has ``s = 1 + w``.
    """
    if w == 0:
        return conditional

    def predict(x: Tensor, t: int) -> Tensor:
        return (1 + w) * conditional(x, t) - w * null(x, t)

    return predict


def classifier_guided(
    predict: Predict, gradient: Gradient, schedule: NoiseSchedule, scale: Callable[[int], float]
) -> Predict:
    """Guidance by the gradient of a classifier (Dhariwal and Nichol 2021, algorithm 2).

    ``eps = eps(x_t) - scale(t) sigma_t grad log p(wanted | x_t)``. Since ``eps = alpha v +
    sigma x``, v changes by ``1 / alpha_t`` of that.

    Parameters
    ----------
    scale
        Strength at a timestep; 0 leaves the prediction alone, and no gradient is asked for.
    """

    def guided(x: Tensor, t: int) -> Tensor:
        v = predict(x, t)
        strength = scale(t)
        if strength == 0:
            return v
        alpha, sigma = schedule.alpha_sigma(t)
        return v - strength * sigma / alpha * gradient(x, t)

    return guided


def annealed(scale: float, level: int, share: float) -> Callable[[int], float]:
    """Strength of guidance that falls linearly to 0 over the last ``share`` of the way back.

    Gradients do not vanish near the clean image; undiminished, they end as noise in it.
    """

    def strength(t: int) -> float:
        return scale * min(1.0, t / (share * level)) if share > 0 else scale

    return strength


def log_probability_gradient(
    classify: Callable[[Tensor], Tensor], x: Tensor, wanted: int
) -> Tensor:
    """Gradient of ``log softmax(classify(x))[wanted]`` by ``x``, image by image."""
    with torch.inference_mode(False), torch.enable_grad():
        # a copy: what comes from inference mode can have no gradient
        leaf = x.clone().requires_grad_()
        chosen = classify(leaf).log_softmax(1)[:, wanted].sum()
        (gradient,) = torch.autograd.grad(chosen, leaf)
    return gradient
