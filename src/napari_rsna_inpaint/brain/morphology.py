"""Binary morphology in mm on stacks of slices."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_rsna_inpaint.brain.tissue import BoolArray


def disc(radius_mm: float, pixel_mm: tuple[float, float]) -> BoolArray:
    """Disc of a radius in mm as a structuring element, ``(y, x)``."""
    ry, rx = (int(radius_mm / mm + 1e-6) for mm in pixel_mm)
    y, x = np.ogrid[-ry : ry + 1, -rx : rx + 1]
    return np.hypot(y * pixel_mm[0], x * pixel_mm[1]) <= radius_mm + 1e-6


def dilate(mask: BoolArray, radius_mm: float, pixel_mm: tuple[float, float]) -> BoolArray:
    """Pixels within a distance in mm of a ``(y, x)`` mask."""
    if not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask, sampling=pixel_mm) <= radius_mm


def drop_small(mask: BoolArray, pixels: float) -> BoolArray:
    """Keep connected parts of a ``(y, x)`` mask with at least `pixels` pixels."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    keep = np.bincount(labels.ravel()) >= pixels
    keep[0] = False
    return keep[labels]
