"""Several completions of a hole at once, by dropout (Konz et al. 2023, PICARD)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from napari_rsna_inpaint.diffusion.model import CPU_IMAGES, ImageModelConfig
from napari_rsna_inpaint.diffusion.model_folder import load_weights
from napari_rsna_inpaint.errors import Cancelled, MemoryFull
from napari_rsna_inpaint.inpaint.batches import is_out_of_memory
from napari_rsna_inpaint.inpaint.completion_net import (
    STAGES,
    CompletionConfig,
    CompletionNet,
    draw_masks,
)
from napari_rsna_inpaint.inpaint.critic_net import CriticConfig, CriticNet

FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

GENERATOR, CRITIC = "generator", "critic"
#: Images of a network call on a GPU.
GPU_IMAGES = 64
#: Patches of a call of the critic, which is a small network.
PATCHES = 16

#: Stages of the network whose dropout is active.
Stages = Literal["both", "coarse", "fine"]


class PicardModelConfig(ImageModelConfig):
    """A network that completes holes in several ways, and its critic."""

    method: Literal["picard"] = "picard"
    network: CompletionConfig = Field(default_factory=CompletionConfig)
    critic: CriticConfig = Field(default_factory=CriticConfig)

    @property
    def divisor(self) -> int:
        """Height and width of the input must be multiples of this."""
        return self.network.divisor

    def make_networks(self) -> dict[str, CompletionNet | CriticNet]:
        """Fresh networks by name."""
        return {GENERATOR: CompletionNet(self.network), CRITIC: CriticNet(self.critic)}


@dataclass(frozen=True, eq=False)
class PluralJob:
    """One hole to complete in several ways.

    Attributes
    ----------
    image
        ``(y, x)`` float32 HU; what lies in the hole is not looked at.
    hole, brain
        ``(y, x)`` bool; hole = 1.
    seeds
        One for each completion.
    """

    image: FloatImage
    hole: BoolImage
    brain: BoolImage
    seeds: tuple[int, ...]


Job = TypeVar("Job", bound=PluralJob)


def active_layers(config: CompletionConfig, stages: Stages = "both") -> tuple[str, ...]:
    """Names of the layers that have dropout in some stages of the network.

    Raises
    ------
    ValueError
        If a stage that was asked for has none, which would leave it without variety.
    """
    wanted = STAGES if stages == "both" else (stages,)
    for stage in wanted:
        if not any(name.startswith(f"{stage}.") for name in config.dropout_layers):
            raise ValueError(f"no layer of the {stage} stage has dropout in this model")
    return tuple(name for name in config.dropout_layers if name.split(".")[0] in wanted)


class PluralCompleter:
    """Completes holes in several ways; the known part of the image stays as it was.

    Parameters
    ----------
    generator, critic
        Networks with their weights; moved to the device in float32.
    stages
        Where dropout makes the variety.
    batch_size
        Images a call on a GPU. On a CPU every call has the same few, filled up where fewer are
        left, so that a completion gets the same bits whatever is computed with it.

    Attributes
    ----------
    layers
        Names of the layers with dropout.
    """

    def __init__(
        self,
        generator: CompletionNet,
        critic: CriticNet,
        config: PicardModelConfig,
        device: torch.device,
        *,
        stages: Stages = "both",
        batch_size: int | None = None,
    ) -> None:
        self.config = config
        self.device = device
        self.layers = active_layers(config.network, stages)
        self._on_cpu = device.type == "cpu"
        self._images = CPU_IMAGES if self._on_cpu else batch_size or GPU_IMAGES
        self._generator = generator.eval().to(device)
        self._generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._critic = critic.eval().to(device)

    def complete(
        self,
        jobs: Iterable[Job],
        *,
        on_evaluations: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[tuple[Job, FloatImage]]:
        """Fill the holes of many jobs, in their order.

        Parameters
        ----------
        jobs
            All of one shape, sides multiples of ``config.divisor``; consumed lazily.
        on_evaluations
            Called after every network call with the number of images evaluated in it.
        cancelled
            Asked before every network call.

        Yields
        ------
        The job and its ``(n_seeds, y, x)`` float32 HU: the completion in the hole, the original
        everywhere else.

        Raises
        ------
        Cancelled
            When ``cancelled()`` returned True; what was yielded before stays valid.
        MemoryFull
            If the memory does not suffice for a call.
        """
        coming = iter(jobs)
        while batch := self._next_jobs(coming):
            rows = [(job, seed) for job in batch for seed in job.seeds]
            made: list[FloatImage] = []
            for first in range(0, len(rows), self._images):
                if cancelled is not None and cancelled():
                    raise Cancelled
                part = rows[first : first + self._images]
                made.extend(self._call(part))
                if on_evaluations is not None:
                    on_evaluations(len(part))
            done = iter(made)
            for job in batch:
                yield job, np.stack(list(islice(done, len(job.seeds))))

    def features(self, patches: FloatImage) -> FloatImage:
        """What the critic sees in patches ``(n, h, w)`` HU, ``(n, n_features)``."""
        found = []
        for first in range(0, len(patches), PATCHES):
            part = patches[first : first + PATCHES]
            filled = np.zeros((PATCHES, *part.shape[1:]), np.float32)
            filled[: len(part)] = part
            found.append(self._features(torch.from_numpy(filled)[:, None])[: len(part)])
        return np.concatenate(found)

    @torch.inference_mode()
    def _features(self, patches: Tensor) -> FloatImage:
        encoded = self.config.encode(patches.to(self.device))
        return self._critic.features(encoded).cpu().numpy()

    def _next_jobs(self, coming: Iterator[Job]) -> list[Job]:
        """So many jobs that their completions fill a network call, if there are as many."""
        batch: list[Job] = []
        while sum(len(job.seeds) for job in batch) < self._images:
            following = list(islice(coming, 1))
            if not following:
                break
            batch += following
        return batch

    def _call(self, rows: Sequence[tuple[PluralJob, int]]) -> list[FloatImage]:
        """Completions ``(y, x)`` HU of one network call, with the known part pasted in."""
        try:
            made = self._evaluate(rows)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryFull from error
        return [
            np.where(job.hole, completion, job.image)
            for (job, _), completion in zip(rows, made, strict=True)
        ]

    @torch.inference_mode()
    def _evaluate(self, rows: Sequence[tuple[PluralJob, int]]) -> FloatImage:
        n = len(rows)
        # a GPU is asked for whole images; a CPU's kernels must meet the same batch every time
        filled = [*rows, *[rows[-1]] * (self._images - n)] if self._on_cpu else list(rows)

        def stacked(planes: list[npt.NDArray]) -> Tensor:
            return torch.from_numpy(np.stack(planes).astype(np.float32))[:, None].to(self.device)

        image = stacked([job.image for job, _ in filled])
        hole = stacked([job.hole for job, _ in filled])
        brain = stacked([job.brain for job, _ in filled])
        masks = draw_masks(self.config.network, self.layers, [seed for _, seed in filled])
        on_device = {name: mask.to(self.device) for name, mask in masks.items()}
        _, fine = self._generator(self.config.encode(image), hole, brain, on_device)
        return self.config.decode(fine)[:n, 0].cpu().numpy()


def load_completer(
    folder: Path,
    config: PicardModelConfig,
    device: torch.device,
    *,
    stages: Stages = "both",
    batch_size: int | None = None,
) -> PluralCompleter:
    """Completer of a model folder.

    Raises
    ------
    InputRefused
        If the weights are damaged or belong to another configuration.
    """
    generator, critic = CompletionNet(config.network), CriticNet(config.critic)
    load_weights(folder, {GENERATOR: generator, CRITIC: critic})
    return PluralCompleter(generator, critic, config, device, stages=stages, batch_size=batch_size)
