"""Slices with the label healthy or bleed, for weakly supervised training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.diffusion.label_unet import Label
from napari_rsna_inpaint.diffusion.model import ImageModelConfig
from napari_rsna_inpaint.label_table import YES
from napari_rsna_inpaint.train.dataset import HealthySlices, Triplet
from napari_rsna_inpaint.train.lesion_contrast import paint_bleed
from napari_rsna_inpaint.train.prepare import PreparedSeries


class LabelledSlices:
    """Healthy slices, slices labelled as bleeding, and healthy ones with a painted bleed.

    What is learned from them is weakly supervised: a label says that a slice shows a bleed, not
    where. Real bleeds of a small data set would be learned by heart, so a part of the bleeding
    examples is painted (see `lesion_contrast.paint_bleed`).

    Parameters
    ----------
    shape
        ``(y, x)`` of an example on the model grid.
    bleed_share, painted_share
        Share of examples with a bleed, and which part of those is painted: all where no slice
        is labelled as bleeding.
    """

    def __init__(
        self,
        series: list[PreparedSeries],
        config: ImageModelConfig,
        shape: tuple[int, int],
        *,
        bleed_share: float = 0.5,
        painted_share: float = 0.5,
    ) -> None:
        self._pixel_mm = config.pixel_mm
        self._healthy = HealthySlices([one for one in series if one.healthy], config, shape)
        bleeding = [_bleeding(one) for one in series if not one.healthy]
        self._bleeding = None
        if any(len(one.usable) for one in bleeding):
            self._bleeding = HealthySlices(bleeding, config, shape)
        self._bleed_share = bleed_share
        self._painted_share = painted_share if self._bleeding is not None else 1.0

    def example(
        self, rng: np.random.Generator
    ) -> tuple[Triplet, Label, npt.NDArray[np.bool_] | None]:
        """One augmented slice, its label, and where it bleeds.

        That is ``(y, x)`` bool: nowhere in healthy slices, known of painted bleeds, None for real
        ones.
        """
        if rng.random() >= self._bleed_share:
            return _healthy(_draw(self._healthy, rng))
        if self._bleeding is not None and rng.random() >= self._painted_share:
            return _draw(self._bleeding, rng), Label.BLEED, None
        triplet = _draw(self._healthy, rng)
        if not triplet.brain.any():
            return _healthy(triplet)
        painted, lesion = paint_bleed(triplet, self._pixel_mm, rng)
        return painted, Label.BLEED, lesion


def _healthy(triplet: Triplet) -> tuple[Triplet, Label, npt.NDArray[np.bool_]]:
    return triplet, Label.HEALTHY, np.zeros(triplet.brain.shape, bool)


def _draw(slices: HealthySlices, rng: np.random.Generator) -> Triplet:
    return slices.triplet(int(rng.integers(len(slices))), rng)


def _bleeding(series: PreparedSeries) -> PreparedSeries:
    """The series with only its bleeding slices to learn from."""
    return replace(series, usable=series.usable[series.labels[series.usable] == YES])
