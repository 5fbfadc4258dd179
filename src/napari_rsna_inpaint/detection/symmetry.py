"""The plane between left and right, and what lies opposite."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

#: Search range of the rotation, degrees, and of the shift, mm.
ANGLES = np.arange(-20, 21, 2)
SHIFTS_MM = np.arange(-12, 13, 2)
#: Pixel size of the search, mm.
COARSE_MM = 4.0

FloatArray = npt.NDArray[np.float32]


def opposite(brain: npt.NDArray[np.bool_], pixel_mm: float) -> FloatArray:
    """Where every pixel has its mirror image, ``(2, y, x)`` pixel coordinates.

    The plane is the one about which the outline of the brain, summed over the slices, is
    most symmetric.

    Parameters
    ----------
    brain
        ``(z, y, x)`` brain mask on the model grid.
    """
    outline = brain.sum(0, dtype=np.float32)
    center = np.array(ndimage.center_of_mass(outline) if outline.any() else (0.0, 0.0))
    step = max(1, round(COARSE_MM / pixel_mm))
    coarse = ndimage.gaussian_filter(outline, step / 2)[::step, ::step]
    candidates = [(float(a), float(s)) for a in np.deg2rad(ANGLES) for s in SHIFTS_MM]

    def asymmetry(candidate: tuple[float, float]) -> float:
        where = _mirror(coarse.shape, center / step, candidate[0], candidate[1] / (step * pixel_mm))
        return float(np.abs(ndimage.map_coordinates(coarse, where, order=1) - coarse).sum())

    angle, shift = min(candidates, key=asymmetry)
    return _mirror(outline.shape, center, angle, shift / pixel_mm)


def _mirror(shape: tuple[int, ...], center: npt.NDArray, angle: float, shift: float) -> FloatArray:
    """Reflection at the line through ``center``, shifted along x and turned by ``angle``."""
    normal = np.array([np.sin(angle), np.cos(angle)], np.float32)
    y, x = np.indices(shape, np.float32)
    distance = (y - center[0]) * normal[0] + (x - center[1] - shift) * normal[1]
    return np.stack([y - 2 * distance * normal[0], x - 2 * distance * normal[1]])
