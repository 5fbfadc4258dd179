"""Blur kernels: what becomes of a single bright pixel, on square pixels of the model grid.

A kernel is a float64 array ``(rows, columns)`` with odd sides, its centre in the middle, no
negative value and the sum 1. Rows run to the posterior and columns to the left, as on the
model grid.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import InputRefused

Kernel = npt.NDArray[np.float64]

#: A Gaussian is cut off at so many sigmas: less than 1 in 10,000 is lost.
GAUSSIAN_REACH = 4.0
#: Points a pixel that a line of motion is drawn with.
POINTS_A_PIXEL = 16


def gaussian_kernel(sigma_mm: float, pixel_mm: float) -> Kernel:
    """Isotropic Gaussian; a sigma of 0 leaves everything where it is.

    Raises
    ------
    InputRefused
        If ``sigma_mm`` is negative.
    """
    if sigma_mm < 0:
        raise InputRefused(
            f"A blur cannot have a negative sigma ({sigma_mm:g} mm); give 0 or more."
        )
    sigma = max(sigma_mm / pixel_mm, 1e-3)
    radius = math.ceil(GAUSSIAN_REACH * sigma)
    profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return as_kernel(np.outer(profile, profile))


def motion_kernel(length_mm: float, angle_deg: float, pixel_mm: float) -> Kernel:
    """Even motion along a straight line, its middle in the centre.

    Parameters
    ----------
    length_mm
        From the first to the last position.
    angle_deg
        0 along x, 90 along y, turning from left to posterior.

    Raises
    ------
    InputRefused
        If ``length_mm`` is negative.
    """
    if length_mm < 0:
        raise InputRefused(f"A motion cannot be {length_mm:g} mm long; give 0 or more.")
    length = length_mm / pixel_mm
    n = max(1, math.ceil(POINTS_A_PIXEL * length))
    along = ((np.arange(n) + 0.5) / n - 0.5) * length
    angle = math.radians(angle_deg)
    middle = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * middle + 1, 2 * middle + 1))
    y, x = along * math.sin(angle) + middle, along * math.cos(angle) + middle
    row, column = y.astype(int), x.astype(int)
    # every point is shared out between the four pixels around it
    for below in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - below - (y - row)) * np.abs(1 - right - (x - column))
            np.add.at(kernel, (row + below, column + right), share)
    return as_kernel(kernel)


def as_kernel(values: npt.ArrayLike) -> Kernel:
    """A kernel from any array, divided by its sum.

    Raises
    ------
    InputRefused
        If it is not two-dimensional with odd sides, or holds negative values or no positive one.
    """
    kernel = np.asarray(values, np.float64)
    if kernel.ndim != 2 or any(side % 2 == 0 for side in kernel.shape):
        raise InputRefused(
            f"A blur kernel has two odd sides, so that it has a middle; this one is {kernel.shape}."
        )
    total = kernel.sum()
    if not np.isfinite(total) or (kernel < 0).any() or total <= 0:
        raise InputRefused("A blur kernel holds no negative values and a positive sum.")
    return kernel / total
