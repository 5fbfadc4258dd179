"""What the averaged completing network makes of held-out healthy slices."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.inpaint.completion_net import CompletionNet
from napari_rsna_inpaint.inpaint.critic_net import CriticNet
from napari_rsna_inpaint.inpaint.plural import (
    CRITIC,
    GENERATOR,
    PicardModelConfig,
    PluralCompleter,
    PluralJob,
)
from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.lesion_contrast import join, lesion_contrast
from napari_rsna_inpaint.train.method import Picture
from napari_rsna_inpaint.train.prepare import PreparedSeries

#: Completions of every hole.
COMPLETIONS = 2


class PicardValidation:
    """The same held-out slices and holes every time.

    Parameters
    ----------
    series
        Healthy series that are not trained on; may be empty, then all figures are NaN.
    shape
        ``(y, x)`` of a slice on the model grid.
    count
        Number of slices looked at.
    """

    def __init__(
        self,
        series: list[PreparedSeries],
        model: PicardModelConfig,
        shape: tuple[int, int],
        count: int,
        seed: int,
    ) -> None:
        self._model = model
        self._seed = seed
        self._examples: list[tuple[Condition, Tensor]] = []
        if not series:
            return
        slices = HealthySlices(series, cast(Any, model), shape)
        n = min(count, len(slices))
        indices = [int(i) for i in np.linspace(0, len(slices) - 1, n).round()]
        rng = np.random.default_rng([seed, 0, 1])
        self._examples = [slices.example(i, rng, augment=False) for i in indices]
        self._triplets = [slices.triplet(i) for i in indices]

    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors of completions with dropout, as in use.

        Returns
        -------
        ``healthy_mae_hu``, the mean absolute error of their mean in the holes; ``spread_hu``, the
        mean difference between two of them there; ``lesion_contrast`` (see there); ``score``, its
        ratio to the error: the higher the better.
        """
        if not self._examples:
            names = ("healthy_mae_hu", "spread_hu", "lesion_contrast", "score")
            return dict.fromkeys(names, math.nan)
        completer = self._completer(networks)

        def completed(condition: Condition) -> Tensor:
            return self._complete(completer, condition).mean(1, keepdim=True)

        condition = join([condition for condition, _ in self._examples])
        truth = torch.cat([hu for _, hu in self._examples]).clamp(*self._model.hu_window)
        made = self._complete(completer, condition)
        area = condition.hole.sum()
        error = (made.mean(1, keepdim=True) - truth).abs() * condition.hole
        spread = (made[:, :1] - made[:, 1:2]).abs() * condition.hole
        mae = float(error.sum() / area)
        contrast = lesion_contrast(self._triplets, cast(Any, self._model), completed, self._seed)
        return {
            "healthy_mae_hu": mae,
            "spread_hu": float(spread.sum() / area),
            "lesion_contrast": contrast,
            "score": contrast / mae,
        }

    def pictures(self, networks: Mapping[str, nn.Module], n: int = 4) -> list[Picture]:
        """Some slices with the first of their completions, then the same with the second."""
        completer = self._completer(networks)
        shown = self._examples[:: max(1, len(self._examples) // n)][:n]
        return [
            (hu[0, 0].numpy(), condition.hole[0, 0].numpy() > 0, one.numpy())
            for condition, hu in shown
            for one in self._complete(completer, condition)[0]
        ]

    def _complete(self, completer: PluralCompleter, condition: Condition) -> Tensor:
        """Completions in HU, ``(N, COMPLETIONS, y, x)``."""
        image = self._model.decode(condition.image)[:, 0].numpy()
        hole, brain = (plane[:, 0].numpy() > 0 for plane in (condition.hole, condition.brain))
        jobs = [
            PluralJob(*planes, tuple(COMPLETIONS * number + k for k in range(COMPLETIONS)))
            for number, planes in enumerate(zip(image, hole, brain, strict=True))
        ]
        return torch.from_numpy(np.stack([made for _, made in completer.complete(jobs)]))

    def _completer(self, networks: Mapping[str, nn.Module]) -> PluralCompleter:
        """The networks as they are used, where they are."""
        device = next(networks[GENERATOR].parameters()).device
        # copies, since the completer takes its networks over
        generator = cast(CompletionNet, copy.deepcopy(networks[GENERATOR]))
        critic = cast(CriticNet, copy.deepcopy(networks[CRITIC]))
        return PluralCompleter(generator, critic, self._model, device)
