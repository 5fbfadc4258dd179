"""A sliding window over the brain, and maps of what was measured in its places.

The published system leaves the last windows out, counts them in two ways that differ by one,
and stretches the grid of their values over the image as if windows were points at its border.
Here windows reach beyond the brain rather than end before its edge, and a value belongs to
the middle of its window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
#: Row and column of a window.
Place = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Square windows at equal steps in both directions.

    Attributes
    ----------
    side, stride
        Pixels.
    ys, xs
        First row of every row of windows and first column of every column of them; may be
        negative, and windows may end beyond the image.
    """

    side: int
    stride: int
    ys: tuple[int, ...]
    xs: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        return len(self.ys), len(self.xs)

    def inside(self, place: Place, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Part of an image ``(y, x)`` that a window covers.

        Parameters
        ----------
        place
            Row and column of the window.
        """
        y, x = self.ys[place[0]], self.xs[place[1]]
        return (
            slice(max(0, y), max(0, min(shape[0], y + self.side))),
            slice(max(0, x), max(0, min(shape[1], x + self.side))),
        )

    def sets(self, distance: int) -> Iterator[tuple[int, list[Place]]]:
        """Part the windows into sets whose members are far from each other.

        Parameters
        ----------
        distance
            From the first pixel of a window to that of the next one in its set, at least, in
            one direction.

        Yields
        ------
        Number of the set, a function of its place among all sets, and its windows.
        """
        period = max(1, math.ceil(distance / self.stride))
        rows, columns = self.shape
        for row, column in np.ndindex(min(period, rows), min(period, columns)):
            members = [
                (i, j) for i in range(row, rows, period) for j in range(column, columns, period)
            ]
            yield row * period + column, members


def windows_over(mask: npt.NDArray[np.bool_], side: int, stride: int) -> Windows:
    """As few windows as cover the bounding box of a ``(y, x)`` mask to its edges, centred on it.

    Raises
    ------
    ValueError
        If the mask is empty, or windows would leave gaps: a stride above their side.
    """
    if not mask.any():
        raise ValueError("an empty mask has no windows")
    if not 1 <= stride <= side:
        raise ValueError(f"the stride must lie between 1 and the side {side}, not {stride}")
    starts = []
    for axis in (0, 1):
        covered = np.flatnonzero(mask.any(1 - axis))
        starts.append(_starts(int(covered[0]), int(covered[-1]), side, stride))
    return Windows(side, stride, starts[0], starts[1])


def _starts(first: int, last: int, side: int, stride: int) -> tuple[int, ...]:
    length = last - first + 1
    steps = max(0, math.ceil((length - side) / stride))
    beyond = side + steps * stride - length
    return tuple(first - beyond // 2 + k * stride for k in range(steps + 1))


def window_map(values: FloatArray, windows: Windows, shape: tuple[int, int]) -> FloatArray:
    """Values of windows as an image.

    A pixel gets the mean of the windows that cover it, each with the more weight the nearer
    its middle is; so a single window shows as a tent around its middle.

    Parameters
    ----------
    values
        ``(rows, columns)`` of windows; NaN where a window was not looked at.
    shape
        ``(y, x)`` of the image.

    Returns
    -------
    ``(y, x)`` float32; 0 where no window with a value is.
    """
    down = _tents(windows.ys, windows.side, shape[0])
    across = _tents(windows.xs, windows.side, shape[1])
    known = np.isfinite(values)
    total = down.T @ np.where(known, values, 0) @ across
    weight = down.T @ known @ across
    return np.divide(total, weight, out=np.zeros(shape), where=weight > 0).astype(np.float32)


def _tents(starts: tuple[int, ...], side: int, n_pixels: int) -> npt.NDArray[np.float64]:
    """Weight of every window of a row for every pixel, ``(n, n_pixels)``; 1 at its edge."""
    middles = np.array(starts) + (side - 1) / 2
    away = np.abs(np.arange(n_pixels)[None] - middles[:, None])
    return np.maximum((side + 1) / 2 - away, 0.0)


def cut(
    image: npt.NDArray, corner: tuple[int, int], side: int, outside: float | bool
) -> npt.NDArray:
    """Square of ``side`` pixels of an image ``(y, x)``; ``outside`` where it goes beyond.

    ``corner`` is its first pixel ``(y, x)``, which may lie outside.
    """
    square = np.full((side, side), outside, image.dtype)
    stops = [min(first + side, length) for first, length in zip(corner, image.shape, strict=True)]
    starts = [max(first, 0) for first in corner]
    if all(start < stop for start, stop in zip(starts, stops, strict=True)):
        rows, columns = (slice(a, b) for a, b in zip(starts, stops, strict=True))
        part = image[rows, columns]
        y, x = starts[0] - corner[0], starts[1] - corner[1]
        square[y : y + part.shape[0], x : x + part.shape[1]] = part
    return square
