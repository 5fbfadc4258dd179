"""From holes to completions: full batches of network evaluations, as large as memory allows."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion import samplers
from napari_rsna_inpaint.diffusion.model import BatchedDenoiser, Condition, ModelConfig
from napari_rsna_inpaint.diffusion.schedule import (
    NoiseSchedule,
    log_snr_timesteps,
    trailing_timesteps,
)
from napari_rsna_inpaint.errors import Cancelled, MemoryFull
from napari_rsna_inpaint.inpaint.batches import CPU_BATCH, automatic_batch, is_out_of_memory
from napari_rsna_inpaint.inpaint.protocols import Neighbours, Sampling

log = logging.getLogger(__name__)

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
    times = {"repaint": samplers.repaint_times, "ddim_resample": samplers.ddim_resample_times}
    if sampling.method in times:
        walk = times[sampling.method](sampling.steps, sampling.jump_length, sampling.n_resample)
        return sum(b < a for a, b in pairwise(walk))
    return 1 if sampling.method == "one_step" else sampling.steps


def complete(
    jobs: Iterable[Job],
    denoiser: Denoiser,
    sampling: Sampling,
    *,
    batch_size: int | None = None,
    neighbours: Neighbours = "cut",
    on_evaluations: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[Job, FloatImage]]:
    """Fill the holes of many jobs, in their order.

    Where memory runs out the batch is halved, down to one image, and then moved from a GPU to
    the CPU; no job is lost, and its noise stays the same.

    Parameters
    ----------
    jobs
        All on one model grid; consumed lazily, ``batch_size`` at a time.
    batch_size
        Images a network call at most; None chooses by the free memory.
    on_evaluations
        Called after every network call with the number of images evaluated in it; with a
        negative number where those of a call that ran out of memory will be evaluated again.
    cancelled
        Asked before every network call.

    Yields
    ------
    The job and its ``(y, x)`` float32 completion in HU; only its hole is meaningful.

    Raises
    ------
    Cancelled
        When ``cancelled()`` returned True; what was yielded before stays valid.
    MemoryFull
        If the memory does not suffice for one image.
    """
    coming = iter(jobs)
    waiting = deque(islice(coming, 1))
    if not waiting:
        return
    shape = waiting[0].hole.shape
    size = batch_size or automatic_batch(shape, denoiser.config.network, denoiser.device)
    while True:
        waiting.extend(islice(coming, max(0, size - len(waiting))))
        batch = list(islice(waiting, size))
        if not batch:
            return
        completions = _attempt(batch, denoiser, sampling, neighbours, on_evaluations, cancelled)
        # Not inside an except block, where the traceback would keep the tensors alive.
        if completions is None:
            size, denoiser = _smaller(len(batch), denoiser)
            continue
        for _ in batch:
            waiting.popleft()
        yield from zip(batch, completions, strict=True)


def _attempt(
    batch: list[Job],
    denoiser: Denoiser,
    sampling: Sampling,
    neighbours: Neighbours,
    on_evaluations: Callable[[int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> npt.NDArray[np.float32] | None:
    """Completions ``(n, y, x)`` HU of a batch, or None where memory ran out."""
    evaluated = 0

    def count(n: int) -> None:
        nonlocal evaluated
        evaluated += n
        if on_evaluations is not None:
            on_evaluations(n)

    try:
        condition = _condition(batch, denoiser, neighbours)

        def predict(x: Tensor, t: int) -> Tensor:
            if cancelled is not None and cancelled():
                raise Cancelled
            v = denoiser(x, t, condition)
            count(len(x))
            return v

        schedule = denoiser.config.schedule()
        x0 = _sample(predict, condition, sampling, schedule, [job.seed for job in batch])
        return denoiser.config.decode(x0)[:, 0].cpu().numpy()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    count(-evaluated)
    return None


def _smaller(size: int, denoiser: Denoiser) -> tuple[int, Denoiser]:
    """What to try after ``size`` images did not fit: half of them, then the CPU."""
    if _on_gpu(denoiser):
        torch.cuda.empty_cache()
    if size > 1:
        log.info("%d images do not fit into the memory; %d are tried.", size, size // 2)
        return size // 2, denoiser
    if not _on_gpu(denoiser) or not isinstance(denoiser, BatchedDenoiser):
        raise MemoryFull
    log.warning("The memory of the GPU is full; the CPU goes on, which is slower.")
    return CPU_BATCH, denoiser.on_cpu()


def _on_gpu(denoiser: Denoiser) -> bool:
    return denoiser.device.type == "cuda"


def _condition(batch: list[Job], denoiser: Denoiser, neighbours: Neighbours) -> Condition:
    """What the network sees of every job; each slice is encoded and moved to the device once."""
    config, device = denoiser.config, denoiser.device
    contexts = {id(job.context): job.context for job in batch}
    rows = {key: row for row, key in enumerate(contexts)}
    which = torch.tensor([rows[id(job.context)] for job in batch], device=device)

    def of_slices(planes: list[npt.NDArray]) -> Tensor:
        return torch.from_numpy(np.stack(planes).astype(np.float32)).to(device)[:, None]

    def of_jobs(planes: Tensor) -> Tensor:
        return planes[which]

    holes = torch.from_numpy(np.stack([job.hole for job in batch])).to(device)
    hole = holes[:, None].float()

    def neighbour(planes: list[FloatImage | None]) -> Tensor:
        if neighbours == "drop":
            return torch.zeros_like(hole)
        # the centre of the HU scale is 0 to the network: nothing there
        absent = np.full(batch[0].hole.shape, config.hu_center, np.float32)
        encoded = config.encode(of_slices([absent if p is None else p for p in planes]))
        whole = of_jobs(encoded)
        return whole * (1 - hole) if neighbours == "cut" else whole

    slices = list(contexts.values())
    return Condition(
        image=of_jobs(config.encode(of_slices([one.image for one in slices]))),
        hole=hole,
        brain=of_jobs(of_slices([one.brain for one in slices])),
        below=neighbour([one.below for one in slices]),
        above=neighbour([one.above for one in slices]),
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
    resampled = samplers.repaint if sampling.method == "repaint" else samplers.ddim_resample
    return resampled(
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
