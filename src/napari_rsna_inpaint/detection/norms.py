"""What is normal where: healthy residual and HU by distance to bone.

A raw residual is largest at partial volume of bone, in healthy scans above all. Its healthy
distribution at the same distance to bone turns it into a number that can be compared
between places: healthy median 0, healthy spread 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

from napari_rsna_inpaint.errors import InputRefused

FloatArray = npt.NDArray[np.float32]

#: Centres of the distance bins, mm; values in between are interpolated.
DISTANCES_MM = (0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 9.0, 12.0, 16.0, 20.0, 26.0, 34.0, 44.0)
_BETWEEN_MM = (np.array(DISTANCES_MM[1:]) + np.array(DISTANCES_MM[:-1])) / 2
#: Each tail is described by how far this quantile is from the median, in units of sigma.
TAIL_QUANTILE, TAIL_SIGMA = 0.98, 2.0537
#: A bin with fewer pixels counts as empty; with fewer bins there is nothing to calibrate on.
MIN_PIXELS, MIN_BINS = 200, 3


class Normal(BaseModel):
    """Healthy distribution of one quantity at each of ``DISTANCES_MM``.

    ``median``; ``upper`` and ``lower`` spread, the standard deviation of a normal
    distribution with the same tail.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    median: tuple[float, ...]
    upper: tuple[float, ...]
    lower: tuple[float, ...]

    @model_validator(mode="after")
    def _one_entry_a_distance(self) -> Normal:
        if {len(self.median), len(self.upper), len(self.lower)} != {len(DISTANCES_MM)}:
            raise ValueError(f"needs {len(DISTANCES_MM)} entries each")
        return self

    def z(self, values: FloatArray, distance_mm: FloatArray) -> FloatArray:
        """Deviation from the healthy median in healthy spreads of that side, signed."""
        median, upper, lower = (
            np.interp(distance_mm, DISTANCES_MM, table).astype(np.float32)
            for table in (self.median, self.upper, self.lower)
        )
        deviation = values - median
        return (deviation / np.where(deviation > 0, upper, lower)).astype(np.float32)


class Norms(BaseModel):
    """What healthy scans look like.

    Attributes
    ----------
    noise_hu
        Usual noise of a slice (see `evidence.slice_noise`).
    residual
        Smoothed residual, HU, less where the noise is above the usual one.
    hu
        Median-filtered HU: for the baseline without a network, no part of the evidence.
    relative_hu
        The same relative to the level of the slice, drawn to the typical level by noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    noise_hu: float
    residual: Normal
    hu: Normal
    relative_hu: Normal


@dataclass(frozen=True)
class HealthyPixels:
    """Brain pixels of one healthy slice, ``(n,)`` each: as in ``Norms``, and distance, mm."""

    residual: FloatArray
    hu: FloatArray
    relative_hu: FloatArray
    distance_mm: FloatArray


def fit_norms(slices: Iterable[HealthyPixels], *, noise_hu: float) -> Norms:
    """Fit the healthy distributions.

    Raises
    ------
    InputRefused
        If the healthy scans hold enough pixels at less than 3 of ``DISTANCES_MM``.
    """
    pixels = list(slices)
    if not pixels:
        raise InputRefused("Calibration needs healthy scans with brain; none was given.")
    nearest = np.searchsorted(_BETWEEN_MM, np.concatenate([p.distance_mm for p in pixels]))
    return Norms(
        noise_hu=noise_hu,
        residual=_fit(np.concatenate([p.residual for p in pixels]), nearest),
        hu=_fit(np.concatenate([p.hu for p in pixels]), nearest),
        relative_hu=_fit(np.concatenate([p.relative_hu for p in pixels]), nearest),
    )


def _fit(values: FloatArray, nearest: npt.NDArray[np.intp]) -> Normal:
    bins = (values[nearest == k] for k in range(len(DISTANCES_MM)))
    filled = {k: _spread(inside) for k, inside in enumerate(bins) if len(inside) >= MIN_PIXELS}
    if len(filled) < MIN_BINS:
        raise InputRefused(
            "The healthy scans hold too little brain to calibrate on; add more scans."
        )
    # Coarse pixels have no centre so near bone, small heads none so deep: as in the nearest bin.
    centres = np.array(DISTANCES_MM)
    apart = np.abs(centres[:, None] - centres[list(filled)])
    table = np.array(list(filled.values()))[apart.argmin(1)]
    median, upper, lower = (tuple(column) for column in table.T.tolist())
    return Normal(median=median, upper=upper, lower=lower)


def _spread(values: FloatArray) -> tuple[float, float, float]:
    """Median, upper and lower spread of ``(n,)`` healthy values."""
    low, middle, high = np.quantile(values, (1 - TAIL_QUANTILE, 0.5, TAIL_QUANTILE))
    upper, lower = (max(float(tail) / TAIL_SIGMA, 0.5) for tail in (high - middle, middle - low))
    return float(middle), upper, lower
