"""A picture of completions, to see how training goes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Shown range of the slices, HU (window 80, level 40), and of the residual, +-HU.
WINDOW_HU = (0.0, 80.0)
RESIDUAL_HU = 40.0
#: Colour of a hole.
HOLE_RGB = (0, 96, 96)


def contact_sheet(
    slices: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> npt.NDArray[np.uint8]:
    """One row a slice: original, with its hole, completed, residual.

    Parameters
    ----------
    slices
        ``(original, hole, completion)``, ``(y, x)`` each, all of one shape; HU, bool, HU.

    Returns
    -------
    ``(n y, 4 x, 3)`` RGB. The residual, original minus completion in the hole, is red where
    the original is brighter and blue where it is darker.
    """
    rows = []
    for original, hole, completion in slices:
        completed = np.where(hole, completion, original)
        hidden = _gray(original)
        hidden[hole] = HOLE_RGB
        tiles = [_gray(original), hidden, _gray(completed), _signed(original - completed)]
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows, axis=0)


def _gray(hu: np.ndarray) -> npt.NDArray[np.uint8]:
    low, high = WINDOW_HU
    shade = np.clip((hu - low) / (high - low), 0, 1) * 255
    return np.repeat(shade.astype(np.uint8)[..., None], 3, axis=-1)


def _signed(residual: np.ndarray) -> npt.NDArray[np.uint8]:
    strength = np.clip(residual / RESIDUAL_HU, -1, 1)
    channels = [strength, np.zeros_like(strength), -strength]
    return (np.stack(channels, -1).clip(0) * 255).astype(np.uint8)
