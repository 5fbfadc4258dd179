"""The samplers of diffusers with this package's network behind them.

Its schedulers do all the steps; here is only what they need: betas of the network's own
schedule, and ``v`` turned into what they expect. Their mask is 1 where the image is kept,
here the hole is 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.diffusion.samplers import Predict, split_prediction
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule


def betas(schedule: NoiseSchedule) -> npt.NDArray[np.float64]:
    """``(T,)`` noise added at every timestep; the last is 1, at zero SNR."""
    kept = np.concatenate([[1.0], schedule.alphas_cumprod])
    return 1.0 - kept[1:] / kept[:-1]


def epsilon(x: Tensor, v: Tensor, schedule: NoiseSchedule, t: int) -> Tensor:
    """The noise that a v-prediction stands for."""
    return split_prediction(x, v, *schedule.alpha_sigma(t))[1]


@torch.inference_mode()
def repaint(
    predict: Predict,
    condition: Condition,
    schedule: NoiseSchedule,
    *,
    steps: int,
    jump_length: int,
    n_resample: int,
    seed: int = 0,
) -> Tensor:
    """``RePaintScheduler`` in the loop of diffusers' ``RePaintPipeline``, eta 0.

    Its timesteps end below the last one, so it never divides by a signal of zero.
    """
    from diffusers import RePaintScheduler

    scheduler: Any = RePaintScheduler(
        num_train_timesteps=len(schedule), trained_betas=betas(schedule), clip_sample=False
    )
    scheduler.set_timesteps(steps, jump_length, n_resample)
    generator = torch.Generator(condition.hole.device).manual_seed(seed)
    x = _noise(condition, generator)
    above = len(schedule)
    for t in scheduler.timesteps.tolist():
        if t < above:
            noise = epsilon(x, predict(x, t), schedule, t)
            step = scheduler.step(noise, t, x, condition.image, 1 - condition.hole, generator)
            x = step.prev_sample
        else:
            x = scheduler.undo_step(x, above, generator)
        above = t
    return x


def repaint_evaluations(steps: int, jump_length: int, n_resample: int) -> int:
    """Network evaluations of ``repaint``; what it undoes, it computes anew."""
    n_jumps = len(range(0, steps - jump_length, jump_length))
    return steps + n_jumps * (n_resample - 1) * jump_length


@torch.inference_mode()
def masked_ddim(
    predict: Predict, condition: Condition, schedule: NoiseSchedule, *, steps: int, seed: int = 0
) -> Tensor:
    """``DDIMScheduler`` with the known image noised and put back before every step."""
    from diffusers import DDIMScheduler

    scheduler: Any = DDIMScheduler(
        num_train_timesteps=len(schedule),
        trained_betas=betas(schedule),
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
    )
    scheduler.set_timesteps(steps)
    generator = torch.Generator(condition.hole.device).manual_seed(seed)
    x = _noise(condition, generator)
    for t in scheduler.timesteps:
        known = scheduler.add_noise(condition.image, _noise(condition, generator), t)
        x = torch.where(condition.hole > 0, x, known)
        x = scheduler.step(predict(x, int(t)), t, x).prev_sample
    return x


def _noise(condition: Condition, generator: torch.Generator) -> Tensor:
    hole = condition.hole
    return torch.randn(hole.shape, generator=generator, device=hole.device)
