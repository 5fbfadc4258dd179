"""Which slices are good enough to learn a healthy brain from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

# The limits lie beyond everything seen in 27 series read as healthy, but for what is meant:
# in an aneurysm coil's three slices 55-116 mm2 of metal and 3-14 % of the brain beyond
# plausible HU, in dental fillings that streak into the posterior fossa 95-257 mm2, in dark
# bands between the petrous bones 6 %.

#: Slices with less brain are context only, mm2.
MIN_BRAIN_MM2 = 1000.0
#: Denser than this is metal: enamel and petrous bone stay below on 1 mm pixels, HU.
METAL_HU = 2500.0
#: Metal anywhere in the slice, from which on its streaks cross the brain, mm2.
MAX_METAL_MM2 = 50.0
#: What brain, CSF, blood and partial volume measure; beyond lie streaks, air and calcification.
PLAUSIBLE_HU = (-20.0, 100.0)
#: Share of the inner brain that may lie beyond.
MAX_IMPLAUSIBLE = 0.05
#: Noise on the model grid, standard deviation, HU; healthy slices show 1.5 to 7.9.
MAX_NOISE_HU = 10.0
#: The border keeps partial volume of bone, mm.
_BORDER_MM = 4.0
_NOISE_PX = 5

PROBLEMS = ("little brain", "metal", "streaks", "noise")


def slice_problem(hu: npt.NDArray[np.int16], brain: npt.NDArray[np.bool_], pixel_mm: float) -> str:
    """First of `PROBLEMS` that a slice has, or nothing.

    Parameters
    ----------
    hu
        ``(y, x)`` HU on the model grid.
    brain
        ``(y, x)``, True inside the inner table.
    pixel_mm
        Size of the pixels.
    """
    area = pixel_mm**2
    if brain.sum() * area < MIN_BRAIN_MM2:
        return "little brain"
    if (hu > METAL_HU).sum() * area >= MAX_METAL_MM2:
        return "metal"
    steps = max(1, round(_BORDER_MM / pixel_mm))
    inner = ndimage.binary_erosion(brain, iterations=steps)
    if not inner.any():
        inner = brain
    values = hu[inner]
    low, high = PLAUSIBLE_HU
    if ((values < low) | (values > high)).mean() >= MAX_IMPLAUSIBLE:
        return "streaks"
    smooth = ndimage.uniform_filter(hu.astype(np.float32), _NOISE_PX)
    detail = (hu - smooth)[inner]
    # robust against edges: 1.4826 times the median deviation is a normal's standard deviation
    noise = 1.4826 * np.median(np.abs(detail - np.median(detail)))
    return "noise" if noise >= MAX_NOISE_HU else ""
