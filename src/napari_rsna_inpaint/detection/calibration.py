"""What is normal where: healthy residual and HU by distance to bone.

A raw residual is largest at partial volume of bone, in healthy scans above all. Its healthy
distribution at the same distance to bone turns it into a number that can be compared
between places: healthy median 0, healthy spread 1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from napari_rsna_inpaint.errors import InputRefused, OutputFailed
from napari_rsna_inpaint.io.write import write_json

FloatArray = npt.NDArray[np.float32]

#: Centres of the distance bins, mm; values in between are interpolated.
DISTANCES_MM = (0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 9.0, 12.0, 16.0, 20.0, 26.0, 34.0, 44.0)
_BETWEEN_MM = (np.array(DISTANCES_MM[1:]) + np.array(DISTANCES_MM[:-1])) / 2
#: Each tail is described by how far this quantile is from the median, in units of sigma.
TAIL_QUANTILE, TAIL_SIGMA = 0.98, 2.0537


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


class Calibration(BaseModel):
    """Healthy distributions of the residual and of the smoothed HU.

    ``protocol`` is the one that it was measured with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: str
    residual: Normal
    hu: Normal
    n_scans: int
    n_slices: int


@dataclass(frozen=True)
class HealthyPixels:
    """Brain pixels of one healthy slice: ``(n,)`` residual HU, smoothed HU, distance mm."""

    residual: FloatArray
    hu: FloatArray
    distance_mm: FloatArray


def fit_calibration(slices: Iterable[HealthyPixels], *, protocol: str, n_scans: int) -> Calibration:
    """Fit the healthy distributions.

    Raises
    ------
    InputRefused
        If the healthy scans hold too few pixels at any distance that brains have.
    """
    pixels = list(slices)
    if not pixels:
        raise InputRefused("Calibration needs healthy scans with brain; none was given.")
    distance = np.concatenate([p.distance_mm for p in pixels])
    nearest = np.searchsorted(_BETWEEN_MM, distance)
    return Calibration(
        protocol=protocol,
        residual=_fit(np.concatenate([p.residual for p in pixels]), nearest),
        hu=_fit(np.concatenate([p.hu for p in pixels]), nearest),
        n_scans=n_scans,
        n_slices=len(pixels),
    )


def _fit(values: FloatArray, nearest: npt.NDArray[np.intp]) -> Normal:
    median: list[float] = []
    upper: list[float] = []
    lower: list[float] = []
    for k in range(len(DISTANCES_MM)):
        inside = values[nearest == k]
        if len(inside) < 200:
            if not median:
                raise InputRefused(
                    "The healthy scans hold too little brain near bone to calibrate on; "
                    "add more scans."
                )
            # deeper than these heads are: as in the deepest bin that was filled
            median.append(median[-1])
            upper.append(upper[-1])
            lower.append(lower[-1])
            continue
        low, middle, high = np.quantile(inside, (1 - TAIL_QUANTILE, 0.5, TAIL_QUANTILE))
        median.append(float(middle))
        upper.append(max(float(high - middle) / TAIL_SIGMA, 0.5))
        lower.append(max(float(middle - low) / TAIL_SIGMA, 0.5))
    return Normal(median=tuple(median), upper=tuple(upper), lower=tuple(lower))


CALIBRATION = "calibration.json"
#: Which other protocol's calibration serves a protocol that was not calibrated itself.
NEAREST = {"interactive": "fast", "full": "fast", "reference": "full"}


def load_calibration(folder: Path, protocol: str) -> Calibration:
    """Calibration of a model for a protocol, or for the nearest protocol that has one.

    Raises
    ------
    InputRefused
        If the model has not been calibrated.
    """
    try:
        stored = json.loads((folder / CALIBRATION).read_text())["protocols"]
        while protocol not in stored:
            protocol = NEAREST[protocol]
        return Calibration.model_validate(stored[protocol])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputRefused(
            f"The model {folder.name!r} has no usable {CALIBRATION}; run "
            "'rsna-inpaint calibrate' on healthy scans that it was not trained on."
        ) from error


def check_writable(folder: Path) -> None:
    """Make sure that a calibration can be stored, before hours are spent on it.

    Raises
    ------
    OutputFailed
        If the folder is read-only.
    """
    if not os.access(folder, os.W_OK):
        raise OutputFailed(
            f"The model's folder {folder} is read-only; copy it and name the copy with --model."
        )


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Add or replace the calibration of its protocol; a damaged file is replaced.

    Raises
    ------
    OutputFailed
        If the file cannot be written.
    """
    path = folder / CALIBRATION
    try:
        protocols = dict(json.loads(path.read_text())["protocols"])
    except (OSError, ValueError, KeyError, TypeError):
        protocols = {}
    protocols[calibration.protocol] = calibration.model_dump(mode="json")
    write_json(path, {"schema": 1, "protocols": protocols})
