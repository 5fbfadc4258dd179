"""What needs no network: the scores that a model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.calibration import load_calibration
from napari_rsna_inpaint.detection.filters import bone_distance, median_hu
from napari_rsna_inpaint.diffusion.model_folder import find_model
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

FloatArray = npt.NDArray[np.float32]

#: Pixel size on which HU are filtered, mm: the one of the shipped model and its calibration.
PIXEL_MM = 1.0
# Both ranges end below `filters.DENSE_HU`, where median HU are capped.
#: Raw and median HU count in this range, HU.
BRAIN_HU = (0.0, 100.0)
#: The gate of the normative score, HU.
BLOOD_HU = (40.0, 110.0)


class HealthyHu(Protocol):
    """What the HU of healthy brain are at every distance to bone."""

    def z(self, values: FloatArray, distance_mm: FloatArray) -> FloatArray:
        """Deviation of median-filtered HU in healthy spreads, signed."""


@dataclass(frozen=True)
class Baseline:
    """A score map and how regions are drawn on it.

    ``extent``: regions lie above it; ``zero``: what healthy brain has; ``top``: end of the
    scale of `metrics.histogram`. All in the unit of the map.
    """

    name: str
    description: str
    extent: float
    zero: float
    top: float


BASELINES = (
    Baseline("B0", "HU in (0, 100)", 50.0, 40.0, 100.0),
    Baseline("B1", "median HU (4.5 mm) in (0, 100)", 50.0, 40.0, 100.0),
    Baseline(
        "B2",
        "median HU (4.5 mm), as deviation from healthy HU at the same distance to bone, "
        "40 to 110 HU only",
        2.5,
        0.0,
        30.0,
    ),
)


def healthy_norms(model: str | Path | None, protocol: str) -> HealthyHu:
    """Healthy HU as the calibration of a model of ``grid`` has them, of its default without one.

    The same for every detector under test.

    Raises
    ------
    InputRefused
        If there is no such model or calibration.
    """
    return load_calibration(find_model(model), "grid", protocol).norms.hu


def baseline_maps(
    volume: CTVolume, mask: npt.NDArray[np.bool_], healthy_hu: HealthyHu
) -> dict[str, FloatArray]:
    """Score maps of all baselines, ``(z, y, x)`` on the volume's grid, 0 outside the mask.

    Parameters
    ----------
    volume
        Series in HU.
    mask
        Brain mask on its grid.
    healthy_hu
        From the calibration of the model.
    """
    inside = volume.to_canonical(mask)
    hu = volume.to_canonical(volume.hu)
    grid = ModelGrid.around(inside, volume.spacing[1:], PIXEL_MM)
    image, brain = grid.scan_to_model(hu, inside)
    distance = bone_distance(image, brain, (volume.spacing[0], PIXEL_MM, PIXEL_MM))
    maps = {baseline.name: np.zeros(volume.hu.shape, np.float32) for baseline in BASELINES}
    # Views in canonical orientation write through to the native arrays.
    raw, median, normative = (volume.to_canonical(values) for values in maps.values())
    for z in np.flatnonzero(brain.any((1, 2))):
        smooth = median_hu(image[z], brain[z], PIXEL_MM)
        deviation = np.maximum(healthy_hu.z(smooth, distance[z]), 0)
        raw[z] = np.where(inside[z], _gate(hu[z], BRAIN_HU), 0)
        median[z] = np.where(inside[z], grid.to_native(_gate(smooth, BRAIN_HU)), 0)
        gated = np.where(_gate(smooth, BLOOD_HU) > 0, deviation, 0)
        normative[z] = np.where(inside[z], grid.to_native(gated), 0)
    return maps


def _gate(values: npt.NDArray, limits: tuple[float, float]) -> npt.NDArray:
    return np.where((values > limits[0]) & (values < limits[1]), values, 0)
