"""What is hidden in training: everything that is hidden in use, and more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.inpaint.grid import squares
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines

SIZES = (8, 16, 32, 64)
#: Share of holes in the shape of a real lesion, where such shapes are given.
LESION_SHARE = 0.15


def random_hole(
    brain: npt.NDArray[np.bool_], rng: np.random.Generator, outlines: LesionOutlines | None = None
) -> npt.NDArray[np.bool_]:
    """A random hole of at least one brain pixel, wherever the mask has one.

    Grids of all sizes, periods, phases and offsets; rectangles; free forms; shapes of real
    lesions where given. Hidden is only what lies in the brain, as in use.

    Parameters
    ----------
    brain
        ``(y, x)`` bool on the model grid.

    Returns
    -------
    ``(y, x)`` bool, hole = 1.
    """
    if outlines is not None and brain.any() and rng.random() < LESION_SHARE:
        return outlines.draw(brain, rng) & brain
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
    hole = np.zeros(brain.shape, bool)
    for center in _centers(brain, int(rng.integers(1, 4)), rng):
        hole |= blob(brain.shape, center, float(np.exp(rng.uniform(np.log(4), np.log(35)))), rng)
    return hole


def blob(
    shape: tuple[int, ...], center: npt.ArrayLike, radius: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """A disc with an outline of smooth noise, like that of a lesion.

    Parameters
    ----------
    shape
        ``(y, x)``, pixels.
    center, radius
        Pixels.
    """
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), radius / 3)
    noise /= noise.std()
    distance = np.hypot(*(np.indices(shape) - np.asarray(center)[:, None, None])) / radius
    return distance < 1 + 0.3 * noise
