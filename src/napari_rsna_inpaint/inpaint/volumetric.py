"""Completions of holes in volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from napari_rsna_inpaint.diffusion import samplers
from napari_rsna_inpaint.diffusion.schedule import (
    NoiseSchedule,
    karras_timesteps,
    trailing_timesteps,
)
from napari_rsna_inpaint.diffusion.wavelet_model import VolumeCondition, WaveletDenoiser
from napari_rsna_inpaint.errors import Cancelled, MemoryFull
from napari_rsna_inpaint.inpaint.batches import is_out_of_memory
from napari_rsna_inpaint.inpaint.blocks import (
    BoolVolume,
    FloatVolume,
    blocks_around,
    cut_block,
    paste,
)
from napari_rsna_inpaint.inpaint.engine import job_seed

#: Signal power (alpha squared) at the second pass of ``two_step``: that of fastWDM3D's schedule
#: (Durrer et al. 2025) at half of its time.
SECOND_PASS_SIGNAL = 0.079


class VolumeSampling(BaseModel):
    """How a hole of a volume is filled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["one_step", "two_step", "ddpm", "dpm++"] = Field(
        "two_step",
        description="one_step: mean from one evaluation; two_step: two passes near pure noise "
        "(fastWDM3D); ddpm: ancestral; dpm++: DPM-Solver++(2M) at Karras noise levels",
    )
    steps: int = Field(2, ge=1, le=1000, description="evaluations of ddpm and dpm++")

    @property
    def evaluations(self) -> int:
        """Network evaluations that one completion of a block takes."""
        return {"one_step": 1, "two_step": 2}.get(self.method, self.steps)

    def timesteps(self, schedule: NoiseSchedule) -> list[int]:
        """Timesteps of the evaluations, downwards from pure noise."""
        if self.method == "two_step":
            nearest = np.abs(schedule.alphas_cumprod - SECOND_PASS_SIGNAL).argmin()
            return [len(schedule) - 1, int(nearest)]
        if self.method == "dpm++":
            return karras_timesteps(schedule, self.steps)
        return trailing_timesteps(schedule, self.evaluations)


def complete_blocks(
    condition: VolumeCondition,
    denoiser: WaveletDenoiser,
    sampling: VolumeSampling,
    seeds: Sequence[int],
    *,
    on_evaluations: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FloatVolume:
    """Fill the holes of blocks.

    Parameters
    ----------
    condition
        ``(N, 1, D, H, W)``.
    seeds
        One a block.
    on_evaluations
        Called after every network call with the number of blocks evaluated in it.
    cancelled
        Asked before every network call.

    Returns
    -------
    ``(N, D, H, W)`` float32 HU; only the holes are meaningful.

    Raises
    ------
    Cancelled
        When ``cancelled()`` returned True.
    MemoryFull
        If the memory does not suffice for one block.
    """
    condition = condition.to(denoiser.device)
    schedule = denoiser.config.schedule()
    noise = samplers.SeededNoise(seeds)

    def predict(x: Tensor, t: int) -> Tensor:
        if cancelled is not None and cancelled():
            raise Cancelled
        v = denoiser(x, t, condition, noise)
        if on_evaluations is not None:
            on_evaluations(len(x))
        return v

    try:
        x = noise(condition.hole)
        timesteps = sampling.timesteps(schedule)
        if sampling.method == "dpm++":
            x0 = samplers.dpm_solver_pp_2m(predict, x, schedule, timesteps)
        else:
            # DDIM at eta 1 is the ancestral sampler; its last step adds no noise
            x0 = samplers.ddim(predict, x, schedule, timesteps, eta=1.0, noise=noise)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryFull from error
    return denoiser.config.decode(x0)[:, 0].cpu().numpy()


def complete_volume(
    image: FloatVolume,
    hole: BoolVolume,
    brain: BoolVolume,
    denoiser: WaveletDenoiser,
    sampling: VolumeSampling | None = None,
    *,
    seed: int = 0,
    samples: int = 1,
    on_step: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FloatVolume:
    """Draw completions of a hole in a volume on the model grid.

    A hole deeper than what one block contributes is completed from below: each block sees what
    the one below has made. A completion depends neither on how many are drawn nor on batches.

    Parameters
    ----------
    image
        ``(z, y, x)`` float32 in the units of the model's window (CT: HU), z to the head, y
        posterior, x left; what lies in the hole is not looked at.
    hole, brain
        ``(z, y, x)`` bool; hole = 1.
    sampling
        None takes two steps.
    on_step
        ``(done, total)`` network evaluations, after each.
    cancelled
        Asked before every network evaluation.

    Returns
    -------
    ``(samples, z, y, x)`` float32: the completion in the hole, the original everywhere else.

    Raises
    ------
    ValueError
        If the arrays differ in shape.
    Cancelled
        When ``cancelled()`` returned True.
    MemoryFull
        If the memory does not suffice for one block.
    """
    completions = list(
        iterate_completions(
            image,
            hole,
            brain,
            denoiser,
            sampling,
            seed=seed,
            samples=samples,
            on_step=on_step,
            cancelled=cancelled,
        )
    )
    return np.stack(completions)


def iterate_completions(
    image: FloatVolume,
    hole: BoolVolume,
    brain: BoolVolume,
    denoiser: WaveletDenoiser,
    sampling: VolumeSampling | None = None,
    *,
    seed: int = 0,
    samples: int = 1,
    on_step: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[FloatVolume]:
    """The completions of `complete_volume`, ``(z, y, x)`` each, as soon as they are drawn."""
    if not image.shape == hole.shape == brain.shape:
        raise ValueError(
            f"image, hole and brain differ in shape: {image.shape}, {hole.shape}, {brain.shape}"
        )
    sampling = sampling or VolumeSampling()
    deep = np.flatnonzero(hole.any((1, 2)))
    blocks = blocks_around(int(deep[0]), int(deep[-1]), denoiser.config) if len(deep) else []
    total = samples * len(blocks) * sampling.evaluations
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        if on_step is not None:
            on_step(done, total)

    for sample in range(samples):
        completed, missing = image.astype(np.float32), hole.copy()
        for number, block in enumerate(blocks):
            condition = cut_block(completed, missing, brain, block, denoiser.config)
            made = complete_blocks(
                condition,
                denoiser,
                sampling,
                [job_seed(seed, number, 0, sample)],
                on_evaluations=count,
                cancelled=cancelled,
            )
            paste(completed, made[0], missing, block)
            missing[max(0, block.core[0]) : block.core[1]] = False
        yield completed
