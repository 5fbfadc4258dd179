"""Scores of a section from the completions of its windows."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.base import SliceScores
from napari_rsna_inpaint.detection.windows import Place, Windows, window_map

FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

Statistic = Literal["min", "mean", "median"]


def summary(
    distances: FloatImage, difference: FloatImage, statistic: Statistic
) -> tuple[float, FloatImage]:
    """Distance of a window from its completions, and its residual.

    Parameters
    ----------
    distances
        ``(M,)``, one a completion.
    difference
        ``(M, n)`` HU, original minus completion.

    Returns
    -------
    Minimum, mean or median distance (Konz et al. 2023, MCD, MeanCD and MedCD), and ``(n,)`` HU:
    the difference from the nearest completion, or the mean or median difference.
    """
    if statistic == "min":
        return float(distances.min()), difference[distances.argmin()]
    of = np.mean if statistic == "mean" else np.median
    return float(of(distances)), of(difference, 0).astype(np.float32)


class WindowScores:
    """What is known of one section while its windows come in.

    Parameters
    ----------
    shape
        ``(y, x)`` of the section.
    windows
        All windows of the section, those that are left out included.
    """

    def __init__(self, shape: tuple[int, int], windows: Windows) -> None:
        self.windows = windows
        self._total = np.zeros(shape, np.float32)
        self._count = np.zeros(shape, np.float32)
        self._minimum = np.full(shape, np.inf, np.float32)
        self._signed = np.full(windows.shape, np.nan, np.float32)

    def add(
        self,
        place: Place,
        inside: tuple[slice, slice],
        hidden: BoolImage,
        value: float,
        residual: FloatImage,
        difference: FloatImage,
    ) -> None:
        """Take in a window.

        Parameters
        ----------
        place, inside
            Its row and column, and the part of the section that it covers.
        hidden
            Which pixels of that part were hidden, bool.
        value
            Distance of the window from its completions.
        residual, difference
            ``(n,)`` and ``(M, n)`` HU at the hidden pixels: what is shown, and original minus
            completion for all completions.
        """
        self._total[inside][hidden] += residual
        self._count[inside][hidden] += 1
        nearest = difference[np.abs(difference).argmin(0), np.arange(difference.shape[1])]
        before = self._minimum[inside][hidden]
        self._minimum[inside][hidden] = np.where(np.abs(nearest) < np.abs(before), nearest, before)
        # squared, so that a small bleed outweighs a slight darkness of the rest
        self._signed[place] = math.copysign(value, (residual * np.abs(residual)).mean())

    def scores(self, index: int, brain: BoolImage, *, judge_windows: bool) -> SliceScores:
        """The section; residuals are averaged over the windows that cover a pixel.

        Parameters
        ----------
        judge_windows
            Judge the distances of the windows, with the sign of their residuals, squared, in
            place of the residual.
        """
        shape = brain.shape
        self._minimum[self._count == 0] = 0
        deviation = window_map(self._signed, self.windows, shape) if judge_windows else None
        return SliceScores(
            index,
            (self._total / np.maximum(self._count, 1)).astype(np.float32),
            np.zeros((0, *shape), np.float32),
            self._minimum,
            deviation=None if deviation is None else np.where(brain, deviation, np.float32(0)),
        )
