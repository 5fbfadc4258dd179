"""What speaks for a bleed at each pixel of a slice: calibrated residual and calibrated HU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.detection.filters import (
    BLOOD_HU,
    SMOOTHING_MM,
    capped,
    median_hu,
    near_dense,
    smooth_inside,
)
from napari_rsna_inpaint.detection.norms import HealthyPixels, Norms

#: Pixels in this range are grey or white matter; their median is the level of a slice.
TISSUE_HU = (15.0, 55.0)
#: Level of a healthy slice; beam hardening and detectors shift it by some HU.
TYPICAL_HU = 33.0
#: Fewer pixels give no level.
MIN_TISSUE_MM2 = 200.0
#: Noise is averaged over this distance, away from the border of the brain, mm.
NOISE_WINDOW_MM, NOISE_MARGIN_MM = 8.0, 3.0
#: A pixel cannot be noisier than this, HU: edges and calcification are no noise.
NOISE_CAP_HU = 20.0

#: Tissue that has become darker than its completion counts below this HU only.
HYPODENSE_HU = 28.0

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Evidence:
    """One slice on the model grid; every map is ``(y, x)``.

    Attributes
    ----------
    image, residual
        HU; the residual is capped and smoothed.
    hu
        Median-filtered HU, relative to a slice of typical density.
    brain
        True inside the skull.
    z_residual, z_hu
        Deviation from healthy brain at the same distance to bone, in healthy spreads;
        divided by the local noise where that is above the healthy one.
    bright, dark
        Both together, at least 0: where the HU of blood exceed the healthy completion, and
        where a pixel is darker than it.
    """

    image: FloatArray
    residual: FloatArray
    hu: FloatArray
    brain: BoolArray
    z_residual: FloatArray
    z_hu: FloatArray
    bright: FloatArray
    dark: FloatArray


@dataclass(frozen=True, eq=False)
class _Measures:
    """Of one slice, before calibration; all in HU, maps ``(y, x)``.

    ``residual`` smoothed, ``hu`` median-filtered, ``level`` of the tissue above the typical
    one, and local ``noise``.
    """

    residual: FloatArray
    hu: FloatArray
    level: float
    noise: FloatArray


def _measure(
    residual: FloatArray, image: FloatArray, brain: BoolArray, pixel_mm: float
) -> _Measures:
    rough = capped(residual)
    smoothed = smooth_inside(rough, brain, SMOOTHING_MM / pixel_mm)
    tissue = image[brain & (image > TISSUE_HU[0]) & (image < TISSUE_HU[1])]
    known = tissue.size * pixel_mm**2 >= MIN_TISSUE_MM2
    return _Measures(
        smoothed,
        median_hu(image, brain, pixel_mm),
        float(np.median(tissue)) - TYPICAL_HU if known else 0.0,
        _local_noise(rough - smoothed, brain, pixel_mm),
    )


def _local_noise(rough: FloatArray, brain: BoolArray, pixel_mm: float) -> FloatArray:
    """Mean absolute fine structure of the residual around every pixel, HU."""
    inner = ndimage.binary_erosion(brain, iterations=round(NOISE_MARGIN_MM / pixel_mm))
    if not inner.any():
        inner = brain
    sigma = NOISE_WINDOW_MM / pixel_mm
    size = np.where(inner, np.minimum(np.abs(rough), NOISE_CAP_HU), 0).astype(np.float32)
    weight = ndimage.gaussian_filter(inner.astype(np.float32), sigma)
    return ndimage.gaussian_filter(size, sigma) / np.maximum(weight, 1e-3)


def slice_noise(
    residual: FloatArray, image: FloatArray, brain: BoolArray, pixel_mm: float
) -> float:
    """Mean local noise of a slice, HU."""
    return float(_measure(residual, image, brain, pixel_mm).noise[brain].mean())


def healthy_pixels(
    residual: FloatArray,
    image: FloatArray,
    brain: BoolArray,
    distance_mm: FloatArray,
    noise_hu: float,
    pixel_mm: float,
) -> HealthyPixels:
    """The brain pixels of one healthy slice, for calibration.

    ``noise_hu`` is the usual noise of healthy slices (see `slice_noise`).
    """
    m = _measure(residual, image, brain, pixel_mm)
    excess = np.maximum(m.noise / noise_hu, 1)
    return HealthyPixels(
        residual=(m.residual / excess)[brain],
        hu=m.hu[brain],
        relative_hu=_relative(m, excess)[brain],
        distance_mm=distance_mm[brain],
    )


def _relative(m: _Measures, excess: FloatArray) -> FloatArray:
    """HU relative to the slice's level, drawn to the typical one where it is noisy."""
    return ((m.hu - m.level - TYPICAL_HU) / excess + TYPICAL_HU).astype(np.float32)


def slice_evidence(
    residual: FloatArray,
    image: FloatArray,
    brain: BoolArray,
    distance_mm: FloatArray,
    norms: Norms,
    pixel_mm: float,
) -> Evidence:
    """Calibrate one slice.

    Parameters
    ----------
    residual, image
        ``(y, x)`` HU on the model grid: original minus healthy completion, and original.
    brain
        ``(y, x)`` brain mask.
    distance_mm
        ``(y, x)`` distance to bone.
    """
    m = _measure(residual, image, brain, pixel_mm)
    excess = np.maximum(m.noise / norms.noise_hu, 1)
    z_residual = norms.residual.z((m.residual / excess).astype(np.float32), distance_mm)
    z_hu = norms.relative_hu.z(_relative(m, excess), distance_mm)
    combined = (z_residual + z_hu) / np.float32(np.sqrt(2.0))
    blood = (m.hu > BLOOD_HU[0]) & (m.hu < BLOOD_HU[1]) & ~near_dense(image, brain, pixel_mm)
    bright = np.where(blood & (m.residual > 0), np.maximum(combined, 0), 0)
    dark = np.where((m.hu < HYPODENSE_HU) & (m.residual < 0), np.maximum(-combined, 0), 0)
    sigma = SMOOTHING_MM / pixel_mm
    return Evidence(
        image=image,
        residual=m.residual,
        hu=m.hu - np.float32(m.level),
        brain=brain,
        z_residual=np.where(brain, z_residual, 0),
        z_hu=np.where(brain, z_hu, 0),
        bright=smooth_inside(bright, brain, sigma),
        dark=smooth_inside(dark, brain, sigma),
    )
