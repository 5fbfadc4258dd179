"""What is hidden in training: everything that is hidden in use, and more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.inpaint.grid import squares

SIZES = (8, 16, 32, 64)


def random_hole(brain: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A random hole of at least one brain pixel, wherever the mask has one.

    Grids of all sizes, periods, phases and offsets; rectangles; free forms. Hidden is only
    what lies in the brain, as in use.

    Parameters
    ----------
    brain
        ``(y, x)`` bool on the model grid.

    Returns
    -------
    ``(y, x)`` bool, hole = 1.
    """
    kind = rng.random()
    if kind < 0.7:
        hole = _grid(brain.shape, rng)
    elif kind < 0.85:
        hole = _rectangles(brain, rng)
    else:
        hole = _blobs(brain, rng)
    hole &= brain
    return hole if hole.any() else brain & _rectangles(brain, rng)


def _grid(shape: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    size = int(rng.choice(SIZES))
    period = int(rng.integers(2, 4))
    offset = (int(rng.integers(size)), int(rng.integers(size)))
    phase = (int(rng.integers(period)), int(rng.integers(period)))
    return squares(shape, size, offset, period, phase)


def _centers(
    brain: npt.NDArray[np.bool_], n: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    inside = np.argwhere(brain)
    return inside[rng.integers(len(inside), size=n)] if len(inside) else inside


def _rectangles(brain: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    hole = np.zeros(brain.shape, bool)
    for y, x in _centers(brain, int(rng.integers(1, 6)), rng):
        height, width = np.exp(rng.uniform(np.log(5), np.log(70), 2)) / 2
        hole[
            max(0, int(y - height)) : int(y + height) + 1,
            max(0, int(x - width)) : int(x + width) + 1,
        ] = True
    return hole


def _blobs(brain: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Smooth noise around random centres, cut at a random level: lesion-like outlines."""
    hole = np.zeros(brain.shape, bool)
    grid = np.indices(brain.shape)
    for center in _centers(brain, int(rng.integers(1, 4)), rng):
        radius = float(np.exp(rng.uniform(np.log(4), np.log(35))))
        noise = ndimage.gaussian_filter(rng.standard_normal(brain.shape), radius / 3)
        noise /= noise.std()
        distance = np.hypot(*(grid - center[:, None, None])) / radius
        hole |= distance < 1 + 0.3 * noise
    return hole
