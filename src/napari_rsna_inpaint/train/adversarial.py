"""Losses of a Wasserstein critic with gradient penalty, on patches and whole slices at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: ``(patches, slices) -> (scores of patches, scores of slices)``.
Critic = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Views:
    """What the critic sees of slices: patches around their holes, and all of them.

    ``patches`` are ``(N, 1, h, w)``, ``slices`` ``(M, 1, H, W)``.
    """

    patches: Tensor
    slices: Tensor

    def mixed(self, other: Views, generator: torch.Generator) -> Views:
        """A random point between both for every patch and slice (Gulrajani et al. 2017)."""
        return Views(
            _between(self.patches, other.patches, generator),
            _between(self.slices, other.slices, generator),
        )


def views(slices: Tensor, corners: Tensor, side: int) -> Views:
    """Slices ``(M, 1, H, W)`` and patches of ``side`` pixels out of them.

    Parameters
    ----------
    corners
        ``(M, k, 2)``, first pixel ``(y, x)`` of ``k`` patches of every slice, inside of it.
    """
    patches = [
        one[:, y : y + side, x : x + side]
        for one, places in zip(slices, corners.tolist(), strict=True)
        for y, x in places
    ]
    return Views(torch.stack(patches), slices)


def critic_loss(
    critic: Critic,
    healthy: Views,
    completed: Views,
    holes: Views,
    *,
    penalty: float,
    generator: torch.Generator,
) -> Tensor:
    """What the critic learns from: completions score low, healthy slices high, smoothly.

    ``E[D(completed)] - E[D(healthy)] + penalty E[(|grad D(mixed)| - 1)^2]`` for patches and for
    slices (Gulrajani et al. 2017, eq. 3). As only the hole differs, only the gradient in the
    hole counts (Yu et al. 2018, eq. 4).

    Parameters
    ----------
    holes
        The same views of the holes, 1 in them.
    penalty
        Weight of the penalty.
    generator
        Draws the mixtures; on the CPU.
    """
    mixed = healthy.mixed(completed, generator)
    patches, slices = mixed.patches.requires_grad_(), mixed.slices.requires_grad_()
    # not in the call of the others: these would be differentiated twice as well, for nothing
    mixed_scores = critic(patches, slices)
    scores = critic(
        torch.cat([healthy.patches, completed.patches]),
        torch.cat([healthy.slices, completed.slices]),
    )
    loss = torch.zeros((), device=slices.device)
    for score, between, mixture, hole in zip(
        scores, mixed_scores, (patches, slices), (holes.patches, holes.slices), strict=True
    ):
        real, false = score.chunk(2)
        (slope,) = torch.autograd.grad(between.sum(), mixture, create_graph=True)
        steepness = (slope * hole).square().flatten(1).sum(1).clamp_min(1e-12).sqrt()
        loss = loss + false.mean() - real.mean() + penalty * (steepness - 1).square().mean()
    return loss


def deceiving_loss(critic: Critic, completed: Views, healthy: Views) -> Tensor:
    """What the completing network learns from the critic: completions shall score high.

    Healthy slices give the level, which drifts freely as a critic learns from differences.
    """
    patches, slices = critic(completed.patches, completed.slices)
    with torch.no_grad():
        healthy_patches, healthy_slices = critic(healthy.patches, healthy.slices)
    return healthy_patches.mean() - patches.mean() + healthy_slices.mean() - slices.mean()


def _between(a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
    share = torch.rand((len(a), 1, 1, 1), generator=generator).to(a.device)
    return (share * a + (1 - share) * b).detach()
