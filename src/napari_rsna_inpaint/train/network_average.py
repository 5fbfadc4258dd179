"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class NetworkAverage:
    """Average of a network over its training steps; it generalises better than the last step.

    Parameters
    ----------
    network
        The network that is trained; the average starts as its copy.
    decay
        Weight of the old average at a step. It is lower at first, so that the random start
        does not last: ``min(decay, (1 + step) / (10 + step))``.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
