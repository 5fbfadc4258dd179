"""Measures of the squares of a grid: how much the original differs from its healthy completion.

These are the measures by which the published system (RSNA_Inpainting) decides square by
square, without its three faults: there, histograms of 0-80 HU lost their first and last
bin, pixels from 80 HU upwards counted for nothing, and the start of the upper tail could
wrap to the other end of the histogram. Here values are used as they are, in HU and without
limits, so dense blood and calcification count fully.

LPIPS, which the published system mentions but does not compute, is left out: its backbone
is a large download trained on photographs.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.inpaint.grid import GridHole

FloatArray = npt.NDArray[np.floating]

#: Mean of the original minus mean of the completion, HU; earth mover's distance between both
#: distributions of HU, HU; standard deviation of the original minus that of the completion, HU;
#: mean squared difference, HU squared; share of the pixels by which the original exceeds the
#: completion in the upper tail of the completion's histogram, -1 to 1; number of pixels that
#: differ by more than `OUTLIER_HU`.
#: Every value is 0 where nothing differs.
SquareMetric = Literal[
    "mean_difference",
    "earth_mover",
    "std_difference",
    "mse",
    "histogram_difference",
    "outliers",
]
SQUARE_METRICS: tuple[SquareMetric, ...] = get_args(SquareMetric)

#: A square on the model grid: index of its size, side and upper left corner in pixels (negative
#: where the border of the image cuts the square), share of it that was hidden (the rest is not
#: brain), and its measures over the hidden pixels.
SQUARE = np.dtype(
    [("scale", "i2"), ("side", "i2"), ("y", "i4"), ("x", "i4"), ("covered", "f4")]
    + [(name, "f4") for name in SQUARE_METRICS]
)
#: Rows of `SQUARE`, ``(n,)``.
Squares = npt.NDArray[np.void]

#: Share of the completion that lies at or below the bin where the upper tail begins.
TAIL_QUANTILE = 0.975
#: Bins of 1 HU over which the weight of the tail rises; it starts as many below the tail.
RAMP_BINS = 5
#: Pixels that differ by more, HU, are counted.
OUTLIER_HU = 10.0


def no_squares() -> Squares:
    """An empty table."""
    return np.zeros(0, SQUARE)


def square_metrics(
    original: FloatArray, completed: FloatArray, square: npt.NDArray[np.intp]
) -> dict[SquareMetric, FloatArray]:
    """All measures of many squares at once.

    In the earth mover's distance, both distributions are paired in sorted order: in one
    dimension that is the cheapest transport.

    In the histogram difference, the upper tail begins at the bin of 1 HU where the cumulative
    histogram of the completion reaches `TAIL_QUANTILE`. The weight of a bin rises linearly
    from `RAMP_BINS` bins below it to 1. A weight that is a function of HU needs neither
    ends of the histogram nor indices into it.

    Parameters
    ----------
    original, completed
        ``(pixels,)`` HU.
    square
        ``(pixels,)`` number of the square of each pixel, from 0; every number occurs.

    Returns
    -------
    For every measure one value a square, ``(n,)``.
    """
    before, healthy = original.astype(np.float64), completed.astype(np.float64)
    count = np.bincount(square)
    start = np.cumsum(count) - count
    # by square, and increasing in each
    ranked, healthy_ranked = (values[_order(values, square)] for values in (before, healthy))

    def mean(values: FloatArray) -> FloatArray:
        return np.add.reduceat(values, start) / count

    def spread(values: FloatArray) -> FloatArray:
        return np.sqrt(mean(np.square(values - np.repeat(mean(values), count))))

    last = np.maximum(np.ceil(TAIL_QUANTILE * count - 1).astype(int), 0)
    ramp = np.repeat(np.floor(healthy_ranked[start + last]) - RAMP_BINS, count)

    def in_tail(values: FloatArray) -> FloatArray:
        return mean(np.clip((np.floor(values) - ramp + 1) / RAMP_BINS, 0, 1))

    return {
        "mean_difference": mean(ranked) - mean(healthy_ranked),
        "earth_mover": mean(np.abs(ranked - healthy_ranked)),
        "std_difference": spread(ranked) - spread(healthy_ranked),
        "mse": np.bincount(square, np.square(before - healthy)) / count,
        "histogram_difference": in_tail(ranked) - in_tail(healthy_ranked),
        "outliers": np.bincount(square, np.abs(before - healthy) > OUTLIER_HU).astype(np.float64),
    }


def _order(values: FloatArray, square: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Order by square and then by value; one sort of all is faster than one a square."""
    low, high = values.min(), values.max()
    return np.argsort(values - low + square * (high - low + 1))


def measure_squares(
    hole: GridHole,
    side: int,
    offset: tuple[int, int],
    original: FloatArray,
    completed: FloatArray,
) -> Squares:
    """Measure every square of one evaluation's holes.

    Parameters
    ----------
    hole
        The squares, as far as they are brain.
    side, offset
        Of its squares and ``(y, x)`` of its tiling, pixels (see `inpaint.grid.squares`).
    original, completed
        ``(pixels,)`` HU of the hidden pixels, in the order of ``hole.mask``.

    Returns
    -------
    One row a square that meets the brain.
    """
    row, column = (
        (at - shift) // side for at, shift in zip(np.nonzero(hole.mask), offset, strict=True)
    )
    wide = column.max() + 2
    # from 0 upwards: the border may cut tile -1
    key = (row + 1) * wide + column + 1
    pixels = np.bincount(key)
    met = np.flatnonzero(pixels)
    number = np.cumsum(pixels > 0) - 1
    rows = np.zeros(len(met), SQUARE)
    rows["scale"], rows["side"] = hole.scale, side
    rows["y"] = (met // wide - 1) * side + offset[0]
    rows["x"] = (met % wide - 1) * side + offset[1]
    rows["covered"] = pixels[met] / side**2
    for name, values in square_metrics(original, completed, number[key]).items():
        rows[name] = values
    return rows
