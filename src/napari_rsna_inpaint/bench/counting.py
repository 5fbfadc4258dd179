"""Network evaluations: how many, how many seconds, how many operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from napari_rsna_inpaint.bench.clock import timed
from napari_rsna_inpaint.diffusion.model import BatchedDenoiser, Condition, ModelConfig
from napari_rsna_inpaint.diffusion.unet import PatchUNet
from napari_rsna_inpaint.inpaint.engine import Denoiser


class Enough(Exception):  # noqa: N818
    """The evaluations that were to be measured are done."""


class CountedDenoiser:
    """A denoiser that counts its calls and may end after some of them.

    Raises
    ------
    Enough
        At the call after the last one allowed.
    """

    def __init__(self, denoiser: Denoiser, limit: int | None = None) -> None:
        self.config, self.device = denoiser.config, denoiser.device
        self.calls = 0
        self._denoiser = denoiser
        self._limit = limit

    def __call__(self, x_t: Tensor, t: int, condition: Condition) -> Tensor:
        """Predict v, ``(N, 1, H, W)``."""
        if self.calls == self._limit:
            raise Enough
        self.calls += 1
        return self._denoiser(x_t, t, condition)


@dataclass
class NetworkClock:
    """Seconds spent inside the denoiser."""

    seconds: float = 0.0


@contextmanager
def network_clock() -> Iterator[NetworkClock]:
    """Time all calls of all denoisers, also of those that are made inside."""
    clock = NetworkClock()
    untimed = BatchedDenoiser.__call__

    def call(self: BatchedDenoiser, *arguments: Any) -> Tensor:
        seconds, v = timed(lambda: untimed(self, *arguments), self.device)
        clock.seconds += seconds
        return v

    setattr(BatchedDenoiser, "__call__", call)  # noqa: B010
    try:
        yield clock
    finally:
        setattr(BatchedDenoiser, "__call__", untimed)  # noqa: B010


def gflop(call: Callable[[], object]) -> float:
    """10^9 operations of a call; a multiplication with its addition counts as two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


def network_gflop(config: ModelConfig, shape: tuple[int, int]) -> float:
    """GFLOP of one evaluation of one ``(y, x)`` image, counted without computing it."""
    with torch.device("meta"):
        network = PatchUNet(config.network)
        inputs = torch.zeros(1, config.network.in_channels, *shape)
        t = torch.zeros(1, dtype=torch.int64)
        return gflop(lambda: network(inputs, t))
