"""The grid of squares: which pixels each network evaluation hides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class GridHole:
    """One evaluation's holes on one slice.

    Attributes
    ----------
    mask
        ``(y, x)`` bool, True where the image is hidden (hole = 1).
    scale
        Index of the square size.
    number
        Position of this grid among all grids of a slice, whether or not it meets the
        brain; part of the seed.
    """

    mask: npt.NDArray[np.bool_]
    scale: int
    number: int


def squares(
    shape: tuple[int, int],
    size: int,
    offset: tuple[int, int],
    period: int,
    phase: tuple[int, int],
) -> npt.NDArray[np.bool_]:
    """Every ``period``-th square of ``size`` pixels, in both directions.

    Parameters
    ----------
    shape
        ``(y, x)``, pixels.
    offset
        ``(y, x)`` shift of the tiling, pixels; squares cut by the border are kept.
    phase
        ``(y, x)``, which of the ``period`` ** 2 interleaved sets.

    Returns
    -------
    ``(y, x)`` bool, True in the hidden squares.
    """
    hidden = [
        ((np.arange(n) - shift) // size) % period == number
        for n, shift, number in zip(shape, offset, phase, strict=True)
    ]
    return hidden[0][:, None] & hidden[1][None, :]


def tile_offset(fraction: tuple[float, float], size: int) -> tuple[int, int]:
    """Shift ``(y, x)`` of a tiling in pixels, from the fraction of the size of its squares."""
    return round(fraction[0] * size), round(fraction[1] * size)


def grid_holes(
    brain: npt.NDArray[np.bool_],
    sizes: tuple[int, ...],
    offsets: tuple[tuple[float, float], ...],
    period: int,
) -> Iterator[GridHole]:
    """All holes of one slice: sizes, offsets and phases that meet the brain.

    Only brain is hidden: bone and scalp stay as context, so their partial volume leaves no
    residual.

    Parameters
    ----------
    brain
        ``(y, x)`` bool on the model grid.
    sizes
        Sides of the squares, pixels.
    offsets
        ``(y, x)`` shifts of the tiling as fractions of the size.
    period
        Every ``period``-th square is hidden at once.
    """
    number = 0
    for scale, size in enumerate(sizes):
        for fraction in offsets:
            offset = tile_offset(fraction, size)
            for phase in np.ndindex(period, period):
                mask = squares(brain.shape, size, offset, period, phase) & brain
                if mask.any():
                    yield GridHole(mask, scale, number)
                number += 1
