"""Binary morphology in mm on stacks of slices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
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


def label_sizes(
    labels: npt.NDArray[np.int32], count: int, weight: Callable[[int], npt.NDArray] | None = None
) -> npt.NDArray[np.float64]:
    """Number of voxels of each of ``count`` labels ``(z, y, x)``, and of 0; ``(count + 1,)``.

    ``weight`` gives a plane ``(y, x)`` by which the voxels of a slice count. Plane by plane,
    since numpy would turn all labels into numbers of 64 bits.
    """
    sizes = np.zeros(count + 1)
    for z, plane in enumerate(labels):
        weights = None if weight is None else weight(z).ravel()
        sizes += np.bincount(plane.ravel(), weights, minlength=count + 1)
    return sizes
