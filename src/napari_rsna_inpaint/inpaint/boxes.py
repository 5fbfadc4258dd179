"""Which parts of a volume are hidden at once: boxes, as `inpaint.grid` hides squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.inpaint.grid import squares, tile_offset


@dataclass(frozen=True)
class BoxHoles:
    """One evaluation's holes: interleaved boxes of one size.

    Attributes
    ----------
    scale
        Index of the size.
    side, depth
        Of a box, in pixels and in sections; depth 0 goes through all sections.
    offset
        ``(y, x)`` shift of the tiling, pixels.
    period, phase
        Every ``period``-th box in all directions; ``(z, y, x)`` which of the interleaved sets.
    number
        Position among all holes of a protocol; part of the seed.
    """

    scale: int
    side: int
    depth: int
    offset: tuple[int, int]
    period: int
    phase: tuple[int, int, int]
    number: int

    def mask(self, shape: tuple[int, ...], first: int) -> npt.NDArray[np.bool_]:
        """``(z, y, x)`` bool over sections from number ``first`` on, hole = 1."""
        return boxes(shape, self.side, self.depth, self.offset, self.period, self.phase, first)


def box_holes(
    sides: tuple[int, ...],
    depth: int,
    offsets: tuple[tuple[float, float], ...],
    period: int,
) -> Iterator[BoxHoles]:
    """All holes of a protocol: sizes, offsets and phases; together they hide every voxel.

    Parameters
    ----------
    sides
        Of the boxes, pixels.
    depth
        Of the boxes, sections; 0 through all, and then there is one phase along z.
    offsets
        ``(y, x)`` shifts of the tiling as fractions of the side.
    period
        Every ``period``-th box is hidden at once.
    """
    number = 0
    for scale, side in enumerate(sides):
        for fraction in offsets:
            for z, y, x in np.ndindex(period if depth else 1, period, period):
                offset = tile_offset(fraction, side)
                yield BoxHoles(scale, side, depth, offset, period, (z, y, x), number)
                number += 1


def boxes(
    shape: tuple[int, ...],
    side: int,
    depth: int,
    offset: tuple[int, int],
    period: int,
    phase: tuple[int, int, int],
    first: int = 0,
) -> npt.NDArray[np.bool_]:
    """Every ``period``-th box in all directions.

    Parameters
    ----------
    shape
        ``(z, y, x)``.
    side, depth
        Of a box, in pixels and in sections; depth 0 goes through all sections.
    offset
        ``(y, x)`` shift of the tiling, pixels.
    phase
        ``(z, y, x)``, which of the interleaved sets; z counts for boxes with a depth only.
    first
        Number of the first section of ``shape`` in its volume, from which depth is counted.

    Returns
    -------
    ``(z, y, x)`` bool, True in the hidden boxes.
    """
    plane = squares((shape[1], shape[2]), side, offset, period, phase[1:])
    sections = first + np.arange(shape[0])
    along = (sections // depth) % period == phase[0] if depth else np.ones(shape[0], bool)
    return along[:, None, None] & plane
