"""From holes to completions: full batches of network evaluations, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion import samplers
from napari_rsna_inpaint.diffusion.model import Condition, ModelConfig
from napari_rsna_inpaint.diffusion.schedule import (
    NoiseSchedule,
    log_snr_timesteps,
    trailing_timesteps,
)
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.inpaint.protocols import Neighbours, Sampling

FloatImage = npt.NDArray[np.float32]


class Denoiser(Protocol):
    """What the engine needs of a network, whatever runs it."""

    config: ModelConfig
    device: torch.device

    def __call__(self, x_t: Tensor, t: int, condition: Condition) -> Tensor:
        """Predict v, ``(N, 1, H, W)`` float32."""


@dataclass(frozen=True, eq=False)
class SliceContext:
    """One slice on the model grid with what surrounds it.

    ``image``, ``below`` and ``above`` are ``(y, x)`` float32 HU (None beyond the ends),
    ``brain`` bool; ``index`` is the position along ``z`` in the volume.
    """

    index: int
    image: FloatImage
    brain: npt.NDArray[np.bool_]
    below: FloatImage | None
    above: FloatImage | None


@dataclass(frozen=True, eq=False)
class Job:
    """One completion to compute: a slice, its hole (``(y, x)`` bool, hole = 1), a seed."""

    context: SliceContext
    hole: npt.NDArray[np.bool_]
    seed: int
    scale: int = 0


def job_seed(seed: int, slice_index: int, number: int, sample: int = 0) -> int:
    """Seed of one job, independent of what else is computed."""
    return int(np.random.SeedSequence([seed, slice_index, number, sample]).generate_state(1)[0])


def evaluations_per_job(sampling: Sampling) -> int:
    """Network evaluations that one completion takes."""
    if sampling.method == "repaint":
        walk = samplers.repaint_times(sampling.steps, sampling.jump_length, sampling.n_resample)
        return sum(b < a for a, b in pairwise(walk))
    return 1 if sampling.method == "one_step" else sampling.steps


def complete(
    jobs: Iterable[Job],
    denoiser: Denoiser,
    sampling: Sampling,
    *,
    batch_size: int,
    neighbours: Neighbours = "cut",
    on_evaluations: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[Job, FloatImage]]:
    """Fill the holes of many jobs, in their order.

    Parameters
    ----------
    jobs
        All on one model grid; consumed lazily, ``batch_size`` at a time.
    on_evaluations
        Called after every network call with the number of images evaluated in it.
    cancelled
        Asked before every network call.

    Yields
    ------
    The job and its ``(y, x)`` float32 completion in HU; only its hole is meaningful.

    Raises
    ------
    Cancelled
        When ``cancelled()`` returned True; what was yielded before stays valid.
    """
    schedule = denoiser.config.schedule()
    iterator = iter(jobs)
    while batch := list(islice(iterator, batch_size)):
        condition = _condition(batch, denoiser.config, neighbours).to(denoiser.device)

        def predict(x: Tensor, t: int, condition: Condition = condition) -> Tensor:
            if cancelled is not None and cancelled():
                raise Cancelled
            v = denoiser(x, t, condition)
            if on_evaluations is not None:
                on_evaluations(len(x))
            return v

        x0 = _sample(predict, condition, sampling, schedule, [job.seed for job in batch])
        hu = denoiser.config.decode(x0)[:, 0].cpu().numpy()
        yield from zip(batch, hu, strict=True)


def _condition(batch: list[Job], config: ModelConfig, neighbours: Neighbours) -> Condition:
    def stack(images: list[npt.NDArray]) -> Tensor:
        return torch.from_numpy(np.stack(images).astype(np.float32))[:, None]

    hole = stack([job.hole for job in batch])

    def neighbour(images: list[FloatImage | None]) -> Tensor:
        if neighbours == "drop":
            return torch.zeros_like(hole)
        # the centre of the HU scale is 0 to the network: nothing there
        absent = np.full(hole.shape[2:], config.hu_center, np.float32)
        planes = config.encode(stack([absent if image is None else image for image in images]))
        return planes * (1 - hole) if neighbours == "cut" else planes

    return Condition(
        image=config.encode(stack([job.context.image for job in batch])),
        hole=hole,
        brain=stack([job.context.brain for job in batch]),
        below=neighbour([job.context.below for job in batch]),
        above=neighbour([job.context.above for job in batch]),
    )


def _sample(
    predict: samplers.Predict,
    condition: Condition,
    sampling: Sampling,
    schedule: NoiseSchedule,
    seeds: list[int],
) -> Tensor:
    noise = samplers.SeededNoise(seeds)
    x = noise(condition.hole)
    if sampling.method == "one_step":
        return samplers.one_step(predict, x, schedule)
    spacing = log_snr_timesteps if sampling.spacing == "log_snr" else trailing_timesteps
    timesteps = spacing(schedule, sampling.steps)
    if sampling.method == "dpm++":
        return samplers.dpm_solver_pp_2m(predict, x, schedule, timesteps)
    if sampling.method == "ddim":
        return samplers.ddim(predict, x, schedule, timesteps, eta=sampling.eta, noise=noise)
    return samplers.repaint(
        predict,
        x,
        condition.image,
        condition.hole,
        schedule,
        timesteps,
        noise=noise,
        eta=sampling.eta,
        jump_length=sampling.jump_length,
        n_resample=sampling.n_resample,
    )
