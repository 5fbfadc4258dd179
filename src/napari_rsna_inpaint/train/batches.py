"""Training batches, made by worker processes; what is in them depends on the seed alone."""

from __future__ import annotations

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_rsna_inpaint.train.method import Method


class Examples(Dataset):
    """Endless examples by number; each is drawn from a generator of its own.

    So neither a resumed run nor another number of workers or processes changes them.
    """

    def __init__(self, method: Method) -> None:
        self._method = method

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """One example of the method."""
        return self._method.example(number)


def batches(
    method: Method,
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
    config = method.config
    share = config.batch_size // processes
    first = rank * share
    numbers = (
        [step * config.batch_size + first + i for i in range(share)]
        for step in range(first_step, config.steps)
    )
    return DataLoader(
        Examples(method),
        batch_sampler=numbers,
        num_workers=workers,
        pin_memory=pin_memory,
    )
