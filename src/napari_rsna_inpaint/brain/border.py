"""The native border of the mask, where partial volume of the inner table begins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.brain.morphology import drop_small
from napari_rsna_inpaint.brain.tissue import FAT_HU, HOLE_MM2, ISLAND_MM2, SPUR_MM, BoolArray

EDGE_HU = 100.0  # partial volume of the inner table begins here
RIM_MM = 1.0  # partial volume of the inner table reaches this far
RIM_HU = 25.0  # and lifts it this much above the tissue further in


def draw_border(
    plane: npt.NDArray,
    cavity: BoolArray,
    hull: BoolArray,
    factor: int,
    pixel_mm: tuple[float, float],
) -> BoolArray:
    """Draw the border on a native slice.

    Parameters
    ----------
    plane
        ``(y, x)`` HU.
    cavity, hull
        ``(y / factor, x / factor)`` result of `find_cavity`.
    factor
        Native pixels per pixel of the working grid.
    pixel_mm
        Size of a native pixel ``(y, x)``, mm.

    Returns
    -------
    ndarray
        ``(y, x)`` bool.
    """
    out = np.zeros(plane.shape, dtype=bool)
    rows, cols = np.flatnonzero(cavity.any(1)), np.flatnonzero(cavity.any(0))
    if not len(rows):
        return out
    margin = int(np.ceil(2 * SPUR_MM / (factor * min(pixel_mm))))
    coarse_box = (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, cols[0] - margin), cols[-1] + margin + 1),
    )
    box = tuple(slice(s.start * factor, s.stop * factor) for s in coarse_box)
    hu = np.nan_to_num(np.clip(plane[box], -200, 400).astype(np.float32), nan=-200)
    coarse, inside = (
        np.repeat(np.repeat(a[coarse_box], factor, 0), factor, 1)[: hu.shape[0], : hu.shape[1]]
        for a in (cavity, hull)
    )
    smooth = ndimage.gaussian_filter(hu, [0.4 / mm for mm in pixel_mm])
    pixel = min(pixel_mm)
    near = ndimage.binary_dilation(coarse, iterations=max(1, round(SPUR_MM / pixel)))
    mask = near & inside & (smooth < EDGE_HU) & (smooth > FAT_HU)
    mask = ndimage.binary_opening(mask, iterations=max(1, round(0.5 / pixel)))

    # A rim that is brighter than the tissue further in is partial volume; blood against
    # the inner table is as bright further in and stays.
    rim = ndimage.binary_dilation(smooth >= EDGE_HU, iterations=max(1, round(RIM_MM / pixel)))
    deep = (mask & ~rim).astype(np.float32)
    sigma = [RIM_MM / mm for mm in pixel_mm]
    weight = ndimage.gaussian_filter(deep, sigma)
    tissue = ndimage.gaussian_filter(deep * hu, sigma) / np.maximum(weight, 1e-6)
    mask &= ~(rim & (weight > 1e-3) & (smooth > tissue + RIM_HU))
    # Air, metal and streaks inside stay inside, wherever they are not at the border.
    mask |= ndimage.binary_erosion(coarse, iterations=max(1, round(SPUR_MM / pixel)))

    mask = drop_small(mask, ISLAND_MM2 / (pixel_mm[0] * pixel_mm[1]))
    labels, count = ndimage.label(mask)
    touching = np.zeros(count + 1, dtype=bool)
    touching[np.unique(labels[coarse])] = True
    touching[0] = False
    mask = touching[labels]
    labels, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    index = np.arange(count + 1)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    fill = ndimage.sum_labels(coarse, labels, index) > 0.5 * sizes
    fill |= sizes * pixel_mm[0] * pixel_mm[1] < HOLE_MM2
    fill[0] = False
    out[box] = mask | fill[labels]
    return out
