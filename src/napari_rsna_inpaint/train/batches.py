"""Training batches, made by worker processes; what is in them depends on the seed alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.settings import TrainConfig


class Examples(Dataset):
    """Endless examples by number; each is drawn from a generator of its own.

    So neither a resumed run nor another number of workers or processes changes them.
    """

    def __init__(self, slices: HealthySlices, config: TrainConfig) -> None:
        self._slices = slices
        self._config = config

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """The planes of a ``Condition`` and ``noise``, ``(1, y, x)`` each; the timestep ``t``."""
        rng = np.random.default_rng([self._config.seed, number])
        index = int(rng.integers(len(self._slices)))
        condition, _ = self._slices.example(index, rng, augment=True)
        planes = {name: plane[0] for name, plane in vars(condition).items()}
        noise = rng.standard_normal(planes["image"].shape, dtype=np.float32)
        last = self._config.model.n_timesteps - 1
        pure = rng.random() < self._config.pure_noise_share
        t = last if pure else int(rng.integers(last + 1))
        return {**planes, "noise": torch.from_numpy(noise), "t": torch.tensor(t)}


def batches(
    slices: HealthySlices,
    config: TrainConfig,
    first_step: int,
    *,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader:
    """Make this process's share of every batch from ``first_step`` to the last step.

    Parameters
    ----------
    rank, processes
        Which of how many processes; their number divides ``config.batch_size``.
    workers
        Worker processes that prepare batches ahead; 0 prepares them in the main one.
    """
    share = config.batch_size // processes
    first = rank * share
    numbers = (
        [step * config.batch_size + first + i for i in range(share)]
        for step in range(first_step, config.steps)
    )
    return DataLoader(
        Examples(slices, config),
        batch_sampler=numbers,
        num_workers=workers,
        pin_memory=pin_memory,
    )
