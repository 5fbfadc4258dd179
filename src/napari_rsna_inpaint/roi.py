"""Values inside an outline that a person drew on one plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

Outline = Literal["ellipse", "rectangle", "polygon"]


@dataclass(frozen=True)
class RoiValues:
    """Hounsfield units of the pixels whose centres lie inside an outline, and its area.

    ``sd`` is the standard deviation of these pixels (of a population, not of a sample);
    ``area_mm2`` is that of the outline itself.
    """

    mean: float
    sd: float
    minimum: float
    maximum: float
    area_mm2: float


def roi_values(
    plane: npt.NDArray,
    kind: Outline,
    corners: npt.NDArray[np.float64],
    pixel_mm2: float,
) -> RoiValues | None:
    """Measure inside an outline.

    Parameters
    ----------
    plane
        ``(rows, columns)`` HU.
    kind
        ``"ellipse"`` is the one that touches the sides of its four corners.
    corners
        ``(n, 2)`` row and column of the corners in pixels, pixel centres at whole numbers.
    pixel_mm2
        Area of a pixel.

    Returns
    -------
    RoiValues or None
        None if no pixel centre lies inside.
    """
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.maximum(np.ceil(corners.max(axis=0)).astype(int) + 1, 0)
    part = plane[low[0] : high[0], low[1] : high[1]]
    values = part[inside(kind, corners - low, part.shape)] if part.size else part
    if not values.size:
        return None
    values = values.astype(np.float64)
    return RoiValues(
        mean=float(values.mean()),
        sd=float(values.std()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        area_mm2=area_pixels(kind, corners) * pixel_mm2,
    )


def inside(
    kind: Outline, corners: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """``(rows, columns)`` whether each pixel centre lies inside an outline."""
    if kind != "ellipse":
        return polygon2mask(shape, corners)
    centre, down, across = _half_axes(corners)
    frame = np.stack([down, across], axis=1)
    if abs(np.linalg.det(frame)) < 1e-9:
        return np.zeros(shape, bool)
    offsets = np.moveaxis(np.indices(shape), 0, -1) - centre
    return ((offsets @ np.linalg.inv(frame).T) ** 2).sum(axis=-1) <= 1


def area_pixels(kind: Outline, corners: npt.NDArray[np.float64]) -> float:
    """Area of an outline in pixels."""
    if kind == "ellipse":
        _, (a, b), (c, d) = _half_axes(corners)
        return float(np.pi * abs(a * d - b * c))
    rows, columns = corners.T
    twice = np.dot(rows, np.roll(columns, 1)) - np.dot(columns, np.roll(rows, 1))
    return float(abs(twice) / 2)


def _half_axes(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Centre and the two half axes of the ellipse within four corners."""
    return np.stack(
        [corners.mean(axis=0), (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2]
    )
